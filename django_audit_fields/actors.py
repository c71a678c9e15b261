"""Who is acting, and whether rows are stored as given. Imports neither HTTP nor SQL."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import crum
from crum.signals import current_user_getter
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.functional import LazyObject, Promise, empty
from django.utils.module_loading import import_string

from .conf import AuditSettings, audit_settings, label_fault
from .scopes import Entry, Inside, Scope, on_loop, standing, swap, works_for_loop

logger = logging.getLogger("django_audit_fields")


class NoActorError(RuntimeError):
    """Nobody is acting, and `NOBODY = "refuse"` wants somebody."""


def user_label(user: Any) -> str:
    """The default `ACTOR`: the user's primary key as text."""
    if user.pk is None:
        raise ValueError(f"A user that is not saved has no primary key to be known by: {user!r}.")
    return str(user.pk)


#: The innermost `acting_as` and those around it: a label, None for nobody, or an unread claim.
_acting: ContextVar[Entry | None] = ContextVar("audit_acting", default=None)
#: Whom django-crum's functions name; no claim when they name nobody in particular.
_named: ContextVar[UserClaim | None] = ContextVar("audit_named", default=None)
#: Whoever made the current request.
_requesting: ContextVar[RequestClaim | None] = ContextVar("audit_requesting", default=None)
_preserving: ContextVar[Entry | None] = ContextVar("audit_preserving", default=None)
_resolving: ContextVar[Entry | None] = ContextVar("audit_resolving", default=None)

Situation: TypeAlias = tuple[Any, ...]
VARIABLES: Final = (_acting, _named, _requesting, _preserving)


def acting_label() -> str | None:
    """The label of who is acting now, None when nobody is. Never raises."""
    entry = _acting.get()
    if entry is not None:
        if entry.ended or entry.is_passing:
            entry = standing(entry)
        if entry is not None:
            held = entry.held
            return held if held is None or type(held) is str else held.label()
    if len(current_user_getter.receivers) > 1:
        return _polled_label()
    claim: Claim | None = naming() or _requesting.get()
    if claim is None and (request := crum.get_current_request()) is not None:
        claim = RequestClaim(request)
    return None if claim is None else claim.label()


def label_without_reading() -> str | None:
    """The label of who is acting, None also when it takes reading the user first. Never raises."""
    if (entry := standing(_acting.get())) is not None:
        held = entry.held
        return held.label_if_read() if isinstance(held, Claim) else held
    if len(current_user_getter.receivers) > 1:
        return _polled_label()
    claim: Claim | None = naming() or _requesting.get()
    if claim is None and (request := crum.get_current_request()) is not None:
        claim = RequestClaim(request)
    return None if claim is None else claim.label_if_read()


def current_actor() -> str:
    """The label that would be stamped now; the fallback when nobody is acting. Never raises."""
    return acting_label() or audit_settings().fallback


class acting_as(Scope):  # noqa: N801 - a context manager, named for its state
    """Inside it, `actor` is who is acting: a user, or a label such as `"import:claims-2026"`.

    Context manager, async context manager, and decorator of functions, methods, coroutine
    functions, generators and async generators. Nests; restores on exit and on error; one object can
    be used again, also by several threads and tasks at once. An anonymous user means nobody.

    Raises, when called, ValueError for text that cannot be a label (1 to 50 characters that
    PostgreSQL can store) and for a user that is not saved, TypeError for what is neither user nor
    text. A lazy user that nobody has read yet is looked at when the block is entered.

    A user's label is worked out once, when the block is entered. Should `ACTOR` fail there, that is
    logged and the block is nobody's: its writes go on and carry the fallback, not the name of
    whoever acts outside. On the event loop a user that is not loaded yet waits for the first write,
    which happens in a thread.

    A generator that is paused in a `with` block takes its consumer along, since Python's context
    variables do; decorate the generator instead.
    """

    __slots__ = ("_actor",)
    _entries = _acting
    _variables = VARIABLES

    def __init__(self, actor: Any) -> None:
        self._actor = actor if is_unread(actor) else checked_actor(actor)

    def __repr__(self) -> str:
        return f"acting_as({self._actor!r})"

    def _held(self) -> Any:
        actor = self._actor
        if is_resolving():
            return None
        if type(actor) is str:
            return actor
        requesting = _requesting.get()
        if requesting is not None and requesting.stands_for(actor):
            actor = requesting.readable_user()
        if is_unread(actor) and not on_event_loop():
            try:
                with working_out():
                    wrapped(actor)
            except Exception as error:
                warn_once("The user cannot be read", error)
                return None
            actor = checked_actor(actor)
            if type(actor) is str:
                return actor
        claim = UserClaim(actor)
        label = claim.label()
        return label if claim.is_known or not on_event_loop() else claim


