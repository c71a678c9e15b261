"""Events as CSV, for people and their spreadsheets. The whole images: `audit_trail report`."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.utils import timezone

from ..trail import Entry

COLUMNS: Final = (
    "id",
    "recorded_at",
    "actor",
    "person",
    "action",
    "table",
    "row_key",
    "reason",
    "on_behalf_of",
    "source",
    "request_id",
    "db_role",
    "application_name",
    "client_addr",
    "transaction_id",
    "changes",
    "fields_not_shown",
)
#: With these a spreadsheet begins a formula.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


class Echo:
    """A file that gives back what is written to it."""

    def write(self, line: str) -> str:
        return line


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Times in UTC; changes as JSON, `{"field": ["before", "after"]}`, by display values."""
    writer = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    for entry in entries:
        yield writer.writerow([plain(value) for value in cells(entry)])


def cells(entry: Entry) -> Iterator[Any]:
    event = entry.event
    at: datetime.datetime = event.recorded_at
    if timezone.is_naive(at):
        at = timezone.make_aware(at)
    changes = {
        change.field: [change.before_display, change.after_display] for change in entry.changes
    }
    yield event.id
    yield at.astimezone(datetime.UTC).isoformat()
    yield event.actor
    yield entry.person
    yield event.action
    yield f"{event.table_schema}.{event.table_name}"
    yield event.row_key
    yield event.reason
    yield event.on_behalf_of
    yield event.source
    yield event.request_id
    yield event.db_role
    yield event.application_name
    yield event.client_addr
    yield event.transaction_id
    yield json.dumps(changes, ensure_ascii=False)
    yield entry.hidden


def plain(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
