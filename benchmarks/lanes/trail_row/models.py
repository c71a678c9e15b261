"""This package's trail, at level "row"."""

from benchmarks.record import Record
from benchmarks.trail_lane import TrailLane
from django_audit_fields.trail import AuditTrail


class Order(Record):
    class Meta:
        constraints = [AuditTrail(name="order_trail", level="row")]


lane = TrailLane(Order)