class preserve_audit_fields(Scope):  # noqa: N801 - a context manager, named for its state
    """Store all four columns as given; only what is NULL is still filled.

    For imports, restores and data repair. Context manager and decorator, like `acting_as`.
    """

    __slots__ = ()
    _entries = _preserving
    _variables = VARIABLES

    def _held(self) -> bool:
        return True


def is_preserving() -> bool:
    """Whether all four columns are stored as given."""
    entry = _preserving.get()
    return entry is not None and standing(entry) is not None


def is_undecided() -> bool:
    """Whether somebody may be acting whom an event loop cannot read, and a thread could."""
    entry = standing(_acting.get())
    claim = (naming() or _requesting.get()) if entry is None else entry.held
    return isinstance(claim, Claim) and not claim.is_known and on_event_loop()


def is_resolving() -> bool:
    """Whether a label is being worked out right now: a user loaded, or the project's `ACTOR` run.

    Queries made for it are nobody's, and asking for the actor meanwhile answers None.
    """
    entry = _resolving.get()
    return entry is not None and entry.stands()


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


def on_event_loop() -> bool:
    """Whether this is an event loop's thread, where Django refuses to query."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")


class Claim:
    """A user whose label is read when it is needed, then remembered."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # User, settings and label in one tuple: threads of one request see all of it or nothing.
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

    __slots__ = ("_lent", "_original", "request", "thread")

    def __init__(self, request: Any, thread: int | None = None) -> None:
        super().__init__()
        self.request = request
        self.thread = thread
        #: The user that Django's own middleware gave it, whom `auser()` loads as well.
        self._original = getattr(request, "__dict__", {}).get("user")
        #: One for each authentication during the request, of which there are few.
        self._lent: deque[Any] = deque(maxlen=8)

    def user(self) -> Any:
        try:
            return self.request.__dict__["user"]
        except (AttributeError, KeyError):
            # There is none, or a property of a request class of the project's own, which may query.
            with working_out():
                return getattr(self.request, "user", None)

    def readable_user(self) -> Any:
        user = self.user()
        if is_unread(user) and user is self._original:
            # What `await request.auser()` loaded. Private to Django; no public name was found.
            return getattr(self.request, "_acached_user", user)
        return user

    def lend_user(self) -> Any:
        """The user, for somebody who may hand it back; False when the request has none."""
        if not hasattr(self.request, "user"):
            return False
        user = self.readable_user()
        if not any(user is lent for lent in self._lent):
            self._lent.append(user)
        return user

    def stands_for(self, user: Any) -> bool:
        if user is None:
            return False
        if user is getattr(self.request, "__dict__", {}).get("user"):
            return True
        return any(user is lent for lent in self._lent)


def label_from(actor: Any, user: Any) -> str:
    """What `ACTOR` calls this user. Raises what it raises, and ValueError for what is no label."""
    answer = (import_string(actor) if isinstance(actor, str) else actor)(user)
    if isinstance(answer, Promise):
        answer = str(answer)
    if inspect.iscoroutine(answer):
        answer.close()  # or Python warns that it was never awaited
    if fault := label_fault(answer):
        raise ValueError(f"It answered what is no label, since it {fault}.")
    return plain_text(answer)


