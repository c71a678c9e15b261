"""What a row of an audited model is stamped with, and what its instance remembers of the row.

The rules that `TimestampModel` and `AuditQuerySet` share; neither writes through the other.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from contextvars import ContextVar, Token
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connections, models
from django.utils import timezone

from .actors import NoActorError, acting_label, is_preserving
from .conf import audit_settings
from .triggers import trigger_of

CREATED: Final = ("created_at", "created_by")
UPDATED: Final = ("updated_at", "updated_by")
AUDIT_NAMES: Final = frozenset(CREATED + UPDATED)
#: In the order of `Memory`.
REMEMBERED: Final = (*CREATED, "updated_at")
LABELS: Final = frozenset(("created_by", "updated_by"))

#: Nearly every value; asking these for an attribute that they lack is dear.
PLAIN_TYPES: Final = frozenset((str, datetime))

#: PostgreSQL's resolution of time, and so the least step forwards.
TICK: Final = timedelta(microseconds=1)

#: Set while the instances that Django is writing carry their stamps already.
_stamped: ContextVar[bool] = ContextVar("audit_stamped", default=False)
#: Asked for every column of every row, and so the bare C function.
is_stamped: Final = _stamped.get


class Memory(NamedTuple):
    """What the row held when the instance was last read or written; None is not known.

    It belongs to one primary key, so that it dies with a copy (`pk = None`) or another key.
    """

    pk: Any
    created_at: Any = None
    created_by: Any = None
    updated_at: Any = None


#: For each row of a bulk write, and so without the Python function that a NamedTuple has.
_new_memory: Final = functools.partial(tuple.__new__, Memory)


def begin_stamped() -> Token[bool]:
    return _stamped.set(True)


def end_stamped(token: Token[bool]) -> None:
    _stamped.reset(token)


@contextlib.contextmanager
def stamped() -> Iterator[None]:
    token = begin_stamped()
    try:
        yield
    finally:
        end_stamped(token)


@functools.cache
def audit_names(model: type[models.Model]) -> frozenset[str]:
    """Which of the four columns `model` has; a model may drop one with `created_by = None`."""
    return AUDIT_NAMES.intersection(field.attname for field in model._meta.concrete_fields)


@functools.cache
def local_names(model: type[models.Model]) -> frozenset[str]:
    """Those of the four columns that are in the model's own table."""
    return AUDIT_NAMES.intersection(field.attname for field in model._meta.local_concrete_fields)


@functools.cache
def updated_names(model: type[models.Model]) -> frozenset[str]:
    return audit_names(model).intersection(UPDATED)


def is_audited(model: type[models.Model]) -> bool:
    """Whether `model` is a `TimestampModel`, which cannot be imported here."""
    return getattr(model, "_is_audited", False)


def refuses_nobody(model: type[models.Model]) -> bool:
    trigger = trigger_of(model)
    return ((trigger and trigger.nobody) or audit_settings().nobody) == "refuse"


def required_actor(model: type[models.Model]) -> str:
    """The label to stamp a row of `model` with; NoActorError where nobody may not write it."""
    label = acting_label()
    if label is not None:
        return label
    if refuses_nobody(model):
        raise NoActorError(
            f"Nobody is acting, and {model._meta.label} refuses that (NOBODY = 'refuse'): "
            "write inside acting_as(...), or in a request whose user is logged in."
        )
    return audit_settings().fallback


def require_actor(model: type[models.Model], instances: Iterable[models.Model] = ()) -> None:
    """Raise NoActorError, before anything is written, where nobody would have to be stamped.

    Rows stored as given need no actor as long as nothing in them has to be filled in.
    """
    if not is_preserving():
        required_actor(model)
        return
    names = audit_names(model)
    if acting_label() is None and refuses_nobody(model):
        for instance in instances:
            values = instance.__dict__
            if instance._state.adding and any(values.get(name) is None for name in names):
                required_actor(model)


def is_stamped_by_trigger(model: type[models.Model], using: str) -> bool:
    """Whether a column that is left NULL is PostgreSQL's to fill."""
    return connections[using].vendor == "postgresql" and model._meta.managed


def recall(instance: models.Model, using: str | None) -> Memory:
    """What is known of the row that `instance` would update."""
    state = instance._state
    memory: Any = state.__dict__.get("audit_memory")
    if memory is None or state.adding or state.db != using:
        return Memory(instance.pk)
    if not isinstance(memory, Memory):
        names, values = memory
        read = [values[names.index(name)] if name in names else None for name in REMEMBERED]
        keys = [
            values[names.index(field.attname)] if field.attname in names else None
            for field in instance._meta.pk_fields
        ]
        # The key of a composite one is a tuple.
        memory = _new_memory((keys[0] if len(keys) == 1 else tuple(keys), *read))
    return memory if memory.pk == instance.pk else Memory(instance.pk)


def remember(instance: models.Model) -> None:
    """Take the instance's values for those of its row."""
    known = instance.__dict__.get
    instance._state.audit_memory = _new_memory(  # type: ignore[attr-defined]
        (instance.pk, known("created_at"), known("created_by"), known("updated_at"))
    )


def forget_unread(instance: models.Model, names: Iterable[str]) -> None:
    """Drop what only the row has: left to the trigger, or given as an expression."""
    values = instance.__dict__
    for name in names:
        value = values.get(name)
        if value is None or (
            type(value) not in PLAIN_TYPES and hasattr(value, "resolve_expression")
        ):
            values.pop(name, None)


def write_back(instance: models.Model, row: dict[str, Any]) -> None:
    """Make the instance equal `row`, which has all four columns; None is read when asked."""
    values = instance.__dict__
    for name in audit_names(type(instance)):
        if row[name] is None:
            values.pop(name, None)
        else:
            values[name] = row[name]
    instance._state.audit_memory = _new_memory(  # type: ignore[attr-defined]
        (instance.pk, row["created_at"], row["created_by"], row["updated_at"])
    )


def next_time(floor: datetime | None) -> datetime:
    """Now, or just after `floor` on a host whose clock is behind the one that wrote it."""
    now = timezone.now()
    return now if floor is None or floor < now else floor + TICK


def stamps_of_insert(
    names: frozenset[str], actor: str | None, now: datetime
) -> dict[str, datetime | str | None]:
    """What the columns of a new row hold, whatever the caller put into them."""
    return {name: actor if name in LABELS else now for name in names}


def fill_missing(
    values: dict[str, Any],
    names: Iterable[str],
    actor: str | None,
    now: datetime | None = None,
) -> None:
    """Fill what is None in a row to insert, by the rules of the trigger."""
    for name in sorted(names):  # created_at before updated_at, which takes its value
        if values.get(name) is None:
            if name in LABELS:
                values[name] = actor
            elif name == "updated_at" and isinstance(values.get("created_at"), datetime):
                values[name] = values["created_at"]
            else:
                now = now or timezone.now()
                values[name] = now
