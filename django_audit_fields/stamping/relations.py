"""The managers that Django makes for relations, where those derive from ours.

Django's `add`, `remove` and `set` write past the model's manager, or open a block before they ask
it, and leave the instances that they were handed as they were. What Django makes for a relation is
a subclass of the related model's default manager, and Python tells a class of its subclasses: so
these methods can be given what they lack.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from django.db import models, router, transaction

from ..actors import acting_label, is_preserving
from ..conf import audit_settings
from .memory import (
    bulk_stamp,
    is_audited,
    recall,
    refuses_nobody,
    require_actor,
    stamp_for,
    tell,
    unwrapped,
    updated_names,
)

_Model = TypeVar("_Model", bound=models.Model, covariant=True)
Write = Callable[..., Any]

#: Where Django defines the classes that it makes for relations.
MODULES: Final = frozenset(
    ("django.db.models.fields.related_descriptors", "django.contrib.contenttypes.fields")
)


class RelatingManager(models.Manager[_Model]):
    """A manager whose relations stamp what they write, and tell the instances handed to them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ in MODULES:
            for name, around in AROUND.items():
                if name in cls.__dict__:
                    setattr(cls, name, surrounded(cls.__dict__[name], around))


def surrounded(write: Write, around: Write) -> Write:
    # Positional only, all of these: what is named may be any field's name.
    @functools.wraps(write)
    def method(manager: Any, /, *args: Any, **options: Any) -> Any:
        return around(manager, functools.partial(write, manager), *args, **options)

    return method


def add(manager: Any, write: Write, /, *objs: Any, **options: Any) -> None:
    model = manager.model
    if links_rows(manager):
        with refusable(manager):
            write(*objs, **options)
        return
    objs = tuple(unwrapped(objs))
    if objs and is_audited(model):
        require_actor(model, objs)
    using = router.db_for_write(model, instance=manager.instance)
    if (
        not objs
        or not options.get("bulk", True)
        or not stamps_updates(model)
        or len(rows_at_hand(objs, model, using)) < len(objs)
    ):
        write(*objs, **options)  # which saves each, or says what is wrong
        return
    if hasattr(manager, "_check_fk_val"):
        manager._check_fk_val()
    manager._remove_prefetched_objects()
    related = related_values(manager)
    memories = [recall(obj, using) for obj in objs]
    for obj in objs:
        for name, value in related.items():
            setattr(obj, name, value)
    stamp = stamp_for(model, memories)
    values = {name: getattr(stamp, name) for name in updated_names(model)}
    # The manager that Django takes, which may be ours or anybody's, and usually is a plain one.
    rows = model._base_manager.using(using).filter(pk__in=[pk for pk, *_ in memories])
    with bulk_stamp(model, stamp) as call:
        rows.update(**related, **values)
    tell(objs, memories, stamp if call.is_kept else None, using)


def remove(manager: Any, write: Write, /, *objs: Any, **options: Any) -> None:
    model = manager.model
    if links_rows(manager) or is_generic(manager) or not objs or not is_audited(model):
        write(*objs, **options)  # rows are deleted, or not ours
        return
    objs = tuple(unwrapped(objs))
    require_actor(model)
    using = router.db_for_write(model, instance=manager.instance)
    # Also those that were read from a replica.
    told = [obj for obj in objs if isinstance(obj, model)] if stamps_updates(model) else []
    memories = [recall(obj, using) for obj in told]
    stamp = None
    if told and options.get("bulk", True):
        stamp = stamp_for(model, memories)
        with bulk_stamp(model, stamp) as call:
            write(*objs, **options)
        stamp = stamp if call.is_kept else None
    else:
        write(*objs, **options)  # saves instances of its own, not those at hand
    tell(told, memories, stamp, using)


def clear(manager: Any, write: Write, /, **options: Any) -> None:
    with refusable(manager):
        write(**options)


def assign(manager: Any, write: Write, /, objs: Iterable[Any], **options: Any) -> None:
    objs = tuple(objs)
    with refusable(manager):
        write(objs, **options)
    model = manager.model
    if options.get("clear") and not links_rows(manager) and stamps_updates(model):
        # Changed twice: where this host's clock is behind, the trigger had the last word.
        using = router.db_for_write(model, instance=manager.instance)
        told = rows_at_hand(unwrapped(objs), model, using)
        tell(told, [recall(obj, using) for obj in told], None, using)


def create(manager: Any, write: Write, /, *args: Any, **values: Any) -> Any:
    if not links_rows(manager):
        return write(*args, **values)  # our queryset asks before there is a block
    with refusable(manager):
        return write(*args, **values)


#: What of Django's gets something of ours around it.
AROUND: Final[Mapping[str, Write]] = {
    "add": add,
    "clear": clear,
    "create": create,
    "get_or_create": create,
    "remove": remove,
    "set": assign,
    "update_or_create": create,
}


@contextmanager
def refusable(manager: Any) -> Iterator[None]:
    """Keep an enclosing transaction usable when nobody is acting, and the relation refuses that.

    Whether there is anything to write is not known before Django has opened a block of its own.
    """
    written = [manager.model, manager.through] if links_rows(manager) else [manager.model]
    default = audit_settings().nobody
    if any(is_audited(model) and refuses_nobody(model, default) for model in written) and (
        acting_label() is None
    ):
        with transaction.atomic(using=router.db_for_write(written[-1], instance=manager.instance)):
            yield
    else:
        yield


def links_rows(manager: Any) -> bool:
    """Whether the relation is many-to-many, so that what is written are rows of `through`."""
    return hasattr(manager, "through")


def is_generic(manager: Any) -> bool:
    return hasattr(manager, "content_type_field_name")


def related_values(manager: Any) -> dict[str, Any]:
    """What makes a row one of the relation's."""
    if is_generic(manager):
        return {
            manager.content_type_field_name: manager.content_type,
            manager.object_id_field_name: manager.pk_val,
        }
    return {manager.field.name: manager.instance}


def stamps_updates(model: type[models.Model]) -> bool:
    return is_audited(model) and bool(updated_names(model)) and not is_preserving()


def rows_at_hand(
    objs: Iterable[Any], model: type[models.Model], using: str | None
) -> list[models.Model]:
    """Those that stand for a row of this database."""
    return [
        obj
        for obj in objs
        if isinstance(obj, model) and not obj._state.adding and obj._state.db == using
    ]
