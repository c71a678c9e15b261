"""This package."""

from benchmarks.lane import Business, Lane
from django_audit_fields import acting_as
from django_audit_fields.models import TimestampModel


class Order(TimestampModel, Business):
    pass


class PackageLane(Lane):
    model = Order

    def acting(self):
        return acting_as(self.user)


lane = PackageLane()
