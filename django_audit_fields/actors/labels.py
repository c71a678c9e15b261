"""What a user is, and the label that one has. Knows nothing of who is acting."""

from __future__ import annotations

import inspect
from typing import Any

from django.utils.functional import LazyObject, Promise, empty
from django.utils.module_loading import import_string

from ..conf import MAX_LABEL_LENGTH, label_fault


def checked_actor(actor: Any) -> Any:
    """A plain label, or a user that can have one. Raises as `acting_as` does."""
    if issubclass(type(actor), LazyObject):
        actor = wrapped(actor)
    if isinstance(actor, Promise):
        actor = str(actor)
    if isinstance(actor, str):
        if fault := label_fault(actor):
            raise ValueError(f"An actor's label {fault}: {actor!r}.")
        return plain_text(actor)
    is_user = hasattr(actor, "is_authenticated") or hasattr(actor, "is_anonymous")
    if isinstance(actor, type) or not is_user:
        raise TypeError(f"An actor is a user or a label of 1 to 50 characters, not {actor!r}.")
    if is_somebody(actor) and is_unsaved(actor):
        raise ValueError(f"A user must be saved before it can act, and {actor!r} is not.")
    return actor


def plain_text(text: str) -> str:
    """`text` as a `str` itself: a subclass may print as something else."""
    return str.__str__(text)


def is_somebody(user: Any) -> bool:
    if user is None or user is False or getattr(user, "is_anonymous", False):
        return False
    return bool(getattr(user, "is_authenticated", True))


def is_unsaved(user: Any) -> bool:
    missing = object()
    pk = getattr(user, "pk", missing)
    if pk is missing:
        return False  # a user object of the project's own, that `ACTOR` knows how to name
    # A default from the database is an expression until the row exists.
    if pk is None or hasattr(pk, "resolve_expression"):
        return True
    state = getattr(user, "_state", None)
    # A key that the model makes by itself, such as a UUID, is there before the row is.
    return bool(state is not None and state.adding and user._meta.pk.has_default())


def is_unread(user: Any) -> bool:
    """Whether `user` is lazy and nobody has read it yet. Does not read it."""
    # Asked of the type, since isinstance() looks at `__class__`, which a lazy object reads for.
    # `_wrapped` is private to Django, and the only way to look without reading.
    return issubclass(type(user), LazyObject) and object.__getattribute__(user, "_wrapped") is empty


def wrapped(lazy: Any) -> Any:
    """What a lazy object stands for, read if need be. Raises what reading it raises."""
    if is_unread(lazy):
        _ = lazy.__class__  # any look at a lazy object reads it
    return object.__getattribute__(lazy, "_wrapped")


def label_from(actor: Any, user: Any) -> str:
    """What `ACTOR` calls this user. Raises what it raises, and ValueError for what is no label."""
    answer = (import_string(actor) if isinstance(actor, str) else actor)(user)
    if isinstance(answer, Promise):
        answer = str(answer)
    if inspect.iscoroutine(answer):
        answer.close()  # or Python warns that it was never awaited
    if fault := label_fault(answer):
        raise ValueError(
            f"It answered what is no label, since it {fault}: {answer!r}. "
            f"Have it answer 1 to {MAX_LABEL_LENGTH} characters, such as str(user.pk)."
        )
    return plain_text(answer)
