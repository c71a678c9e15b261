"""django-pghistory: a trigger writes each version to an event table, with its context's user."""

import pghistory
import pgtrigger

from benchmarks.lane import Business, Lane


@pghistory.track()
class Order(Business):
    pass


class PghistoryLane(Lane):
    model = Order
    further_tables = (Order.pgh_event_model._meta.db_table, "pghistory_context")

    def prepare(self):
        pgtrigger.install()

    def acting(self):
        return pghistory.context(user=self.user.pk)


lane = PghistoryLane()
