"""No package, and four plain columns."""

from benchmarks.lane import Business, Columns, LaneByHand


class Order(Columns, Business):
    pass


lane = LaneByHand(Order)
