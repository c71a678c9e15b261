"""Four plain columns, set by hand at each write."""

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

    def stamp(self, order, label):
        order.created_at = order.updated_at = timezone.now()
        order.created_by = order.updated_by = label
        return order

    def build(self, number):
        return self.stamp(super().build(number), str(self.user.pk))

    def build_in_request(self, request, number):
        return self.stamp(super().build(number), str(request.user.pk))

    def change(self, order):
        order.amount += 1
        order.updated_at = timezone.now()
        order.updated_by = str(self.user.pk)

    def change_all(self, orders):
        now, label = timezone.now(), str(self.user.pk)
        for order in orders:
            order.amount += 1
            order.updated_at = now
            order.updated_by = label

    def update(self):
        Order.objects.update(
            amount=models.F("amount") + 1,
            updated_at=timezone.now(),
            updated_by=str(self.user.pk),
        )


lane = BareLane()
