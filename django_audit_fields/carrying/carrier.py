"""The execute wrapper that tells PostgreSQL who is acting, ahead of a statement that may write.

What it sends lasts as long as the transaction and travels in the statement's own round trip. The
statement stays as it is: its text, its results, its errors, its place in the log of queries.

What it cannot see, and what then happens:

* `cursor.copy()`, `callproc()`, a SELECT of a function that writes: `bind_actor()` is for them.
* A string in autocommit that holds a BEGIN or COMMIT of its own is left to itself: the fallback.
* A CALL or DO whose body commits, in autocommit: newer servers refuse it in a transaction of any
  kind, so it runs again without one, with the fallback. Sequences it used have moved on.
* `cursor.stream()`, and what is executed past Django on `connection.connection`.
* A string in a transaction that holds a ROLLBACK TO of its own ahead of a write, and not as its
  first statement: what was sent before it may be undone by it.
* SQL that sets the variable, `SET LOCAL app."current_user" TO …` or `set_config('app.current_user',
  …, true)`, has its way until somebody is acting in Python. A function's body that does so is not
  seen: what it leaves in the variable stays until the actor changes.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import actors
from ..actors import is_resolving, resolving
from . import wire
from .calls import (
    Call,
    Execute,
    beneath_other_wrappers,
    executes_as_psycopg,
    has_standard_strings,
    sqlstate_of,
    text_of,
)
from .carried import Carried, Wanted, nobody_label, sees_transactions_end, wanted_now
from .statements import is_one_write, read_statement
from .wire import ACTIVE, IDLE, IN_ERROR, IN_TRANSACTION, Connection, RoundTrip

_COLUMNS_FIRST: Final = re.compile(r'SELECT (?:DISTINCT )?"[^"]+"\."')

#: What PostgreSQL answers a COMMIT where there is no place for one.
INVALID_TRANSACTION_TERMINATION: Final = "2D000"


#: Of this process, so that a fork can give them locks that no thread of its parent's holds.
_carriers: weakref.WeakSet[ActorCarrier] = weakref.WeakSet()


def _renew_locks() -> None:
    for carrier in _carriers:
        carrier.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class ActorCarrier(Carried):
    """An execute wrapper that knows what its connection's current transaction carries."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        _carriers.add(self)
        #: A round trip that can be taken again; making one is a part of what it costs.
        self.trips: list[RoundTrip] = []

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if type(execute) is partial:
            return beneath_other_wrappers(execute, self)(sql, params, many, context)
        # What is sent ahead and the statement are two steps. Where threads share the connection,
        # no other may come between; to ask whether they do costs more than the lock.
        with self.lock:
            # Nearly every statement leaves by one of these three doors.
            if type(sql) is str:
                if not self.carries:
                    # A SELECT that sets no variable, told from the text alone.
                    if (
                        sql[:7] == "SELECT "
                        and ";" not in sql
                        and ("(" not in sql or "set_config" not in sql.lower())
                        and resolving() is None
                    ):
                        return execute(sql, params, many, context)
                    if not many and is_one_write(sql):
                        return self._carry_one(execute, sql, params, context)
                elif self._carries_all_that(sql, context["connection"]) and not is_resolving():
                    return execute(sql, params, many, context)
            return self._carry(execute, sql, params, many, context)

    def _carries_all_that(self, sql: str, database: BaseDatabaseWrapper) -> bool:
        """Whether the transaction surely goes on and holds what `sql` needs, and holds it after."""
        return (
            self.sees_end
            and self.commit_hooks is database.run_on_commit
            and self.actor == (_label_for_reading() if _only_reads(sql) else actors.acting_label())
            and self.preserve == ("on" if actors.is_preserving() else "")
            and database.connection.pgconn.transaction_status == IN_TRANSACTION
            and ";" not in sql
            and not read_statement(sql).has_effects
        )

    def _carry_one(self, execute: Execute, sql: str, params: Any, context: Any) -> Any:
        """The short way for a single write in autocommit, to where `_carry` would get.

        Half of what carrying costs is Python that was not run since the last statement.
        """
        database: BaseDatabaseWrapper = context["connection"]
        connection: Connection = database.connection
        cursor = context["cursor"].cursor
        if (
            cursor.connection is connection
            and (pgconn := connection.pgconn).transaction_status == IDLE
            and connection.autocommit
            and executes_as_psycopg(type(cursor))
            and not wire.in_pipeline(connection)
            and not actors.is_preserving()
        ):
            # Who is acting may take a SELECT of its own, which comes through here.
            label = actors.acting_label()
            if label is None:
                label = nobody_label()
            if not label:
                return execute(sql, params, False, context)
            if (
                (setting := wire.set_actor_sql(label))
                and not self.carries
                and pgconn.transaction_status == IDLE
                and wire.can_pipeline()
            ):

                def run(params: Any) -> Any:
                    return execute(sql, params, False, context)

                trip = self.trips.pop() if self.trips else RoundTrip(connection)
                with database.wrap_database_errors:
                    result = trip.send_ahead(connection, [setting], run, params)
                self.trips.append(trip)  # not after an error
                return result
        return self._carry(execute, sql, params, False, context)

    def _carry(self, execute: Execute, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Execute `sql` behind whatever has to be sent first."""
        database: BaseDatabaseWrapper = context["connection"]
        cursor = context["cursor"].cursor
        connection: Connection = database.connection

        def run(params: Any) -> Any:
            return execute(sql, params, many, context)

        if (
            database.needs_rollback
            or cursor.closed
            # Compared like this, since a tracer may have put a proxy before the connection.
            or cursor.connection.pgconn is not getattr(connection, "pgconn", None)
        ):
            return run(params)  # Django or psycopg says what is wrong
        if (text := text_of(sql, connection)) is None:
            return run(params)
        statement = read_statement(
            text, standard_strings="\\" not in text or has_standard_strings(connection)
        )
        if many and statement.may_commit and isinstance(params, Iterator):
            params = list(params)  # it may have to run twice
        call = Call(run, statement, params, many, database, cursor)
        is_asking = is_resolving()
        pgconn = connection.pgconn
        if self.carries and pgconn.transaction_status == IDLE:
            self.forget()
        wanted = None
        if statement.writes or (self.carries and not is_asking):
            # Who is acting may take a SELECT of its own, which comes through here and may open the
            # transaction. So the transaction is looked at again.
            wanted = wanted_now(reading=not _only_reads(text))
        status = pgconn.transaction_status
        if status == ACTIVE:
            # Another thread's, on a connection that is shared, and past Django's wrappers.
            with connection.lock:
                status = pgconn.transaction_status
        if wire.in_pipeline(connection):
            return self._ride(call, wanted)
        if status == IDLE and connection.autocommit:
            if wanted is None or not (wanted.actor or wanted.preserve):
                return run(params)
            return self._carry_alone(call, wanted)
        if status not in (IDLE, IN_TRANSACTION) and not (
            status == IN_ERROR and statement.rolls_back_to
        ):
            self.note(statement, params)
            return run(params)
        with database.wrap_database_errors:
            if is_asking and not statement.controls_transaction:
                return self._carry_asking(call, wanted)
            return self._carry_inside(call, wanted)

    def _carry_alone(self, call: Call, wanted: Wanted) -> Any:
        """In autocommit: statement and setting share one transaction that ends with them."""
        run, statement, params, many, database, cursor = call
        if not statement.may_be_wrapped or isinstance(cursor, psycopg.ServerCursor):
            return run(params)  # behind a named cursor stands a SELECT, whatever it begins with
        connection = cursor.connection
        settings = self.unmet(wanted)
        errors_occurred = database.errors_occurred
        try:
            with database.wrap_database_errors:
                if call.takes_company:
                    return RoundTrip(connection).send_ahead(
                        connection,
                        wire.set_config_sql(connection, settings),
                        run,
                        params,
                        many=many,
                    )
                with wire.block(connection, wire.set_local_sql(connection, settings), cursor):
                    return run(params)
        except Exception as error:
            if not (statement.may_commit and sqlstate_of(error) == INVALID_TRANSACTION_TERMINATION):
                raise
        # The body of this CALL or DO commits, which takes a transaction of its own. All that it
        # did is undone, so it can run again, bare.
        database.errors_occurred = errors_occurred
        return run(params)

    def _carry_inside(self, call: Call, wanted: Wanted | None) -> Any:
        """In a transaction, or about to open one: what is sent stays for the statements to come."""
        run, statement, params, many, database, cursor = call
        connection = cursor.connection
        if database.run_on_commit is not self.commit_hooks:
            self.doubt()
        elif statement.writes and not sees_transactions_end(database):
            self.doubt_unless_theirs()
        if statement.rolls_back_to:
            self.doubt()
        # Not ahead of a SAVEPOINT or COMMIT alone; a string that holds one may write beside it.
        is_due = wanted is not None and (statement.writes or not statement.controls_transaction)
        settings = self.unmet(wanted) if wanted is not None and is_due else []
        if wanted is None or not settings:
            self.note(statement, params)
            return run(params)
        statements = wire.set_local_sql(connection, settings)
        if statement.rolls_back_to:
            savepoint = statement.rolls_back_to.encode(connection.info.encoding)
            statements = _beneath(savepoint, statements)
        try:
            if call.takes_company:
                trip = RoundTrip(connection)
                result = trip.send_ahead(connection, statements, run, params, many=many)
                if not trip.has_sent:
                    # Nothing was executed, and so nothing sent: an executemany() without rows.
                    self.note(statement, params)
                    return result
            else:
                wire.send(connection, statements)
                result = run(params)
        except BaseException:
            self.carries = self.has_sent = True
            self.doubt()
            raise
        self.keep(wanted, database)
        self.note(statement, params)
        return result

    def _carry_asking(self, call: Call, wanted: Wanted | None) -> Any:
        """Run what `actors` executes to learn who is acting, behind a savepoint.

        It may fail: the table of users cannot be read, a timeout. The write that asked goes on.
        """
        connection = call.cursor.connection
        savepoint = b"audit_fields_asking"
        wire.send(connection, [b"SAVEPOINT " + savepoint])
        try:
            result = self._carry_inside(call, wanted)
        except BaseException:
            if connection.pgconn.transaction_status == IN_ERROR:
                wire.send(connection, [b"ROLLBACK TO " + savepoint, b"RELEASE " + savepoint])
                self.doubt()
            raise
        wire.send(connection, [b"RELEASE " + savepoint])
        return result

    def _ride(self, call: Call, wanted: Wanted | None) -> Any:
        """In a pipeline of the user's: put the setting before the statement, and never wait."""
        self.doubt()  # nobody knows which of its statements PostgreSQL has got to
        if (
            wanted is not None
            and not call.statement.controls_transaction
            and (settings := self.unmet(wanted))
        ):
            connection = call.database.connection
            with call.database.wrap_database_errors:
                wire.send(connection, wire.set_config_sql(connection, settings))
            self.keep(wanted, call.database)
        self.note(call.statement, call.params)
        return call.run(call.params)

    def bind(self, database: BaseDatabaseWrapper) -> None:
        """Send what is wanted now, ahead of something that no wrapper sees."""
        wanted = wanted_now()._replace(is_nobody=False)  # asked for, even when nobody is acting
        connection = database.connection
        if connection.pgconn.transaction_status == IDLE:
            self.forget()
        if database.run_on_commit is not self.commit_hooks or not sees_transactions_end(database):
            self.doubt()
        if settings := self.unmet(wanted):
            with database.wrap_database_errors:
                wire.send(connection, wire.set_local_sql(connection, settings))
            self.keep(wanted, database)


def _beneath(savepoint: bytes, statements: list[bytes]) -> list[bytes]:
    """Execute `statements` before `savepoint`, for a string that begins by rolling back to it.

    Which is done here as well, and once more by the string itself: there is nothing left to undo.
    """
    return [
        b"ROLLBACK TO SAVEPOINT " + savepoint,
        b"RELEASE SAVEPOINT " + savepoint,
        *statements,
        b"SAVEPOINT " + savepoint,
    ]


def _only_reads(sql: str) -> bool:
    """Whether `sql` surely selects columns, as the ORM does, and calls no function first.

    The user is not read for these, since one of them may be reading it at this moment: Django
    would load session and user twice. Nor does a request that writes nothing load them.
    """
    return _COLUMNS_FIRST.match(sql) is not None


def _label_for_reading() -> str:
    return actors.label_without_reading() or ""
