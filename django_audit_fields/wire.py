"""How settings travel to PostgreSQL: their SQL, and the round trip that they share.

What is sent here passes by Django's wrappers and its log of queries.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import psycopg
from psycopg.pq import ConnStatus, Escaping, ExecStatus, PipelineStatus, TransactionStatus

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
    """Not with a libpq older than 14: what is sent then takes a round trip of its own."""
    return psycopg.Pipeline.is_supported()


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
    """Execute `statements` and wait. psycopg opens the transaction first where one is due."""
    if not in_pipeline(connection):
        statements = [b"; ".join(statements)]
    for statement in statements:
        psycopg.Cursor(connection).execute(statement, prepare=False)


def send_opening(connection: Connection, statements: list[bytes]) -> None:
    """Execute `statements` as the first of a transaction, in the round trip that opens it."""
    if not can_pipeline():
        send(connection, statements)
        return
    with connection.pipeline() as pipeline:
        _queue(connection, pipeline, [_begin_sql(connection), *statements])


def send_ahead(connection: Connection, statements: list[bytes], run: Callable[[], Any]) -> Any:
    """Send `statements` and what `run` executes in one round trip."""
    try:
        with connection.pipeline() as pipeline:
            if hasattr(pipeline, "result_queue"):
                pipeline.result_queue = _Results(pipeline.result_queue)
            _queue(connection, pipeline, statements)
            return run()
    except psycopg.OperationalError as error:
        if not in_pipeline(connection) or connection.pgconn.status != ConnStatus.OK:
            raise
        cause = error.__context__
        _leave_pipeline(connection)
        if isinstance(cause, psycopg.Error):
            raise cause.with_traceback(None) from None
        raise


class _Results(deque[Any]):
    """A pipeline's queue of who waits for a result; nobody does for one more than was asked for.

    That is the end of a pipeline whose transaction failed as late as at its end: psycopg counts one
    answer to its Sync, and there are two. Without this it loses the error over the count.
    """

    def popleft(self) -> Any:
        return super().popleft() if self else None


def _leave_pipeline(connection: Connection) -> None:
    """Take the connection out of a pipeline that psycopg could not leave.

    What fails as late as the end of the transaction, a deferred foreign key above all, is answered
    with an error ahead of the pipeline's own end, which psycopg then leaves unread.
    """
    pgconn = connection.pgconn
    while pgconn.status == ConnStatus.OK:
        result = pgconn.get_result()
        if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
            break
    pgconn.exit_pipeline_mode()


def forget_prepared(connection: Connection, sqlstate: str) -> None:
    """After an error in a pipeline in autocommit: let psycopg prepare its statements anew.

    In a pipeline it takes a statement for prepared before the server has answered, and would go on
    to execute by name what does not exist. A rollback makes it forget; here none comes. Bad data
    and violated constraints come up later than that.
    """
    if (
        connection.prepare_threshold is not None
        and sqlstate[:2] not in ("22", "23", "P0")
        and connection.pgconn.transaction_status == IDLE
    ):
        send(connection, [b"DEALLOCATE ALL"])


def _queue(connection: Connection, pipeline: psycopg.Pipeline, statements: Iterable[bytes]) -> None:
    results = getattr(pipeline, "result_queue", None)
    for statement in statements:
        if results is None:
            psycopg.Cursor(connection).execute(statement, prepare=False)
            continue
        # A cursor would push each statement out in a packet of its own, which wakes the server
        # once more: a third of what carrying costs. None: nobody reads this result.
        connection.pgconn.send_query_params(statement, None)
        results.append(None)


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
