"""What somebody did, or what happened to a row: streamed, in four formats."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .fhir import audit_event

#: How many events are in memory at a time.
BATCH_SIZE: Final = 2_000


class ReportedEvent(NamedTuple):
    """As stored; times in UTC, and JSON as the text that PostgreSQL prints, so that 1.0 is no 1."""

    id: int
    recorded_at: datetime.datetime
    action: str
    table_schema: str
    table_name: str
    row_key: str | None
    actor: str
    context: str | None
    db_role: str
    application_name: str | None
    client_addr: str | None
    transaction_id: int
    before: str | None
    after: str | None


JSON_COLUMNS: Final = frozenset({"context", "before", "after"})
#: How a column is read, whichever way the connection loads its type.
READ_AS: Final = {
    "recorded_at": "recorded_at AT TIME ZONE 'UTC'",
    "client_addr": "host(client_addr)",
    **{name: f"{name}::text" for name in JSON_COLUMNS},
}
SELECT: Final = ", ".join(READ_AS.get(name, name) for name in ReportedEvent._fields)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events; None is any."""

    actor: str | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    #: A table's name, or schema.table.
    table: str | None = None
    key: str | None = None

    def condition(self) -> tuple[str, list[Any]]:
        terms: list[str] = []
        values: list[Any] = []
        for term, value in (
            ("actor = %s", self.actor),
            ("recorded_at >= %s", self.since),
            ("recorded_at < %s", self.until),
            ("%s IN (table_name, table_schema || '.' || table_name)", self.table),
            ("row_key = %s", self.key),
        ):
            if value is not None:
                terms.append(term)
                values.append(value)
        return " AND ".join(terms) or "true", values


def count_events(connection: BaseDatabaseWrapper, wanted: Wanted) -> int:
    condition, values = wanted.condition()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM audit_trail.event WHERE {condition}", values)  # noqa: S608
        return int(cursor.fetchone()[0])


def reported_events(connection: BaseDatabaseWrapper, wanted: Wanted) -> Iterator[ReportedEvent]:
    """In the order in which they were written; memory does not grow with their number."""
    condition, values = wanted.condition()
    # A cursor of the server's own lives as long as its transaction.
    with (
        transaction.atomic(using=connection.alias),
        connection.chunked_cursor() as cursor,
    ):
        cursor.execute(
            f"SELECT {SELECT} FROM audit_trail.event WHERE {condition} ORDER BY id",  # noqa: S608
            values,
        )
        while rows := cursor.fetchmany(BATCH_SIZE):
            for row in rows:
                event = ReportedEvent(*row)
                yield event._replace(recorded_at=event.recorded_at.replace(tzinfo=datetime.UTC))


def as_table(events: Iterable[ReportedEvent]) -> Iterator[str]:
    for event in events:
        time = event.recorded_at.strftime("%Y-%m-%d %H:%M:%SZ")
        table = f"{event.table_schema}.{event.table_name}"
        key = "" if event.row_key is None else event.row_key
        told = f"{time}  {event.actor:<16} {event.action:<8} {table:<32} {key:<10} {summary(event)}"
        yield " ".join(told.split("\n")).rstrip()


def summary(event: ReportedEvent) -> str:
    """The reason, and what changed."""
    before, after = parsed(event.before), parsed(event.after)
    reason = parsed(event.context).get("reason")
    parts = [f"({reason})"] if reason else []
    if event.action == "update":
        parts += [f"{name}: {old} → {after.get(name)}" for name, old in before.items()]
    return "  ".join(parts)


def parsed(text: str | None) -> dict[str, Any]:
    """Numbers stay the text that they are."""
    found = json.loads(text, parse_float=str, parse_int=str) if text else {}
    return found if isinstance(found, dict) else {}


def as_csv(events: Iterable[ReportedEvent]) -> Iterator[str]:
    yield csv_line(ReportedEvent._fields)
    for event in events:
        yield csv_line(event._replace(recorded_at=event.recorded_at.isoformat()))  # type: ignore[arg-type]  # as text


def csv_line(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def as_jsonl(events: Iterable[ReportedEvent]) -> Iterator[str]:
    for event in events:
        parts = []
        for name, value in event._asdict().items():
            if isinstance(value, datetime.datetime):
                value = value.isoformat()
            is_json = name in JSON_COLUMNS and value is not None
            parts.append(f'"{name}": {value if is_json else json.dumps(value, ensure_ascii=False)}')
        yield "{" + ", ".join(parts) + "}"


def as_fhir(events: Iterable[ReportedEvent]) -> Iterator[str]:
    for event in events:
        yield json.dumps(audit_event(event, parsed(event.context)), ensure_ascii=False)


FORMATS: Final[Mapping[str, Callable[[Iterable[ReportedEvent]], Iterator[str]]]] = {
    "table": as_table,
    "csv": as_csv,
    "jsonl": as_jsonl,
    "fhir": as_fhir,
}
