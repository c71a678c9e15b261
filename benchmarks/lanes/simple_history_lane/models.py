"""django-simple-history: signals write each version to a table of its own."""

from contextlib import contextmanager
from types import SimpleNamespace

from simple_history.models import HistoricalRecords
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from benchmarks.lane import Business, Lane


class Order(Business):
    history = HistoricalRecords()


class SimpleHistoryLane(Lane):
    model = Order
    further_tables = (Order.history.model._meta.db_table,)
    unseen = frozenset({"update_queryset"})

    @contextmanager
    def acting(self):
        HistoricalRecords.context.request = SimpleNamespace(user=self.user)
        try:
            yield
        finally:
            del HistoricalRecords.context.request

    def bulk_create(self, orders):
        bulk_create_with_history(orders, Order, default_user=self.user)

    def bulk_update(self, orders):
        bulk_update_with_history(orders, Order, ["amount"], default_user=self.user)


lane = SimpleHistoryLane()
