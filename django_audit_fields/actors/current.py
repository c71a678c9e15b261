"""Who is acting, and whether rows are stored as given. Imports neither HTTP nor SQL.

`claims` reads the users that it names here, `labels` what they are called, `scopes` keeps the
blocks apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import crum
from crum.signals import current_user_getter

from ..conf import audit_settings
from .claims import (
    Claim,
    RequestClaim,
    UserClaim,
    is_resolving,
    on_event_loop,
    warn_once,
    working_out,
)
from .labels import checked_actor, is_somebody, is_unread, label_from, wrapped
from .scopes import Scope
from .situation import Entry, Situation, put, restore, situation, standing


class NoActorError(RuntimeError):
    """Nobody is acting, and `NOBODY = "refuse"` wants somebody."""


def user_label(user: Any) -> str:
    """The default `ACTOR`: the user's primary key as text."""
    if user.pk is None:
        raise ValueError(f"A user that is not saved has no primary key to be known by: {user!r}.")
    return str(user.pk)


def acting_label() -> str | None:
    """The label of who is acting now, None when nobody is. Never raises."""
    entry = situation().acting
    if entry is not None:
        if entry.ended or entry.is_passing:
            entry = standing(entry)
        if entry is not None:
            held = entry.held
            return held if held is None or type(held) is str else held.label()
    if len(current_user_getter.receivers) > 1:
        return _polled_label()
    claim = _claim_in_force()
    return None if claim is None else claim.label()


def label_without_reading() -> str | None:
    """The label of who is acting, None also when it takes reading the user first. Never raises."""
    if (entry := standing(situation().acting)) is not None:
        held = entry.held
        return held.label_if_read() if isinstance(held, Claim) else held
    if len(current_user_getter.receivers) > 1:
        return _polled_label()
    claim = _claim_in_force()
    return None if claim is None else claim.label_if_read()


def _claim_in_force() -> Claim | None:
    """Whose doing it is while no `acting_as` says so."""
    named = situation().named
    if named is not None and named.stands():
        return named
    if (requesting := situation().requesting) is not None:
        return requesting
    # crum's middleware is installed without ours, or ours has not begun yet. This look-up is most
    # of what asking costs.
    request = crum.get_current_request()
    return None if request is None else RequestClaim(request)


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
    _kind = "acting"

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
        requesting = situation().requesting
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
    _kind = "preserving"

    def _held(self) -> bool:
        return True


def is_preserving() -> bool:
    """Whether all four columns are stored as given."""
    entry = situation().preserving
    return entry is not None and standing(entry) is not None


def is_undecided() -> bool:
    """Whether somebody may be acting whom an event loop cannot read, and a thread could."""
    entry = standing(situation().acting)
    claim = (naming() or situation().requesting) if entry is None else entry.held
    return isinstance(claim, Claim) and not claim.is_known and on_event_loop()


def label_for(actor: Any) -> str:
    """The label that rows written by `actor` carry. Raises what `ACTOR` raises."""
    actor = checked_actor(actor)
    if isinstance(actor, str):
        return actor
    settings = audit_settings()
    return label_from(settings.actor, actor) if is_somebody(actor) else settings.fallback


def _polled_label() -> str | None:
    """Who is acting when other packages answer crum's getter too: by crum's priorities."""
    try:
        with working_out():
            # crum logs what a receiver raises, and asks the next.
            user = crum.get_current_user()
    except Exception as error:
        # crum itself raises for an answer that it cannot read, such as a priority that is no
        # number.
        warn_once("crum.get_current_user() failed", error)
        return None
    for claim in (naming(), situation().requesting):
        if claim is not None and claim.stands_for(user):
            return claim.label()
    return UserClaim(user).label()


def name_user(user: Any, thread: int | None = None) -> None:
    """As django-crum's setter says: a user, None for nobody, False to name nobody in particular.

    `thread` is given where crum has a request, which it keeps for that thread.
    """
    said = situation()
    if said.named is not None:
        said.named.ended = True
    named = None
    # `crum.impersonate` gives back the request's user when it ends. It is not named then: token
    # authentication may still set another one.
    if user is not False and not (said.requesting and said.requesting.stands_for(user)):
        named = UserClaim(user, thread)
    put(said._replace(named=named))


def naming() -> UserClaim | None:
    """What crum's functions have set and nothing has replaced, as `Entry` has it."""
    claim = situation().named
    return claim if claim is None or claim.stands() else None


def named_user() -> Any:
    """Whom django-crum's functions name; False when they name nobody in particular."""
    claim = naming()
    return False if claim is None else claim.user()


def current_request(thread: int) -> Any:
    """The current request if this thread began it, else None."""
    claim = situation().requesting
    return claim.request if claim is not None and claim.thread == thread else None


def request_in_force() -> Any:
    """The request that is being answered here; None outside one, and where only a label acts."""
    claim = situation().requesting
    return None if claim is None else claim.request


def named_in_request(thread: int) -> bool:
    """Whether somebody is named, and was while crum knew a request of this thread."""
    named = naming()
    return situation().requesting is not None and named is not None and named.thread == thread


def requesting_user() -> Any:
    """The current request's user, maybe not read yet; False when there is no request or user."""
    claim = situation().requesting
    return False if claim is None else claim.lend_user()


def alone(label: str | None, told: object = None) -> Situation:
    """The situation where this label acts, whatever is around; None for whoever acts inside.

    `told` is what `told_by_task` answers.
    """
    return Situation(
        acting=None if label is None else Entry(label, None, None),
        context=None if told is None else Entry(told, None, None),
    )


@contextmanager
def acting_alone(label: str | None, told: object = None) -> Iterator[None]:
    """Inside it, work that another process asked for is done in that one's name."""
    before = situation()
    restore(alone(label, told))
    try:
        yield
    finally:
        restore(before)


def begin_request(request: Any, thread: int | None = None) -> Situation:
    """From here on the user of `request` is acting, unless somebody else is named.

    `thread` is the one that serves this request and, meanwhile, no other. Answers what was said
    before, which is to be restored: nothing said inside survives the request.
    """
    before = situation()
    claim = RequestClaim(request, thread)
    # Not `_replace`: it would double what this function costs.
    put(Situation(before.acting, before.named, claim, before.preserving, before.context))
    return before
