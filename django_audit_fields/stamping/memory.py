"""What a row of an audited model is stamped with, and what its instance remembers of the row.

The rules that `TimestampModel` and `AuditQuerySet` share; neither writes through the other.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from django.conf import settings
from django.db import connections, models
from django.utils import timezone
from django.utils.functional import LazyObject

from ..actors import NoActorError, acting_label, is_preserving, wrapped
from ..conf import audit_settings
from ..triggers import trigger_of

_Model = TypeVar("_Model", bound=models.Model)

CREATED: Final = ("created_at", "created_by")
UPDATED: Final = ("updated_at", "updated_by")
AUDIT_NAMES: Final = frozenset(CREATED + UPDATED)
#: In the order of `Memory`.
REMEMBERED: Final = (*CREATED, "updated_at")
LABELS: Final = frozenset(("created_by", "updated_by"))

#: PostgreSQL's resolution of time, and so the least step forwards.
TICK: Final = timedelta(microseconds=1)

#: The instances, by `id`, that Django is writing and that carry their stamps already. Of no others:
#: a hook may write rows of its own meanwhile, which nobody has stamped.
_stamped: ContextVar[frozenset[int]] = ContextVar("audit_stamped", default=frozenset())
#: Asked for every column of every row, and so the bare C function; the others are for each save.
stamped_now: Final = _stamped.get
begin_stamped: Final = _stamped.set
end_stamped: Final = _stamped.reset


#: What the row held when the instance was last read or written: its primary key, `created_at`,
#: `created_by`, `updated_at`; None is not known. It belongs to one key, so that it dies with a copy
#: (`pk = None`) or another key. A plain tuple, since one is made for each row of a bulk write.
Memory: TypeAlias = tuple[Any, Any, Any, Any]


def unwrapped(instances: Iterable[_Model]) -> list[_Model]:
    """The instances themselves, where some are lazy objects: `request.user`, say."""
    return [wrapped(one) if isinstance(one, LazyObject) else one for one in instances]


@contextlib.contextmanager
def stamped(instances: Iterable[models.Model]) -> Iterator[None]:
    token = begin_stamped(frozenset(map(id, instances)))
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


@functools.cache
def updated_fields(model: type[models.Model]) -> tuple[models.Field[Any, Any], ...]:
    """The columns in the model's own table that every UPDATE sets."""
    return tuple(field for field in model._meta.local_concrete_fields if field.attname in UPDATED)


def is_audited(model: type[models.Model]) -> bool:
    """Whether `model` is a `TimestampModel`, which cannot be imported here."""
    return getattr(model, "_is_audited", False)


@functools.cache
def refuses_nobody(model: type[models.Model], default: str) -> bool:
    """Whether nobody may not write `model`, where the settings say `default` of that."""
    trigger = trigger_of(model)
    return ((trigger and trigger.nobody) or default) == "refuse"


def required_actor(model: type[models.Model]) -> str:
    """The label to stamp a row of `model` with; NoActorError where nobody may not write it."""
    label = acting_label()
    if label is not None:
        return label
    if refuses_nobody(model, audit_settings().nobody):
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
    if acting_label() is None and refuses_nobody(model, audit_settings().nobody):
        for instance in instances:
            values = instance.__dict__
            if instance._state.adding and any(values.get(name) is None for name in names):
                required_actor(model)


def is_stamped_by_trigger(model: type[models.Model], using: str | None) -> bool:
    """Whether a column that is left NULL is PostgreSQL's to fill."""
    return connections[using or ""].vendor == "postgresql" and model._meta.managed


def actor_unheard(model: type[models.Model], using: str | None) -> str | None:
    """Who is acting, where the listener did not say; None leaves that to the trigger."""
    return None if is_stamped_by_trigger(model, using) else required_actor(model)


def can_return_from_update(using: str | None) -> bool:
    return bool(connections[using or ""].features.can_return_rows_from_update)


@functools.lru_cache(maxsize=1000)
def memory_reader(model: type[models.Model], names: tuple[str, ...]) -> Callable[[Any], Memory]:
    """What picks a `Memory` from the values of a row whose columns are `names`."""
    keys = tuple(field.attname for field in model._meta.pk_fields)
    if len(keys) == 1 and {*keys, *REMEMBERED}.issubset(names):
        # Nearly every row, and so without a Python function.
        return itemgetter(*map(names.index, (*keys, *REMEMBERED)))

    def read(values: Iterable[Any]) -> Memory:
        row = dict(zip(names, values, strict=False))
        pk = tuple(map(row.get, keys)) if len(keys) > 1 else row.get(keys[0])
        return (pk, *map(row.get, REMEMBERED))  # type: ignore[return-value]  # three of them

    return read


def recall(instance: models.Model, using: str | None) -> Memory:
    """What is known of the row that `instance` would update."""
    state = instance._state
    memory: Any = getattr(state, "audit_memory", None)
    pk = instance.pk
    if memory is None or state.adding or state.db != using:
        return pk, None, None, None
    if len(memory) == 2:
        names, values = memory  # as `from_db` got them
        memory = memory_reader(type(instance), tuple(names))(values)
    return memory if memory[0] == pk else (pk, None, None, None)


def remember(instance: models.Model) -> None:
    """Take the instance's values for those of its row."""
    known = instance.__dict__.get
    instance._state.audit_memory = (  # type: ignore[attr-defined]
        instance.pk,
        known("created_at"),
        known("created_by"),
        known("updated_at"),
    )


