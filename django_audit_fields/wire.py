"""How settings travel to PostgreSQL: their SQL, and the round trip that they share.

What is sent here passes by Django's wrappers and its log of queries.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, Escaping, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from .conf import ACTOR_VARIABLE, PRESERVE_VARIABLE

logger = logging.getLogger("django_audit_fields")

Connection = psycopg.Connection[Any]
Settings = list[tuple[str, str]]

IDLE: Final = TransactionStatus.IDLE
IN_TRANSACTION: Final = TransactionStatus.INTRANS
IN_ERROR: Final = TransactionStatus.INERROR

_NO_PIPELINE: Final = PipelineStatus.OFF

# `current_user` is a reserved word: SET takes it only in quotes.
_QUOTED_NAMES: Final = {
    name: '{}."{}"'.format(*name.split(".")).encode()
    for name in (ACTOR_VARIABLE, PRESERVE_VARIABLE)
}


@functools.cache
def can_pipeline() -> bool:
    """Not with a libpq older than 14: what is sent then takes a round trip of its own.

    Nor with a psycopg that has not got what `_RoundTrip` takes the place of.
    """
    return psycopg.Pipeline.is_supported() and all(
        hasattr(psycopg.Pipeline, name)
        for name in ("_communicate_gen", "_sync_gen", "_process_results")
    )


def in_pipeline(connection: Connection) -> bool:
    return bool(connection.pgconn.pipeline_status != _NO_PIPELINE)


def set_local_sql(connection: Connection, settings: Settings) -> list[bytes]:
    """For a transaction block. Proxies let go of a connection at its end after SET LOCAL."""
    return [
        b"SET LOCAL %b TO %b" % (_QUOTED_NAMES[name], _literal(connection, value))
        for name, value in settings
    ]


def set_config_sql(connection: Connection, settings: Settings) -> list[bytes]:
    """For autocommit, where the server would log a warning for SET LOCAL."""
    calls = [
        b"pg_catalog.set_config('%b', %b, true)" % (name.encode(), _literal(connection, value))
        for name, value in settings
    ]
    return [b"SELECT " + b", ".join(calls)]


def send(connection: Connection, statements: list[bytes]) -> None:
    """Execute `statements` in one round trip, that which opens the transaction where one is due."""
    if in_pipeline(connection):
        _execute(connection, statements)
    elif connection.autocommit or connection.pgconn.transaction_status != IDLE:
        _execute(connection, [b"; ".join(statements)])
    elif can_pipeline():
        with _RoundTrip(connection, statements[:-1]):
            _execute(connection, statements[-1:])
    else:
        _execute(connection, statements)


def _execute(connection: Connection, statements: list[bytes]) -> None:
    for statement in statements:
        psycopg.Cursor(connection).execute(statement, prepare=False)


@contextlib.contextmanager
def block(
    connection: Connection, statements: list[bytes], cursor: psycopg.Cursor[Any]
) -> Iterator[None]:
    """A transaction in autocommit for what `cursor` executes, beginning with `statements`.

    They and the BEGIN share a round trip. The COMMIT takes another.
    """
    _execute(connection, [b"; ".join([_begin_sql(connection), *statements])])
    try:
        yield
    except BaseException:
        if connection.pgconn.status == ConnStatus.OK:
            connection.rollback()
        raise
    try:
        connection.commit()
    except psycopg.Error:
        # As if the statement had failed, which is what it did: the cursor holds no result of it.
        if hasattr(cursor, "_reset"):
            cursor._reset(reset_query=False)
        raise


def send_ahead(
    connection: Connection, statements: list[bytes], run: Callable[[], Any], *, many: bool
) -> Any:
    """Send `statements` and what `run` has a cursor execute in one round trip.

    What opens the transaction, where one is due, is in there too. `many`: `run` is an
    `executemany()`.
    """
    with _RoundTrip(connection, statements, many=many):
        return run()


class _RoundTrip(psycopg.Pipeline):
    """A pipeline for what one call of a cursor executes, behind something that is sent ahead.

    psycopg's own sends each statement, the Sync and a Flush in packets of their own and waits three
    times for it, which is twice the cost. It also loses an error that comes as late as the end of
    the transaction, a deferred foreign key's above all: one more answer than it counts on.

    Here all of it is sent when the cursor first waits, and every answer is read before the first is
    handed out, so that a cursor whose statement is undone has no result, as without a pipeline.
    `executemany()` sends and reads by turns as ever; only the end is this one's.
    """

    def __init__(self, connection: Connection, ahead: list[bytes], *, many: bool = False) -> None:
        super().__init__(connection)
        self._ahead = ahead
        self._many = many
        self._opens = False
        self._has_sent = False
        self._is_awaiting = False

    def __enter__(self) -> Self:
        self.level += 1
        if self.level > 1:
            return self  # a cursor of the project's own uses pipelines
        connection = self._conn
        with connection.lock:
            self.pgconn.enter_pipeline_mode()
            connection._pipeline = self
        if connection.autocommit or self.pgconn.transaction_status != IDLE:
            self._queue_ahead()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.level -= 1
        if self.level:
            return
        pgconn = self.pgconn
        try:
            if pgconn.status == ConnStatus.OK:
                self._finish()
        except psycopg.Error as error:
            if exc_val is None:
                raise error.with_traceback(None) from None
            if not isinstance(error, psycopg.errors.PipelineAborted):
                logger.warning("Error ignored behind another in %r: %s", self, error)
        finally:
            self._conn._pipeline = None
            if pgconn.status == ConnStatus.OK:
                pgconn.exit_pipeline_mode()

    def _finish(self) -> None:
        """Send what is still queued, read what is still due.

        Nothing goes for a statement that was never sent, except the BEGIN that goes ahead of it.
        """
        if self._is_awaiting:  # it was interrupted, and nobody waits for these any more
            with self._conn.lock:
                self._conn.wait(self._read_gen())
        elif (self._has_sent and self._many) or (
            self.command_queue and (self._has_sent or self._opens)
        ):
            with self._conn.lock:
                self._conn.wait(self._send_and_read_gen())

    def _queue_ahead(self) -> None:
        for statement in self._ahead:
            self.command_queue.append(
                functools.partial(self.pgconn.send_query_params, statement, None)
            )
            self.result_queue.append(None)
        self._ahead = []

    def _sync_gen(self) -> PQGen[None]:
        """Called by psycopg behind the BEGIN that it puts before the first statement."""
        if not self._has_sent:
            self._opens = True
            self._queue_ahead()
        elif self.command_queue:
            yield from self._communicate_gen()

    def _communicate_gen(self) -> PQGen[None]:
        """Called by psycopg when a statement is queued."""
        if self._ahead:
            raise psycopg.NotSupportedError(
                f"psycopg {psycopg.__version__} opens transactions in a way that this version of "
                "django-pg-audit-fields does not know, so that the write would be in nobody's "
                "name. Use a version of psycopg that its release notes name."
            )
        self._has_sent = True
        if self._many:
            yield from super()._communicate_gen()
        else:
            yield from self._send_and_read_gen()

    def _send_and_read_gen(self) -> PQGen[None]:
        commands, waiting = self.command_queue, self.result_queue
        while commands:
            commands.popleft()()
        self.pgconn.pipeline_sync()
        self._is_awaiting = True
        yield from generators.send(self.pgconn)
        answers = yield from self._read_gen()
        # One more than anybody waits for is the error of what was put off to the end.
        for answer in answers[len(waiting) :]:
            waiting.clear()
            self._process_results(None, answer)
        first_error: psycopg.Error | None = None
        for answer in answers:
            try:
                self._process_results(waiting.popleft(), answer)
            except psycopg.Error as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def _read_gen(self) -> PQGen[list[list[PGresult]]]:
        """Read every answer up to that to the Sync, which stays out."""
        answers: list[list[PGresult]] = []
        ends = 0
        try:
            # An answer ends with nothing. What executemany() read by turns may have left that much
            # of its last one; twice nothing is the end of all.
            while ends < 2:
                results = yield from generators.fetch_many(self.pgconn)
                if not results:
                    ends += 1
                elif results[0].status == ExecStatus.PIPELINE_SYNC:
                    break
                else:
                    ends = 0
                    answers.append(results)
        except psycopg.Error:
            # A server that ends the session says why before it goes.
            if not any(answer[0].status == ExecStatus.FATAL_ERROR for answer in answers):
                raise
        self._is_awaiting = False
        return answers


def forget_prepared(connection: Connection, sqlstate: str) -> None:
    """After an error in a pipeline in autocommit: let psycopg prepare its statements anew.

    In a pipeline it takes a statement for prepared before the server has answered, and would go on
    to execute by name what does not exist. A rollback makes it forget, and none comes by itself
    here. Bad data and violated constraints come up later than that.
    """
    if (
        connection.prepare_threshold is not None
        and sqlstate[:2] not in ("22", "23", "P0")
        and connection.pgconn.transaction_status == IDLE
    ):
        send(connection, [b"BEGIN", b"ROLLBACK"])


def _begin_sql(connection: Connection) -> bytes:
    """What psycopg opens a transaction with."""
    parts = ["BEGIN"]
    if (level := connection.isolation_level) is not None:
        parts.append("ISOLATION LEVEL " + psycopg.IsolationLevel(level).name.replace("_", " "))
    if (read_only := connection.read_only) is not None:
        parts.append("READ ONLY" if read_only else "READ WRITE")
    if (deferrable := connection.deferrable) is not None:
        parts.append("DEFERRABLE" if deferrable else "NOT DEFERRABLE")
    return " ".join(parts).encode()


def _literal(connection: Connection, value: str) -> bytes:
    if value.isascii() and value.isalnum():  # as keys of users are: the same in each encoding
        return b"'%b'" % value.encode()
    try:
        encoded = value.encode(connection.info.encoding)
    except UnicodeEncodeError:
        # The write goes on, in nobody's name rather than in another's.
        logger.warning(
            "The connection's encoding, %s, has no way to say %r; writes carry the fallback.",
            connection.info.encoding,
            value,
        )
        encoded = b""
    return Escaping(connection.pgconn).escape_literal(encoded)
