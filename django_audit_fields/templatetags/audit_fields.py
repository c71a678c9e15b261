"""`{% load audit_fields %}`: people by name, and what happened to a row, in templates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template

from ..people import name_of, prefetch
from ..trail import events_to_show, timeline

register = template.Library()


@register.filter
def person(label: str | None) -> str:
    """`{{ row.updated_by|person }}`: the name of whom a label stands for."""
    return name_of(label)


@register.simple_tag
def people(rows: Iterable[Any], *columns: str) -> str:
    """`{% people rows %}` before a loop: its people are asked for in one query.

    `columns` are the fields that hold labels, `created_by` and `updated_by` unless given.
    """
    prefetch(rows, *columns)
    return ""


@register.inclusion_tag("audit_fields/timeline.html")
def audit_timeline(target: Any, limit: int = 50, fields: str | None = None) -> dict[str, Any]:
    """`{% audit_timeline invoice %}`: what happened to a row, newest first, as a list.

    `target` is an instance or events: `invoice.trail`, a page of `AuditEvent`s, or `Invoice.trail`
    from the view, as a template makes an instance of a model that it names. At most `limit` events
    are shown, and the list says where there are more. `fields` names the fields to show,
    with commas between; what else changed is only counted. Looks nowhere for permissions: who sees
    the page sees the list. Styled by `audit_fields/timeline.css`.
    """
    # One more, to know whether there are more.
    events = list(events_to_show(target)[: limit + 1])
    names = None if fields is None else {name.strip() for name in fields.split(",")}
    entries = timeline(events[:limit], lambda event: names)
    rows = {(event.table_name, event.row_key) for event in events}
    return {"entries": entries, "is_cut": len(events) > limit, "is_mixed": len(rows) > 1}
