"""Four plain columns, set by hand at each write: that is part of the work, and on the clock."""

from contextlib import contextmanager

from django.db import models
from django.utils import timezone

from benchmarks.lane import Business, Lane


class Order(Business):
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    created_by = models.CharField(max_length=50)
    updated_by = models.CharField(max_length=50)


class BareLane(Lane):
    model = Order
    stamped_fields = ("updated_at", "updated_by")

    @contextmanager
    def acting(self):
        # Once for many writes, as in the other lanes.
        self.label = str(self.user.pk)
        yield

    def build_in_request(self, request, number):
        order = super().build(number)
        order.created_at = order.updated_at = timezone.now()
        order.created_by = order.updated_by = str(request.user.pk)
        return order

    def fill(self, orders):
        with self.acting():
            self.bulk_create(orders)

    def create(self, order):
        order.created_at = order.updated_at = timezone.now()
        order.created_by = order.updated_by = self.label
        order.save()

    def save(self, order):
        order.updated_at = timezone.now()
        order.updated_by = self.label
        order.save()

    def save_amount(self, order):
        order.updated_at = timezone.now()
        order.updated_by = self.label
        order.save(update_fields=["amount", "updated_at", "updated_by"])

    def bulk_create(self, orders):
        now = timezone.now()
        for order in orders:
            order.created_at = order.updated_at = now
            order.created_by = order.updated_by = self.label
        Order.objects.bulk_create(orders)

    def bulk_update(self, orders):
        now = timezone.now()
        for order in orders:
            order.updated_at = now
            order.updated_by = self.label
        Order.objects.bulk_update(orders, ["amount", "updated_at", "updated_by"])

    def update(self):
        Order.objects.update(
            amount=models.F("amount") + 1,
            updated_at=timezone.now(),
            updated_by=self.label,
        )


lane = BareLane()