def is_as_stored(name: str, value: Any) -> bool:
    """Whether a row gives `value` back as it is: no expression, and no time as text or naive."""
    if name in LABELS:
        return isinstance(value, str)
    return isinstance(value, datetime) and (value.tzinfo is not None) == settings.USE_TZ


def leave_unread(instance: models.Model, names: Iterable[str], using: str | None) -> None:
    """Have columns read when asked, from the database that was written: a replica may be behind."""
    values = instance.__dict__
    for name in names:
        values.pop(name, None)
    instance._state.audit_unread_in = using  # type: ignore[attr-defined]


def forget_unread(instance: models.Model, names: Iterable[str], using: str | None) -> None:
    """Leave unread what only the row has: the trigger's, or given in another form than it has."""
    values = instance.__dict__
    if unread := [name for name in names if not is_as_stored(name, values.get(name))]:
        leave_unread(instance, unread, using)


def put_back(instance: models.Model, before: Mapping[str, Any]) -> None:
    """Give the instance the columns that it had `before`."""
    for name in audit_names(type(instance)):
        if name in before:
            instance.__dict__[name] = before[name]
        else:
            instance.__dict__.pop(name, None)


def row_as_given(known: Memory, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the columns hold once an UPDATE has stored `given`, None where unknown."""
    row: dict[str, Any] = {**dict(zip(REMEMBERED, known[1:], strict=True)), "updated_by": None}
    for name, value in given.items():
        if value is not None:  # given as None, a column keeps what it holds
            row[name] = value if is_as_stored(name, value) else None
    return row


def write_back(instance: models.Model, row: dict[str, Any], pk: Any, using: str | None) -> None:
    """Make the instance equal `row`, which has all four columns; None is read when asked."""
    names = audit_names(type(instance))
    values = instance.__dict__
    if len(names) == len(row) and all(row.values()):
        values.update(row)
    else:
        values.update((name, row[name]) for name in names if row[name] is not None)
        if unread := [name for name in names if row[name] is None]:
            leave_unread(instance, unread, using)
    instance._state.audit_memory = (  # type: ignore[attr-defined]
        pk,
        row["created_at"],
        row["created_by"],
        row["updated_at"],
    )


def write_back_elsewhere(
    instance: models.Model, row: dict[str, Any], pk: Any, using: str | None
) -> None:
    """`write_back` for what leaves the instance with the database that it was read from."""
    state: Any = instance._state
    known = recall(instance, state.db)
    write_back(instance, row, pk, using)
    if state.db != using:
        # What is known stays that of the row that it will be saved to.
        state.audit_memory = known


class Stamp(NamedTuple):
    """One actor and one time for all the rows of a call."""

    updated_at: datetime
    updated_by: str


class BulkCall:
    """A call that is under way and writes rows of a model through `AuditQuerySet.update`."""

    __slots__ = ("is_kept", "model", "stamp")

    def __init__(self, model: type[models.Model], stamp: Stamp) -> None:
        self.model = model
        self.stamp = stamp
        #: Whether its rows got this stamp, and not that of somebody who acts inside.
        self.is_kept = True


_bulk_call: ContextVar[BulkCall | None] = ContextVar("audit_bulk_call", default=None)


@contextlib.contextmanager
def bulk_stamp(model: type[models.Model], stamp: Stamp) -> Iterator[BulkCall]:
    call = BulkCall(model, stamp)
    token = _bulk_call.set(call)
    try:
        yield call
    finally:
        _bulk_call.reset(token)


def stamp_of_update(model: type[models.Model]) -> Stamp:
    """What an `update()` of `model` stamps: what the call does that makes it as its own."""
    actor = required_actor(model)
    call = _bulk_call.get()
    if call is not None and call.model is model:
        if call.stamp.updated_by == actor:
            return call.stamp
        call.is_kept = False
    return Stamp(timezone.now(), actor)


def stamp_for(model: type[models.Model], memories: Iterable[Memory]) -> Stamp:
    """What to stamp the rows with of which this is known."""
    floors = [updated_at for *_, updated_at in memories if updated_at is not None]
    return Stamp(next_time(max(floors, default=None)), required_actor(model))


def tell(
    instances: Sequence[models.Model],
    memories: Sequence[Memory],
    stamp: Stamp | None,
    using: str | None,
) -> None:
    """Have instances equal their rows, which were stamped; None is not known with what."""
    row: dict[str, Any] = {"updated_at": None, "updated_by": stamp and stamp.updated_by}
    for instance, memory in zip(instances, memories, strict=True):
        pk, row["created_at"], row["created_by"], floor = memory
        if stamp is not None:
            # Never loaded, the row may be ahead of this host's clock.
            is_known = floor is not None or not is_stamped_by_trigger(type(instance), using)
            row["updated_at"] = stamp.updated_at if is_known else None
        write_back_elsewhere(instance, row, pk, using)


def next_time(floor: datetime | None) -> datetime:
    """Now, or just after `floor` on a host whose clock is behind the one that wrote it."""
    now = timezone.now()
    return now if floor is None or floor < now else floor + TICK


def stamps_of_insert(
    names: frozenset[str], actor: str | None, now: datetime
) -> dict[str, datetime | str | None]:
    """What the columns of a new row hold, whatever the caller put into them."""
    if len(names) == len(AUDIT_NAMES):
        return {"created_at": now, "updated_at": now, "created_by": actor, "updated_by": actor}
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
            elif name == "updated_at" and isinstance(values.get("created_at"), (date, str)):
                values[name] = values["created_at"]
            else:
                now = now or timezone.now()
                values[name] = now