def label_for(actor: Any) -> str:
    """The label that rows written by `actor` carry. Raises what `ACTOR` raises."""
    actor = checked_actor(actor)
    if isinstance(actor, str):
        return actor
    settings = audit_settings()
    return label_from(settings.actor, actor) if is_somebody(actor) else settings.fallback


@contextmanager
def working_out() -> Iterator[None]:
    # Nobody is acting meanwhile, so that queries made for the label do not ask for it again.
    nobody = Entry(None, None, _acting.get(), is_passing=True)
    resolving, acting = _resolving.set(nobody), _acting.set(nobody)
    try:
        yield
    finally:
        nobody.ended = True
        _acting.reset(acting)
        _resolving.reset(resolving)


#: Causes that were logged; one that comes back for every row would fill the log.
_warned: set[tuple[object, ...]] = set()


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


def _polled_label() -> str | None:
    """Who is acting when other packages answer crum's getter too: by crum's priorities."""
    try:
        with working_out():
            # crum logs what a receiver raises, and asks the next.
            user = crum.get_current_user()
    except Exception as error:
        # What it cannot make sense of, such as a priority that is no number, it raises itself.
        warn_once("crum.get_current_user() failed", error)
        return None
    for claim in (naming(), _requesting.get()):
        if claim is not None and claim.stands_for(user):
            return claim.label()
    return UserClaim(user).label()


def name_user(user: Any, thread: int | None = None) -> None:
    """As django-crum's setter says: a user, None for nobody, False to name nobody in particular.

    `thread` is given where crum has a request, which it keeps for that thread.
    """
    if (replaced := _named.get()) is not None:
        replaced.ended = True
    requesting = _requesting.get()
    if user is False or (requesting is not None and requesting.stands_for(user)):
        # Given back the request's own user, as `crum.impersonate` does when it ends: naming it
        # would hold on to it, and token authentication may still set another.
        _named.set(None)
    else:
        _named.set(UserClaim(user, thread))


def naming() -> UserClaim | None:
    """What crum's functions have set and nothing has replaced, as `Entry` has it."""
    claim = _named.get()
    return claim if claim is None or claim.stands() else None


def named_user() -> Any:
    """Whom django-crum's functions name; False when they name nobody in particular."""
    claim = naming()
    return False if claim is None else claim.user()


def current_request(thread: int) -> Any:
    """The current request if this thread began it, else None."""
    claim = _requesting.get()
    return claim.request if claim is not None and claim.thread == thread else None


def named_in_request(thread: int) -> bool:
    """Whether somebody is named, and was while crum knew a request of this thread."""
    named = naming()
    return _requesting.get() is not None and named is not None and named.thread == thread


def requesting_user() -> Any:
    """The current request's user, maybe not read yet; False when there is no request or user."""
    claim = _requesting.get()
    return False if claim is None else claim.lend_user()


def situation() -> Situation:
    """All that says who is acting and how rows are stored, to be given to `restore`."""
    return tuple(variable.get() for variable in VARIABLES)


def restore(before: Situation) -> None:
    swap(VARIABLES, before)


def alone(label: str | None) -> Situation:
    """The situation where this label acts, whatever is around; None for whoever acts inside."""
    return (None if label is None else Entry(label, None, None), None, None, None)


@contextmanager
def acting_alone(label: str | None) -> Iterator[None]:
    """Inside it, work that another process asked for is done in that one's name."""
    before = situation()
    restore(alone(label))
    try:
        yield
    finally:
        restore(before)


@contextmanager
def requested_by(request: Any, thread: int | None = None) -> Iterator[Callable[[], Inside]]:
    """Inside it, the user of `request` is acting unless somebody else is named.

    `thread` is the one that serves this request and, meanwhile, no other. Nothing set inside
    survives it. Yields a function that answers what is set at that moment, for what the request
    still has to do afterwards.
    """
    before = situation()
    _requesting.set(RequestClaim(request, thread))
    try:
        yield lambda: Inside(VARIABLES, situation())
    finally:
        restore(before)
