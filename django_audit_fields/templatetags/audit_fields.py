"""`{% load audit_fields %}`: people by name in templates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template

from ..people import name_of, prefetch

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
