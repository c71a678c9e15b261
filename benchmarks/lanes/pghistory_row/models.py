"""django-pghistory at level "row", with its context's user and reason."""

import pghistory

from benchmarks.pghistory_record import PghistoryRecordLane
from benchmarks.record import Record


@pghistory.track(
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(),
    pghistory.DeleteEvent(),
    level=pghistory.Row,
)
class Order(Record):
    pass


lane = PghistoryRecordLane(Order)
