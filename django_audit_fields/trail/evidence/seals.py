"""Seals the trail, and prunes it; `seal.sql` has how."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...conf import audit_settings

COLUMNS = (
    "number, kind, sealed_at AT TIME ZONE 'UTC', sealed_by, events, partitions, detail,"
    " encode(digest, 'hex')"
)


@dataclass(frozen=True, slots=True)
class Seal:
    number: int
    kind: str
    sealed_at: datetime.datetime
    sealed_by: str
    events: int
    #: By year's partition: how many events, and their digest.
    partitions: dict[str, list[Any]]
    detail: dict[str, Any]
    digest: str

    @property
    def anchor(self) -> str:
        """What `verify --anchor` takes. Kept elsewhere, it shows a rewrite of all up to it."""
        return f"{self.number}:{self.digest}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "sealed_at": self.sealed_at.isoformat(), "anchor": self.anchor}


def seal(connection: BaseDatabaseWrapper) -> Seal:
    """Close the range of events that became visible since the last seal."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM audit_trail.seal()")  # noqa: S608  # our own names
        return seal_of(cursor.fetchone())


def newest_seal(connection: BaseDatabaseWrapper) -> Seal | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM audit_trail.seal ORDER BY number DESC LIMIT 1")  # noqa: S608
        row = cursor.fetchone()
    return seal_of(row) if row else None


def seal_of(row: Any) -> Seal:
    number, kind, sealed_at, sealed_by, events, partitions, detail, digest = row
    return Seal(
        number=number,
        kind=kind,
        sealed_at=sealed_at.replace(tzinfo=datetime.UTC),
        sealed_by=sealed_by,
        events=events,
        partitions=loaded(partitions),
        detail=loaded(detail),
        digest=digest,
    )


def loaded(value: Any) -> Any:
    """A jsonb value: Django has psycopg hand it over as text."""
    return json.loads(value) if isinstance(value, str) else value


def export(made: Seal, path: str | Path) -> None:
    """Add the seal to a file, a line of JSON; what the file has is kept."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(made.as_json()) + "\n")


def prune(connection: BaseDatabaseWrapper, *, before: datetime.date, reason: str) -> Seal | None:
    """Drop the partitions of the years before `before`; None when there is none.

    Raises ValueError for a reason that is blank and a date that `TRAIL_KEEP` does not allow.
    """
    if not reason.strip():
        raise ValueError("To prune the trail needs a reason.")
    keep = audit_settings().trail_keep
    if keep is None:
        raise ValueError(
            "AUDIT_FIELDS['TRAIL_KEEP'] is None: the trail is kept for ever. "
            "Set it to the days that have to stay, such as 2557 for seven years."
        )
    latest = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=keep)
    if before > latest:
        raise ValueError(
            f"AUDIT_FIELDS['TRAIL_KEEP'] keeps {keep} days: prune before {latest} at the "
            f"latest, not before {before}."
        )
    seal(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM audit_trail.prune(%s, %s)", [before, reason])  # noqa: S608
        row = cursor.fetchone()
    return None if row is None or row[0] is None else seal_of(row)


@contextlib.contextmanager
def one_snapshot(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Read what is there at one moment, while others write."""
    begins = not connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        if begins:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
