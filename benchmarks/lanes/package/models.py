"""This package."""

from contextlib import contextmanager

from django.db import connection
from django.db.models.signals import pre_save

from benchmarks.lane import Business, Columns, Lane, LaneByHand
from django_audit_fields import acting_as
from django_audit_fields.models import TimestampModel
from django_audit_fields.stamping import listener


class Order(TimestampModel, Business):
    pass


class PlainOrder(Columns, Business):
    pass


@contextmanager
def without_package():
    """As if it were not installed: without its wrapper, and without its receiver of signals."""
    name = "django_audit_fields.stamp_actor"
    wrappers, connection.execute_wrappers = connection.execute_wrappers, []
    pre_save.disconnect(dispatch_uid=name)
    try:
        yield
    finally:
        pre_save.connect(listener.stamp_actor, weak=False, dispatch_uid=name)
        connection.execute_wrappers = wrappers


class PackageLane(Lane):
    model = Order
    plain = LaneByHand(PlainOrder)
    without_package = staticmethod(without_package)

    def acting(self):
        return acting_as(self.user)


lane = PackageLane()
