"""What the trail holds, by plain SQL, past the side that reads it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.db import connection

COLUMNS = (
    "id, recorded_at, action, table_schema, table_name, row_key, actor, context, db_role,"
    " application_name, client_addr, transaction_id, before, after"
)


class Event(NamedTuple):
    id: int
    recorded_at: Any
    action: str
    table_schema: str
    table_name: str
    row_key: str | None
    actor: str
    context: dict[str, Any] | None
    db_role: str
    application_name: str
    client_addr: Any
    transaction_id: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def told(self) -> tuple[str, str | None]:
        return self.action, self.row_key


def execute(sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def last_id() -> int:
    return int(execute("SELECT coalesce(max(id), 0) FROM audit_trail.event")[0][0])


def events(*tables: str, since: int = 0) -> list[Event]:
    """In the order of their ids."""
    found = execute(
        f"SELECT {COLUMNS} FROM audit_trail.event WHERE id > %s"
        " AND (cardinality(%s::text[]) = 0 OR table_name = ANY(%s)) ORDER BY id",
        [since, list(tables), list(tables)],
    )
    loaded = (
        [
            json.loads(value) if place in (7, 12, 13) and value else value
            for place, value in enumerate(row)
        ]
        for row in found
    )
    return [Event(*row) for row in loaded]


class Recorded:
    """The events of a block."""

    def __init__(self, *tables: str) -> None:
        self.tables = tables
        self.since = last_id()

    def __call__(self) -> list[Event]:
        return events(*self.tables, since=self.since)

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [event.told for event in self()]


def set_context(**context: Any) -> None:
    """For the rest of the transaction."""
    text = json.dumps(context) if context else ""
    execute("SELECT set_config('app.audit_context', %s, true)", [text])


def images(table: str, *, hidden: tuple[str, ...] = (), masked: tuple[str, ...] = ()):
    """The rows as they are now, by key, as an image has them."""
    found = {}
    for key, text in execute(f"SELECT id::text, to_jsonb(t)::text FROM {table} t"):
        image = json.loads(text)
        for name in hidden:
            del image[name]
        for name in masked:
            if image[name] is not None:
                image[name] = "***"
        found[key] = image
    return found


def replay(state: dict[str, Any], happened: list[Event]) -> dict[str, Any]:
    """What the rows are after the events; fails where an event does not follow from the last."""
    rows = dict(state)
    for event in happened:
        key = event.row_key
        if event.action == "insert":
            assert key not in rows
            assert event.before is None
            rows[key] = event.after
        elif event.action == "update":
            assert event.before
            assert rows[key] == {**event.after, **event.before}
            rows[key] = event.after
        elif event.action == "delete":
            assert rows.pop(key) == event.before
            assert event.after is None
        else:
            assert event.action == "truncate"
            rows.clear()
    return rows
