"""A user whose label is read when it is needed, and remembered: loading one may take a query.

Reading happens inside whatever asked, so that it must neither fail nor ask in turn.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.core.exceptions import SynchronousOnlyOperation

from ..conf import AuditSettings, audit_settings
from .labels import checked_actor, is_somebody, is_unread, label_from
from .situation import Entry, on_loop, put, situation, works_for_loop

logger = logging.getLogger("django_audit_fields")

#: Not part of the situation: each statement reads it, and it is nearly always None.
_resolving: ContextVar[Entry | None] = ContextVar("audit_resolving", default=None)
#: None where `is_resolving` is false. Read for every statement, so it is the bare C function.
resolving: Final = _resolving.get

#: Causes that were logged. Each is logged once: one that comes for every row would fill the log.
_warned: set[tuple[object, ...]] = set()


def is_resolving() -> bool:
    """Whether a label is being worked out right now: a user loaded, or the project's `ACTOR` run.

    Queries made for it are nobody's, and asking for the actor meanwhile answers None.
    """
    entry = _resolving.get()
    return entry is not None and entry.stands()


def on_event_loop() -> bool:
    """Whether this is an event loop's thread, where Django refuses to query."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")


@contextmanager
def working_out() -> Iterator[None]:
    # Nobody acts meanwhile, or the queries that find the label would ask for the label themselves.
    before = situation()
    nobody = Entry(None, None, before.acting, is_passing=True)
    token = _resolving.set(nobody)
    put(before._replace(acting=nobody))
    try:
        yield
    finally:
        nobody.ended = True
        # What crum was told meanwhile stays: authentication may have named the user that it found.
        put(situation()._replace(acting=before.acting))
        _resolving.reset(token)


class Claim:
    """A user whose label is read when it is needed, then remembered."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # User, settings and label in one tuple, so that no thread reads one of them without the
        # others.
        self._known: tuple[Any, AuditSettings, str | None] | None = None

    def user(self) -> Any:
        """Who it is, by identity, maybe not read yet. May raise."""
        raise NotImplementedError

    def readable_user(self) -> Any:
        """Who it is, preferably loaded already. May raise."""
        return self.user()

    def stands_for(self, user: Any) -> bool:
        """Whether `user` is this very object. Reads nothing, never raises."""
        raise NotImplementedError

    @property
    def is_known(self) -> bool:
        return self._known is not None

    def label(self) -> str | None:
        """Never raises."""
        try:
            user = self.user()
        except Exception as error:
            if not (isinstance(error, SynchronousOnlyOperation) and on_event_loop()):
                warn_once("The user cannot be read", error)
            return None
        known = self._known
        if known is not None and known[0] is user and known[1] is audit_settings():
            return known[2]
        return self._read_label(user)

    def label_if_read(self) -> str | None:
        """The same, None when the user would have to be read first."""
        try:
            is_read = not is_unread(self.readable_user())
        except Exception as error:
            warn_once("The user cannot be read", error)
            return None
        return self.label() if is_read else None

    def _read_label(self, user: Any) -> str | None:
        settings = audit_settings()
        with working_out():
            stage = "The user cannot be read"
            try:
                readable = self.readable_user()
                if is_unread(readable) and on_event_loop():
                    return None
                if not is_somebody(readable):
                    label = None
                elif isinstance(readable, str):
                    label = checked_actor(readable)
                else:
                    stage = f"AUDIT_FIELDS['ACTOR'], {settings.actor!r}, failed"
                    label = label_from(settings.actor, readable)
            except Exception as error:
                # Not remembered: what fails now may work for the next write.
                if not (isinstance(error, SynchronousOnlyOperation) and on_event_loop()):
                    warn_once(stage, error)
                return None
        self._known = (user, settings, label)
        return label


class UserClaim(Claim):
    """A user that somebody named."""

    __slots__ = ("_user", "ended", "off_loop", "thread")

    def __init__(self, user: Any, thread: int | None = None) -> None:
        super().__init__()
        self._user = user
        self.thread = thread
        self.ended = False
        self.off_loop = not on_loop()

    def stands(self) -> bool:
        return not (self.ended and self.off_loop and works_for_loop())

    def user(self) -> Any:
        return self._user

    def stands_for(self, user: Any) -> bool:
        return user is self._user


class RequestClaim(Claim):
    """The user of a request, which authentication may set at any time during it."""

    __slots__ = ("_answered", "_lent", "_original", "request", "thread", "told")

    def __init__(self, request: Any, thread: int | None = None) -> None:
        super().__init__()
        self.request = request
        self.thread = thread
        own = getattr(request, "__dict__", {})
        #: `request.user` as the middleware before ours set it; `auser()` answers the same user.
        self._original = own.get("user")
        self._answered: Any = None
        #: The users lent to crum, one for each authentication during the request.
        self._lent: deque[Any] | None = None
        #: What the request tells of a change, worked out when it is first asked.
        self.told: Any = None
        if (auser := own.get("auser")) is not None:
            request.auser = self._noting(auser)

    def _noting(self, auser: Callable[[], Any]) -> Callable[[], Any]:
        """`auser`, with its answer noted: then nobody has to load the user again."""

        async def noted() -> Any:
            self._answered = user = await auser()
            return user

        return noted

    def user(self) -> Any:
        try:
            return self.request.__dict__["user"]
        except (AttributeError, KeyError):
            # No such attribute; or `user` is a property of the project's own request class, and may
            # query.
            with working_out():
                return getattr(self.request, "user", None)

    def readable_user(self) -> Any:
        user = self.user()
        if self._answered is not None and user is self._original and is_unread(user):
            return self._answered
        return user

    def lend_user(self) -> Any:
        """The user, for somebody who may hand it back; False when the request has none."""
        if not hasattr(self.request, "user"):
            return False
        user = self.readable_user()
        if self._lent is None:
            self._lent = deque(maxlen=8)
        if not any(user is lent for lent in self._lent):
            self._lent.append(user)
        return user

    def stands_for(self, user: Any) -> bool:
        if user is None:
            return False
        if user is getattr(self.request, "__dict__", {}).get("user"):
            return True
        return any(user is lent for lent in self._lent or ())


def text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # an error of the project's own may be unable to say what it is
        return ""


def warn_once(what: str, error: Exception) -> None:
    cause = (what, type(error), text_of(error), str(traceback.extract_tb(error.__traceback__)[-1:]))
    if cause in _warned:
        return
    if len(_warned) >= 1000:
        _warned.clear()
    _warned.add(cause)
    logger.warning(
        "%s; writes carry the fallback: %s: %s",
        what,
        type(error).__name__,
        text_of(error),
        exc_info=error,
    )
