"""What the current transaction of a connection carries, as far as Python knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from .. import actors, triggers
from ..conf import ACTOR_VARIABLE, PRESERVE_VARIABLE, audit_settings
from . import wire
from .statements import Statement


class _Held:
    """What a variable holds when it is not a value that was sent."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


#: Nothing was sent in this transaction.
NOTHING: Final = _Held("NOTHING")
#: Something was sent, and may since have been undone.
DOUBT: Final = _Held("DOUBT")
#: SQL set it. It stands until somebody is acting in Python.
THEIRS: Final = _Held("THEIRS")


class Wanted(NamedTuple):
    """What the two variables have to hold for the next write."""

    actor: str
    preserve: str
    #: Whether `actor` is only what nobody's writes are stamped with.
    is_nobody: bool


def wanted_now(*, reading: bool = True) -> Wanted:
    """What is wanted; without `reading` a user that nobody has read yet counts as nobody."""
    label = actors.acting_label() if reading else actors.label_without_reading()
    preserve = "on" if actors.is_preserving() else ""
    if label is not None:
        return Wanted(label, preserve, is_nobody=False)
    return Wanted(nobody_label(), preserve, is_nobody=True)


def nobody_label() -> str:
    """What is carried when nobody is acting.

    Usually nothing: the fallback is the trigger's. Where the trigger would take the database role
    for it, the fallback has to be said.
    """
    return audit_settings().fallback if triggers.any_model_stamps_session_user() else ""


class Carried:
    """The two variables in the transaction at hand."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Take the transaction for over, and everything local to it for gone."""
        self.carries = False  # whether anything below is to be looked at
        self.has_sent = False  # in this transaction
        self.actor: str | _Held = NOTHING
        self.preserve: str | _Held = NOTHING
        #: Django's list of this transaction's callbacks. Every commit and rollback it knows of,
        #: also to a savepoint, puts another in its place.
        self.commit_hooks: list[Any] | None = None
        self.sees_end = False  # whether that covers every end of a transaction

    def doubt(self) -> None:
        """Take what was sent in this transaction for undone, perhaps."""
        if self.has_sent:
            self.actor = self.preserve = DOUBT

    def doubt_unless_theirs(self) -> None:
        """The same, where at most the transaction is over, and SQL's own values with it."""
        if self.has_sent:
            self.actor = self.actor if self.actor is THEIRS else DOUBT
            self.preserve = self.preserve if self.preserve is THEIRS else DOUBT

    def unmet(self, wanted: Wanted) -> wire.Settings:
        """Name and value of each variable that holds something else than it has to."""
        unmet: wire.Settings = []
        if not (wanted.is_nobody and self.actor is THEIRS) and not _holds(self.actor, wanted.actor):
            unmet.append((ACTOR_VARIABLE, wanted.actor))
        if not (self.preserve is THEIRS and not wanted.preserve) and not _holds(
            self.preserve, wanted.preserve
        ):
            unmet.append((PRESERVE_VARIABLE, wanted.preserve))
        return unmet

    def keep(self, wanted: Wanted, database: BaseDatabaseWrapper) -> None:
        """Remember what was sent, for as long as nothing can undo it unseen."""
        self.carries = self.has_sent = True
        if not (wanted.is_nobody and self.actor is THEIRS):
            self.actor = wanted.actor
        if not (self.preserve is THEIRS and not wanted.preserve):
            self.preserve = wanted.preserve
        self.commit_hooks = database.run_on_commit
        self.sees_end = sees_transactions_end(database)
        # psycopg's own transaction() rolls back to savepoints that come by no wrapper. Nothing
        # public tells that one is open.
        if getattr(database.connection, "_num_transactions", 0):
            self.doubt()

    def note(self, statement: Statement, params: Any) -> None:
        """Take in what the statement itself does to the variables."""
        if statement.may_undo:
            self.doubt()
        names = statement.sets
        if statement.sets_config:
            self.doubt()
            if params:
                names |= _texts_in(params)
        if ACTOR_VARIABLE in names:
            self.actor, self.carries = THEIRS, True
        if PRESERVE_VARIABLE in names:
            self.preserve, self.carries = THEIRS, True


def _texts_in(params: Any) -> frozenset[str]:
    values = params.values() if isinstance(params, Mapping) else params
    if not isinstance(values, Collection):
        return frozenset()  # an iterator is psycopg's to consume
    return frozenset(value.lower() for value in values if isinstance(value, str))


def sees_transactions_end(database: BaseDatabaseWrapper) -> bool:
    """Whether `run_on_commit` tells of every end: not while the project commits by itself."""
    return database.connection.autocommit or (database.in_atomic_block and database.commit_on_exit)


def _holds(held: str | _Held, value: str) -> bool:
    # Never set and empty are the same to whoever reads the variable.
    return held == value or (held is NOTHING and not value)
