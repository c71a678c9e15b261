"""Who is acting, and whether rows are stored as given. Knows neither HTTP nor SQL."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from django.utils.module_loading import import_string

from .conf import audit_settings, label_fault

logger = logging.getLogger("django_audit_fields")


class NoActorError(RuntimeError):
    """Nobody is acting, and `NOBODY = "refuse"` wants somebody."""


def user_label(user: Any) -> str:
    """The default `ACTOR`: the user's primary key as text."""
    return str(user.pk)


#: The innermost `acting_as`: its label (None is nobody), or no entry.
_acting: ContextVar[tuple[str | None] | None] = ContextVar("audit_acting", default=None)
#: Answers the authenticated user of the current request when called, None for nobody.
_request_user: ContextVar[Callable[[], Any] | None] = ContextVar("audit_request_user", default=None)
_preserving: ContextVar[bool] = ContextVar("audit_preserving", default=False)


def label_of(actor: Any) -> str | None:
    if isinstance(actor, str):
        if fault := label_fault(actor):
            raise ValueError(f"An actor label {fault}: {actor!r}.")
        return actor
    if getattr(actor, "is_anonymous", False):
        return None
    get_label = audit_settings().actor
    return str((import_string(get_label) if isinstance(get_label, str) else get_label)(actor))


def acting_label() -> str | None:
    """The label of who is acting now, None when nobody is. Never raises."""
    if (entry := _acting.get()) is not None:
        return entry[0]
    if (get_user := _request_user.get()) is not None:
        user = get_user()
        return None if user is None else label_of(user)
    return None


def current_actor() -> str:
    """The label that would be stamped now; the fallback when nobody is acting. Never raises."""
    return acting_label() or audit_settings().fallback


@contextlib.contextmanager
def acting_as(actor: Any) -> Iterator[None]:
    token = _acting.set((label_of(actor),))
    try:
        yield
    finally:
        _acting.reset(token)


def is_preserving() -> bool:
    """Whether all four columns are stored as given."""
    return _preserving.get()


@contextlib.contextmanager
def preserve_audit_fields() -> Iterator[None]:
    """Store all four columns as given; only what is NULL is still filled."""
    token = _preserving.set(True)
    try:
        yield
    finally:
        _preserving.reset(token)
