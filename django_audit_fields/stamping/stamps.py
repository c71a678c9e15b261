"""Which columns a model has, and what a row is stamped with: one actor and one time."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

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
LABELS: Final = frozenset(("created_by", "updated_by"))

#: PostgreSQL's resolution of time, and so the least step forwards.
TICK: Final = timedelta(microseconds=1)


class Stamp(NamedTuple):
    """One actor and one time; None leaves the name to the trigger."""

    at: datetime
    by: str | None

    def values(self, names: Collection[str]) -> dict[str, datetime | str | None]:
        if len(names) == len(AUDIT_NAMES):  # for each save, and so without a loop
            at, by = self
            return {"created_at": at, "updated_at": at, "created_by": by, "updated_by": by}
        return {name: self.by if name in LABELS else self.at for name in names}


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


def unwrapped(instances: Iterable[_Model]) -> list[_Model]:
    """The instances themselves, where some are lazy objects: `request.user`, say."""
    return [wrapped(one) if isinstance(one, LazyObject) else one for one in instances]


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


def require_actor(model: type[models.Model], instances: Iterable[models.Model]) -> None:
    """Raise NoActorError, before anything is written, where nobody would have to be stamped.

    Rows stored as given need no actor as long as nothing in them has to be filled in.
    """
    if not refuses_nobody(model, audit_settings().nobody) or acting_label() is not None:
        return
    names = audit_names(model)
    if not is_preserving() or any(
        instance._state.adding and any(instance.__dict__.get(name) is None for name in names)
        for instance in instances
    ):
        required_actor(model)


def is_stamped_by_trigger(model: type[models.Model], using: str | None) -> bool:
    """Whether a column that is left NULL is PostgreSQL's to fill."""
    return connections[using or ""].vendor == "postgresql" and model._meta.managed


def next_time(floor: datetime | None) -> datetime:
    """Now, or just after `floor` on a host whose clock is behind the one that wrote it."""
    now = timezone.now()
    return now if floor is None or floor < now else floor + TICK


#: The instances, by `id`, that Django is writing and that carry their stamps already. Of no others:
#: a hook may write rows of its own meanwhile, which nobody has stamped.
_stamped: ContextVar[frozenset[int]] = ContextVar("audit_stamped", default=frozenset())
#: Used for every column of every row and by every save, so they are the bare C functions.
stamped_now: Final = _stamped.get
begin_stamped: Final = _stamped.set
end_stamped: Final = _stamped.reset


@contextmanager
def stamped(instances: Iterable[models.Model]) -> Iterator[None]:
    token = begin_stamped(frozenset(map(id, instances)))
    try:
        yield
    finally:
        end_stamped(token)


#: The stamp of a call that updates rows of a model in several statements.
_stamp_of_call: ContextVar[tuple[type[models.Model], Stamp] | None] = ContextVar(
    "audit_stamp_of_call", default=None
)


@contextmanager
def stamping_alike(model: type[models.Model], stamp: Stamp) -> Iterator[None]:
    token = _stamp_of_call.set((model, stamp))
    try:
        yield
    finally:
        _stamp_of_call.reset(token)


def stamp_of_update(model: type[models.Model]) -> Stamp:
    """What an `update()` of `model` stamps: the time of the call that makes it, if there is one.

    The actor is asked for anew, since a queryset's own `update()` may act as somebody else.
    """
    actor = required_actor(model)
    call = _stamp_of_call.get()
    if call is not None and call[0] is model:
        return Stamp(call[1].at, actor)
    return Stamp(timezone.now(), actor)
