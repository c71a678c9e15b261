"""What both levels of the trail do for a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, models

from django_audit_fields import acting_as, audit_context

from .lane import Lane

#: The trail refuses a TRUNCATE, and its owner can have one all the same.
EMPTY = (
    "SET session_replication_role = replica; TRUNCATE audit_trail.event;"
    " RESET session_replication_role"
)


class TrailLane(Lane):
    def __init__(self, model: type[models.Model]) -> None:
        self.model = model

    def empty_further(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(EMPTY)

    @contextmanager
    def acting(self) -> Iterator[None]:
        with acting_as(self.user), audit_context(reason="measured"):
            yield
