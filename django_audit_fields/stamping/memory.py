"""What an instance knows of its row, and how it comes to equal the row after a write.

Memory belongs to one database and one key, so that it dies with a copy (`pk = None`), another key
or `save(using=…)`. What a write leaves unknown becomes a deferred column like any of Django's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.db import models

from .stamps import CREATED, LABELS, audit_names

#: In the order of `Known`.
REMEMBERED: Final = (*CREATED, "updated_at")

#: What the row held when the instance was last read or written: its primary key, `created_at`,
#: `created_by`, `updated_at`; None is not known. A plain tuple, since bulk writes make many.
Known: TypeAlias = tuple[Any, Any, Any, Any]


@functools.lru_cache(maxsize=1000)
def reader_of(model: type[models.Model], names: tuple[str, ...]) -> Callable[[Any], Known]:
    """What picks a `Known` from the values of a row whose columns are `names`."""
    keys = tuple(field.attname for field in model._meta.pk_fields)
    if len(keys) == 1 and {*keys, *REMEMBERED}.issubset(names):
        # True for nearly every row, so no Python function is called.
        return itemgetter(*map(names.index, (*keys, *REMEMBERED)))

    def read(values: Iterable[Any]) -> Known:
        row = dict(zip(names, values, strict=False))
        pk = tuple(map(row.get, keys)) if len(keys) > 1 else row.get(keys[0])
        created_at, created_by, updated_at = map(row.get, REMEMBERED)
        return pk, created_at, created_by, updated_at

    return read


def note_loaded(
    instance: models.Model, using: str | None, names: Collection[str], values: Collection[Any]
) -> None:
    """Remember the row that `from_db` got; picking it apart waits until it is saved, if ever."""
    instance._state.audit_memory = (using, names, values)  # type: ignore[attr-defined]


def recall(instance: models.Model, using: str | None) -> Known:
    """What is known of the row that `instance` would update."""
    memory: Any = getattr(instance._state, "audit_memory", None)
    pk = instance.pk
    if memory is None or memory[0] != using:
        return pk, None, None, None
    known: Known
    if len(memory) == 3:
        known = reader_of(type(instance), tuple(memory[1]))(memory[2])
    else:
        known = memory[1]
    return known if known[0] == pk else (pk, None, None, None)


def remember(instance: models.Model, using: str | None) -> None:
    """Take the instance's values for those of its row."""
    known = instance.__dict__.get
    instance._state.audit_memory = (  # type: ignore[attr-defined]
        using,
        (instance.pk, known("created_at"), known("created_by"), known("updated_at")),
    )


def note_read(instance: models.Model, known: Known, names: Iterable[str]) -> None:
    """Remember what `refresh_from_db` read of these columns, beside what was `known` before."""
    values = instance.__dict__
    read = {name: values[name] for name in names if name in values}
    created_at, created_by, updated_at = map(read.get, REMEMBERED, known[1:])
    instance._state.audit_memory = (  # type: ignore[attr-defined]
        instance._state.db,
        (instance.pk, created_at, created_by, updated_at),
    )


def forget(instance: models.Model) -> None:
    instance._state.audit_memory = None  # type: ignore[attr-defined]


def is_as_stored(name: str, value: Any) -> bool:
    """Whether a row gives `value` back as it is: no expression, and no time as text or naive."""
    if name in LABELS:
        return isinstance(value, str)
    return isinstance(value, datetime) and (value.tzinfo is not None) == settings.USE_TZ


def forget_odd_values(instance: models.Model, names: Iterable[str]) -> None:
    """Leave to be read what was given in another form than the row has, or as None."""
    values = instance.__dict__
    for name in names:
        if not is_as_stored(name, values.get(name)):
            values.pop(name, None)


def equal_row(instance: models.Model, row: Mapping[str, Any], using: str | None) -> None:
    """Put the columns of `row` onto the instance; None is what only the database knows."""
    values, names = instance.__dict__, audit_names(type(instance))
    if len(names) == len(row) and None not in row.values():
        values.update(row)  # nearly every one, and so without a loop
    else:
        values.update((name, row[name]) for name in names if row[name] is not None)
        for name in names:
            if row[name] is None:
                values.pop(name, None)
    remember(instance, using)


def row_as_given(known: Known, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the columns hold once an UPDATE has stored `given`; None is not known."""
    row: dict[str, Any] = {**dict(zip(REMEMBERED, known[1:], strict=True)), "updated_by": None}
    for name, value in given.items():
        if value is not None:  # given as None, a column keeps what it holds
            row[name] = value if is_as_stored(name, value) else None
    return row


def put_back(instance: models.Model, before: Mapping[str, Any]) -> None:
    """Give the instance the columns that it had `before`."""
    for name in audit_names(type(instance)):
        if name in before:
            instance.__dict__[name] = before[name]
        else:
            instance.__dict__.pop(name, None)
