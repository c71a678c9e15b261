"""django-auditlog: signals write each difference to a table of log entries."""

from auditlog.context import set_actor
from auditlog.registry import auditlog

from benchmarks.lane import Business, Lane


class Order(Business):
    pass


auditlog.register(Order)


class AuditlogLane(Lane):
    model = Order
    further_tables = ("auditlog_logentry",)
    unseen = frozenset({"bulk_create", "bulk_update", "update_queryset"})

    def acting(self):
        return set_actor(self.user)


lane = AuditlogLane()
