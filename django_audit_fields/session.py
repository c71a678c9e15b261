"""The actor's way into PostgreSQL; the only Python that sets a session variable.

An `ActorCarrier` stands in each PostgreSQL connection's `execute_wrappers`. Ahead of a statement
that may write it sets `app.current_user` for the length of the transaction, in the same round
trip. It leaves the statement itself as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from psycopg import sql as psycopg_sql

try:
    from string.templatelib import Template  # type: ignore[import-not-found]  # Python 3.14
except ImportError:
    Template = None

from . import actors, triggers, wire
from .actors import is_resolving
from .conf import ACTOR_VARIABLE, PRESERVE_VARIABLE, audit_settings
from .statements import Statement, is_plain_select, read_statement
from .wire import IDLE, IN_ERROR, IN_TRANSACTION, Connection

Execute = Callable[..., Any]

#: What PostgreSQL answers a COMMIT where there is no place for one.
INVALID_TRANSACTION_TERMINATION: Final = "2D000"


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


def wanted_now() -> Wanted:
    label = actors.acting_label()
    preserve = "on" if actors.is_preserving() else ""
    if label is not None:
        return Wanted(label, preserve, is_nobody=False)
    return Wanted(_nobody_label(), preserve, is_nobody=True)


def _nobody_label() -> str:
    """What is carried when nobody is acting.

    Usually nothing: the fallback is the trigger's. Where the trigger would take the database role
    for it, the fallback has to be said.
    """
    return audit_settings().fallback if triggers.any_model_stamps_session_user() else ""


class ActorCarrier:
    """An execute wrapper that knows what its connection's current transaction carries."""

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

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if type(execute) is functools.partial:
            return _beneath_other_wrappers(execute, self)(sql, params, many, context)
        # Nearly every statement leaves by one of these two doors, at the cost of a comparison.
        if type(sql) is str:
            if not self.carries:
                if is_plain_select(sql) and not is_resolving():
                    return execute(sql, params, many, context)
            elif self._carries_all_that(sql, context["connection"]) and not is_resolving():
                return execute(sql, params, many, context)
        return self._carry(execute, sql, params, many, context)

    def _carries_all_that(self, sql: str, database: BaseDatabaseWrapper) -> bool:
        """Whether the transaction surely goes on and holds what `sql` needs, and holds it after."""
        return (
            self.sees_end
            and self.commit_hooks is database.run_on_commit
            and self.actor == actors.acting_label()
            and self.preserve == ("on" if actors.is_preserving() else "")
            and database.connection.pgconn.transaction_status == IN_TRANSACTION
            and ";" not in sql
            and not read_statement(sql).has_effects
        )

    def _carry(self, execute: Execute, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Execute `sql` behind whatever has to be sent first."""
        database: BaseDatabaseWrapper = context["connection"]
        cursor = context["cursor"].cursor
        connection: Connection = database.connection
        run = functools.partial(execute, sql, params, many, context)
        if database.needs_rollback or cursor.closed or cursor.connection is not connection:
            return run()  # Django or psycopg says what is wrong
        if (text := _text_of(sql, connection)) is None:
            return run()
        statement = read_statement(
            text, standard_strings="\\" not in text or _has_standard_strings(connection)
        )
        is_asking = is_resolving()
        pgconn = connection.pgconn
        if self.carries and pgconn.transaction_status == IDLE:
            self.forget()
        wanted = None
        if statement.writes or (self.carries and not is_asking):
            # Who is acting may take a SELECT of its own, which comes through here and may open the
            # transaction. So the transaction is looked at again.
            wanted = wanted_now()
        status = pgconn.transaction_status
        if wire.in_pipeline(connection):
            return self._ride(run, statement, wanted, database)
        if status == IDLE and connection.autocommit:
            if wanted is None or not (wanted.actor or wanted.preserve):
                return run()
            return self._carry_alone(run, statement, wanted, database, cursor)
        if status not in (IDLE, IN_TRANSACTION):
            self._note(statement, params)
            return run()
        with database.wrap_database_errors:
            if is_asking and not statement.controls_transaction:
                return self._carry_asking(run, statement, wanted, database, cursor)
            return self._carry_inside(run, statement, wanted, database, cursor, params)

    def _carry_alone(
        self,
        run: Execute,
        statement: Statement,
        wanted: Wanted,
        database: BaseDatabaseWrapper,
        cursor: Any,
    ) -> Any:
        """In autocommit: statement and setting share one transaction that ends with them."""
        if not statement.may_be_wrapped or isinstance(cursor, psycopg.ServerCursor):
            return run()  # behind a named cursor stands a SELECT, whatever it begins with
        connection = cursor.connection
        settings = self._unmet(wanted)
        errors_occurred = database.errors_occurred
        try:
            with database.wrap_database_errors:
                if statement.is_pipelinable and wire.can_pipeline():
                    return wire.send_ahead(
                        connection, wire.set_config_sql(connection, settings), run
                    )
                with connection.transaction():
                    wire.send(connection, wire.set_local_sql(connection, settings))
                    return run()
        except Exception as error:
            if not (statement.may_commit and _sqlstate(error) == INVALID_TRANSACTION_TERMINATION):
                if not isinstance(cursor, psycopg.ClientCursor):
                    wire.forget_prepared(connection, _sqlstate(error))
                raise
        # The body of this CALL or DO commits, which takes a transaction of its own. All that it
        # did is undone, so it can run again, bare.
        database.errors_occurred = errors_occurred
        return run()

    def _carry_inside(
        self,
        run: Execute,
        statement: Statement,
        wanted: Wanted | None,
        database: BaseDatabaseWrapper,
        cursor: Any,
        params: Any,
    ) -> Any:
        """In a transaction, or about to open one: what is sent stays for the statements to come."""
        connection = cursor.connection
        if database.run_on_commit is not self.commit_hooks or (
            statement.writes and not _sees_transactions_end(database)
        ):
            self.doubt()
        settings = self._unmet(wanted) if wanted and not statement.controls_transaction else []
        if wanted is None or not settings:
            self._note(statement, params)
            return run()
        statements = wire.set_local_sql(connection, settings)
        try:
            if connection.pgconn.transaction_status == IDLE:
                wire.send_opening(connection, statements)
                result = run()
            elif (
                statement.is_pipelinable
                and not isinstance(cursor, psycopg.ServerCursor)
                and wire.can_pipeline()
            ):
                result = wire.send_ahead(connection, statements, run)
            else:
                wire.send(connection, statements)
                result = run()
        except BaseException:
            self.carries = self.has_sent = True
            self.doubt()
            raise
        self._keep(wanted, database)
        self._note(statement, params)
        return result

    def _carry_asking(
        self,
        run: Execute,
        statement: Statement,
        wanted: Wanted | None,
        database: BaseDatabaseWrapper,
        cursor: Any,
    ) -> Any:
        """Run what `actors` executes to learn who is acting, behind a savepoint.

        It may fail: the table of users cannot be read, a timeout. The write that asked goes on.
        """
        connection = cursor.connection
        savepoint = b"audit_fields_asking"
        wire.send(connection, [b"SAVEPOINT " + savepoint])
        try:
            result = self._carry_inside(run, statement, wanted, database, cursor, None)
        except BaseException:
            if connection.pgconn.transaction_status == IN_ERROR:
                wire.send(connection, [b"ROLLBACK TO " + savepoint, b"RELEASE " + savepoint])
                self.doubt()
            raise
        wire.send(connection, [b"RELEASE " + savepoint])
        return result

    def _ride(
        self,
        run: Execute,
        statement: Statement,
        wanted: Wanted | None,
        database: BaseDatabaseWrapper,
    ) -> Any:
        """In a pipeline of the user's: put the setting before the statement, and never wait."""
        self.doubt()  # nobody knows which of its statements PostgreSQL has got to
        if (
            wanted is not None
            and not statement.controls_transaction
            and (settings := self._unmet(wanted))
        ):
            connection = database.connection
            with database.wrap_database_errors:
                wire.send(connection, wire.set_config_sql(connection, settings))
            self._keep(wanted, database)
        return run()

    def bind(self, database: BaseDatabaseWrapper) -> None:
        """Send what is wanted now, ahead of something that no wrapper sees."""
        wanted = wanted_now()._replace(is_nobody=False)  # asked for, even when nobody is acting
        connection = database.connection
        if connection.pgconn.transaction_status == IDLE:
            self.forget()
        if database.run_on_commit is not self.commit_hooks or not _sees_transactions_end(database):
            self.doubt()
        if settings := self._unmet(wanted):
            with database.wrap_database_errors:
                wire.send(connection, wire.set_local_sql(connection, settings))
            self._keep(wanted, database)

    def _unmet(self, wanted: Wanted) -> wire.Settings:
        """Name and value of each variable that holds something else than it has to."""
        unmet: wire.Settings = []
        if not (wanted.is_nobody and self.actor is THEIRS) and not _holds(self.actor, wanted.actor):
            unmet.append((ACTOR_VARIABLE, wanted.actor))
        if not (self.preserve is THEIRS and not wanted.preserve) and not _holds(
            self.preserve, wanted.preserve
        ):
            unmet.append((PRESERVE_VARIABLE, wanted.preserve))
        return unmet

    def _keep(self, wanted: Wanted, database: BaseDatabaseWrapper) -> None:
        """Remember what was sent, for as long as nothing can undo it unseen."""
        self.carries = self.has_sent = True
        if not (wanted.is_nobody and self.actor is THEIRS):
            self.actor = wanted.actor
        if not (self.preserve is THEIRS and not wanted.preserve):
            self.preserve = wanted.preserve
        self.commit_hooks = database.run_on_commit
        self.sees_end = _sees_transactions_end(database)
        # psycopg's own transaction() rolls back to savepoints that come by no wrapper. Nothing
        # public tells that one is open.
        if getattr(database.connection, "_num_transactions", 0):
            self.doubt()

    def _note(self, statement: Statement, params: Any) -> None:
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


def _beneath_other_wrappers(execute: Execute, around: Execute) -> Execute:
    """Put `around` directly about the cursor's own method.

    Django builds the chain of wrappers from partials. Those within it get to see a statement that
    has run, or failed, and not one that still waits in a pipeline; and what they make of the text
    is what is read here.
    """
    if isinstance(execute, functools.partial):
        return functools.partial(
            execute.func, _beneath_other_wrappers(execute.args[0], around), *execute.args[1:]
        )
    return functools.partial(around, execute)


def _text_of(sql: Any, connection: Connection) -> str | None:
    """The statement as text, None when psycopg cannot make one and is about to say so."""
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode(connection.info.encoding, errors="replace")
    try:
        if isinstance(sql, psycopg_sql.Composable):
            return sql.as_string(connection)
        if Template is not None and isinstance(sql, Template):
            text: str = psycopg_sql.as_string(sql, connection)  # psycopg 3.3
            return text
    except (psycopg.Error, TypeError, ValueError):
        pass
    return None


def _texts_in(params: Any) -> frozenset[str]:
    values = params.values() if isinstance(params, Mapping) else params
    return frozenset(value.lower() for value in values if isinstance(value, str))


def _has_standard_strings(connection: Connection) -> bool:
    return connection.pgconn.parameter_status(b"standard_conforming_strings") != b"off"


def _sees_transactions_end(database: BaseDatabaseWrapper) -> bool:
    """Whether `run_on_commit` tells of every end: not while the project commits by itself."""
    return database.connection.autocommit or (database.in_atomic_block and database.commit_on_exit)


def _sqlstate(error: Exception) -> str:
    """PostgreSQL's code for the error, empty when it is not PostgreSQL's."""
    for cause in (error, error.__cause__):
        if isinstance(cause, psycopg.Error):
            return cause.sqlstate or ""
    return ""


def _holds(held: str | _Held, value: str) -> bool:
    # Never set and empty are the same to whoever reads the variable.
    return held == value or (held is NOTHING and not value)


def bind_actor(using: str = "default") -> None:
    """Put the current actor into `app.current_user` until this transaction ends.

    For what no execute wrapper sees, `cursor.copy()` and `cursor.callproc()`, and for a SELECT of
    a function that writes. Call it again after every change of actor.
    Raises TransactionManagementError outside a transaction: the value would be gone before the
    next statement. On a database other than PostgreSQL there is nothing to bind.
    """
    database = connections[using]
    database.ensure_connection()
    is_postgresql = database.vendor == "postgresql"
    if database.get_autocommit() and not (
        is_postgresql and database.connection.pgconn.transaction_status != IDLE
    ):
        raise TransactionManagementError(
            f"bind_actor() was called outside a transaction on {using!r}: the actor would be "
            f"forgotten before the next statement. Call it inside transaction.atomic()."
        )
    if is_postgresql:
        database.validate_no_broken_transaction()
        install(database).bind(database)


def install(database: BaseDatabaseWrapper) -> ActorCarrier:
    """Give a PostgreSQL connection its carrier, once."""
    for wrapper in database.execute_wrappers:
        if isinstance(wrapper, ActorCarrier):
            return wrapper
    carrier = ActorCarrier()
    # In front: leaving an execute_wrapper() block takes the last one away, whosever it is.
    database.execute_wrappers.insert(0, carrier)
    return carrier


def carry_on_new_connection(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Receive `connection_created`."""
    if connection.vendor == "postgresql":
        install(connection).forget()


def carry_on_open_connections() -> None:
    """Reach the connections that this thread has used before the apps were ready."""
    for database in connections.all(initialized_only=True):
        if database.vendor == "postgresql":
            install(database)
