"""What the current transaction of a connection carries, as far as Python knows."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import class_prepared

from .. import actors, triggers
from ..conf import audit_settings
from .statements import Statement
from .wire import VARIABLES, Settings


class _Held:
    """What a variable holds when it is not a value that was sent."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


#: Nothing was sent in this transaction, so the variable is empty.
NOTHING: Final = _Held("NOTHING")
#: Something was sent, and may have been undone since: send again.
DOUBT: Final = _Held("DOUBT")
#: The user's SQL has set it. It stays until somebody acts in Python.
THEIRS: Final = _Held("THEIRS")

_NOTHING_HELD: Final = (NOTHING,) * len(VARIABLES)


class Wanted(NamedTuple):
    """What the variables have to hold for the next write."""

    values: tuple[str, ...]
    #: For which of them Python says nothing, so that a value set by SQL may stay.
    is_open: tuple[bool, ...]


def wanted_now(*, reading: bool = True) -> Wanted:
    """What is wanted; without `reading` a user that nobody has read yet counts as nobody."""
    label = actors.acting_label() if reading else actors.label_without_reading()
    preserve = "on" if actors.is_preserving() else ""
    context = actors.context_text() if carries_context() else ""
    return Wanted(
        (nobody_label() if label is None else label, preserve, context),
        (label is None, not preserve, not context),
    )


def nobody_label() -> str:
    """What is carried when nobody is acting.

    Usually nothing: the fallback is the trigger's. Where the trigger would take the database role
    for it, the fallback has to be said.
    """
    return audit_settings().fallback if triggers.any_model_stamps_session_user() else ""


def carries_context() -> bool:
    """Whether `app.audit_context` is carried: for projects with a trail, or by the setting."""
    wanted = audit_settings().context
    return apps.models_ready and _any_model_wants_context() if wanted is None else wanted


@functools.cache
def _any_model_wants_context() -> bool:
    return any(
        getattr(constraint, "wants_audit_context", False)
        for model in apps.get_models(include_auto_created=True)
        for constraint in model._meta.constraints
    )


def _forget_models(**kwargs: Any) -> None:
    _any_model_wants_context.cache_clear()


class_prepared.connect(_forget_models, dispatch_uid="django_audit_fields.forget_wants_context")


class Carried:
    """The variables in the transaction at hand."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Take the transaction for over, and everything local to it for gone."""
        self.carries = False  # False: nothing below matters
        self.has_sent = False  # in this transaction
        self.held: tuple[str | _Held, ...] = _NOTHING_HELD
        #: Django's `run_on_commit` of this transaction. Django makes a new list at each commit and
        #: rollback, also to a savepoint, so another list here means: undone, perhaps.
        self.commit_hooks: list[Any] | None = None

    def doubt(self) -> None:
        """Take what was sent in this transaction for undone, perhaps."""
        if self.has_sent:
            self.held = (DOUBT,) * len(VARIABLES)

    def doubt_unless_theirs(self) -> None:
        """The same, where SQL's own values stand, or are over with the transaction."""
        if self.has_sent:
            self.held = tuple(held if held is THEIRS else DOUBT for held in self.held)

    def unmet(self, wanted: Wanted) -> Settings:
        """Name and value of each variable that holds something else than it has to."""
        if self.held == wanted.values:
            return []
        return [
            (name, value)
            for name, held, value, is_open in zip(VARIABLES, self.held, *wanted, strict=True)
            # Never set and empty are the same to whoever reads the variable.
            if not (
                held == value or (held is NOTHING and not value) or (held is THEIRS and is_open)
            )
        ]

    def keep(self, wanted: Wanted, database: BaseDatabaseWrapper) -> None:
        """Remember what was sent, for as long as nothing can undo it unseen."""
        self.carries = self.has_sent = True
        self.held = tuple(
            THEIRS if held is THEIRS and is_open else value
            for held, value, is_open in zip(self.held, *wanted, strict=True)
        )
        self.commit_hooks = database.run_on_commit
        # psycopg's transaction() may roll back to a savepoint past every wrapper. No public name
        # says that one is open.
        if getattr(database.connection, "_num_transactions", 0):
            self.doubt()

    def note(self, statement: Statement, params: Any) -> None:
        """Take in what the statement itself does to the variables."""
        if not statement.has_effects:
            return
        if statement.may_undo:
            self.doubt()
        names = statement.sets
        if statement.may_set:
            self.doubt_unless_theirs()
            if params:
                names |= _texts_in(params)
        if not names.isdisjoint(VARIABLES):
            self.carries = True
            self.held = tuple(
                THEIRS if name in names else held
                for name, held in zip(VARIABLES, self.held, strict=True)
            )


def _texts_in(params: Any) -> frozenset[str]:
    values = params.values() if isinstance(params, Mapping) else params
    if not isinstance(values, Collection):
        return frozenset()  # an iterator is psycopg's to consume
    return frozenset(value.lower() for value in values if isinstance(value, str))


def sees_transactions_end(database: BaseDatabaseWrapper) -> bool:
    """Whether `run_on_commit` tells of every end: not while the project commits by itself."""
    return database.connection.autocommit or (database.in_atomic_block and database.commit_on_exit)
