"""The execute wrapper that tells PostgreSQL who is acting, ahead of a statement that may write.

What it sends lasts as long as the transaction and travels in the statement's own round trip. The
statement stays as it is: its text, its results, its errors, its place in the log of queries.
What it cannot see stands in docs/reference/statements.md.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import actors
from ..actors import is_resolving
from ..conf import audit_settings
from . import wire
from .calls import Call, Execute, beneath_other_wrappers, is_usable, sqlstate_of, statement_of
from .carried import (
    Carried,
    Wanted,
    carries_context,
    nobody_label,
    sees_transactions_end,
    wanted_now,
)
from .reads import is_plain_select, may_read_user
from .round_trip import Connection, RoundTrip
from .statements import Statement, is_one_write, read_statement
from .wire import ACTIVE, IDLE, IN_ERROR, IN_TRANSACTION

#: PostgreSQL's error for a COMMIT inside a block that was opened around it.
INVALID_TRANSACTION_TERMINATION: Final = "2D000"

#: All of this process. After a fork each gets a new lock: a thread of the parent may hold the old.
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
        #: A `RoundTrip` to use again, since making one is part of what a write costs.
        self.trips: list[RoundTrip] = []

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: Any) -> Any:
        database: BaseDatabaseWrapper = context["connection"]
        if type(execute) is partial:
            return beneath_other_wrappers(execute, database, self)(sql, params, many, context)
        # Setting and statement are two steps, and no other thread may come between them where
        # threads share the connection. To find out whether they do would cost more than the lock.
        with self.lock:
            if type(sql) is str and not many and "\\" not in sql:
                if not self.carries:
                    if is_plain_select(sql):
                        return execute(sql, params, many, context)
                    if is_one_write(sql):
                        return self._carry_one(execute, sql, params, context)
                if self._has_nothing_to_say(read_statement(sql), sql, database):
                    return execute(sql, params, many, context)
            return self._carry(execute, sql, params, many, context)

    def _has_nothing_to_say(
        self, statement: Statement, sql: str, database: BaseDatabaseWrapper
    ) -> bool:
        """Whether nothing is wanted for `sql`, or its transaction surely holds all of it."""
        if statement.has_effects or statement.controls_transaction or is_resolving():
            return False
        if not (self.carries or statement.writes):
            return not (statement.reads and audit_settings().carry_reads)
        return (
            self.carries
            and self.commit_hooks is database.run_on_commit
            and database.connection.pgconn.transaction_status == IN_TRANSACTION
            and sees_transactions_end(database)
            and self.held == wanted_now(reading=statement.writes or may_read_user(sql)).values
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
            and not wire.in_pipeline(connection)
            and not actors.is_preserving()
            and not isinstance(cursor, psycopg.ServerCursor)
        ):
            # To read the user may take a SELECT, which comes through this method again.
            label = actors.acting_label()
            if label is None:
                label = nobody_label()
            told = actors.context_text() if carries_context() else ""
            if not label and not told:
                return execute(sql, params, False, context)
            if not self.carries and pgconn.transaction_status == IDLE and wire.can_pipeline():

                def run(params: Any) -> Any:
                    return execute(sql, params, False, context)

                ahead = wire.set_both_sql(connection, label, told)
                trip = self.trips.pop() if self.trips else RoundTrip(connection)
                with database.wrap_database_errors:
                    result = trip.send_ahead(connection, ahead, run, params)
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
            or not is_usable(cursor, connection)
            or (statement := statement_of(sql, connection)) is None
        ):
            return run(params)  # Django or psycopg says what is wrong
        is_asking = is_resolving()
        is_due = statement.writes or (statement.reads and audit_settings().carry_reads)
        if not (is_due or self.carries or is_asking or statement.has_effects):
            return run(params)
        if many and statement.may_commit and isinstance(params, Iterator):
            params = list(params)  # the statement may have to run twice
        call = Call(run, statement, params, many, database, cursor, is_due)
        pgconn = connection.pgconn
        if self.carries and pgconn.transaction_status == IDLE:
            self.forget()
        wanted = None
        if (is_due and not (is_asking and statement.reads)) or (self.carries and not is_asking):
            # To read the user may take a SELECT, which comes through this method again and may open
            # the transaction. So its status is read after that.
            wanted = wanted_now(reading=statement.writes or may_read_user(sql))
        status = pgconn.transaction_status
        if status == ACTIVE:
            # Another thread runs a statement on this connection, past Django's wrappers: wait for
            # it.
            with connection.lock:
                status = pgconn.transaction_status
        if wire.in_pipeline(connection):
            return self._ride(call, wanted)
        if status == IDLE and connection.autocommit:
            if wanted is None or not any(wanted.values):
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
        run, statement, params, many, database, cursor, _ = call
        if not statement.may_be_wrapped:
            return run(params)
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
        # The body of this CALL or DO commits, which PostgreSQL refuses beside another statement.
        # All that it did is undone, so it runs again without the setting.
        database.errors_occurred = errors_occurred
        return run(params)

    def _carry_inside(self, call: Call, wanted: Wanted | None) -> Any:
        """In a transaction, or about to open one: what is sent stays for the statements to come."""
        run, statement, params, many, database, cursor, _ = call
        connection = cursor.connection
        if database.run_on_commit is not self.commit_hooks or statement.rolls_back_to:
            self.doubt()
        elif call.is_due and not sees_transactions_end(database):
            self.doubt_unless_theirs()
        # Nothing goes ahead of a plain SAVEPOINT or COMMIT. A string that holds one may also write.
        takes = statement.writes or not statement.controls_transaction
        settings = self.unmet(wanted) if wanted is not None and takes else []
        if wanted is None or not settings:
            self.note(statement, params)
            return run(params)
        statements = wire.set_local_sql(connection, settings)
        if statement.rolls_back_to:
            savepoint = statement.rolls_back_to.encode(connection.info.encoding)
            statements = wire.beneath(savepoint, statements)
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
        self.doubt()  # how far PostgreSQL is in the user's pipeline is not known
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
        wanted = wanted_now()
        # Also when nobody is acting: then the variable is cleared.
        wanted = wanted._replace(is_open=(False, *wanted.is_open[1:]))
        connection = database.connection
        if connection.pgconn.transaction_status == IDLE:
            self.forget()
        if database.run_on_commit is not self.commit_hooks or not sees_transactions_end(database):
            self.doubt()
        if settings := self.unmet(wanted):
            with database.wrap_database_errors:
                wire.send(connection, wire.set_local_sql(connection, settings))
            self.keep(wanted, database)
