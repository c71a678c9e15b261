"""This package's trail, at level "statement"."""

from benchmarks.record import Record
from benchmarks.trail_lane import TrailLane
from django_audit_fields.trail import AuditTrail


class Order(Record):
    class Meta:
        constraints = [AuditTrail(name="order_trail", level="statement")]


lane = TrailLane(Order)
