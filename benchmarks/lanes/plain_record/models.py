"""Nothing is recorded."""

from benchmarks.lane import Lane
from benchmarks.record import Record


class Order(Record):
    pass


class PlainLane(Lane):
    model = Order


lane = PlainLane()
