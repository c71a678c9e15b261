"""How settings travel to PostgreSQL: their SQL, and the round trip that they share.

What is sent here passes by Django's wrappers and its log of queries.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg.pq import Escaping, TransactionStatus

from ..conf import ACTOR_VARIABLE, CONTEXT_VARIABLE, PRESERVE_VARIABLE
from .round_trip import NO_PIPELINE, Connection, RoundTrip

logger = logging.getLogger("django_audit_fields")

Settings = list[tuple[str, str]]

ACTIVE: Final = TransactionStatus.ACTIVE
IDLE: Final = TransactionStatus.IDLE
IN_TRANSACTION: Final = TransactionStatus.INTRANS
IN_ERROR: Final = TransactionStatus.INERROR

#: What is carried, in this order.
VARIABLES: Final = (ACTOR_VARIABLE, PRESERVE_VARIABLE, CONTEXT_VARIABLE)

# `current_user` is a reserved word: SET takes it only in quotes.
_QUOTED_NAMES: Final = {name: '{}."{}"'.format(*name.split(".")).encode() for name in VARIABLES}


@functools.cache
def can_pipeline() -> bool:
    """Not with a libpq older than 14: what is sent then takes a round trip of its own.

    Nor with a psycopg that has not got what `RoundTrip` takes the place of.
    """
    return psycopg.Pipeline.is_supported() and all(
        hasattr(psycopg.Pipeline, name)
        for name in ("_communicate_gen", "_process_results", "_sync_gen")
    )


def in_pipeline(connection: Connection) -> bool:
    return bool(connection.pgconn.pipeline_status != NO_PIPELINE)


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
        *ahead, last = statements
        RoundTrip(connection).send_ahead(
            connection, ahead, lambda last: _execute(connection, [last]), last
        )
    else:
        _execute(connection, statements)


def beneath(savepoint: bytes, statements: list[bytes]) -> list[bytes]:
    """Execute `statements` before `savepoint`, for a string that begins by rolling back to it.

    Which is done here as well, and once more by the string itself: there is nothing left to undo.
    """
    return [
        b"ROLLBACK TO SAVEPOINT " + savepoint,
        b"RELEASE SAVEPOINT " + savepoint,
        *statements,
        b"SAVEPOINT " + savepoint,
    ]


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
    is_done = False
    try:
        _execute(connection, [b"; ".join([b"BEGIN", *statements])])
        yield
        is_done = True
        _execute(connection, [b"COMMIT"])
    except BaseException:
        if is_done and hasattr(cursor, "_reset"):
            # The statement has failed, if late: it has no result.
            cursor._reset(reset_query=False)
        status = connection.pgconn.transaction_status
        if status in (IN_TRANSACTION, IN_ERROR):
            _execute(connection, [b"ROLLBACK"])
        elif status == ACTIVE:
            # Interrupted, and nobody is going to read the answer. Once somebody did, whatever is
            # written next would be in a transaction that nobody ends.
            connection.pgconn.finish()
        raise


def set_both_sql(connection: Connection, label: str, context: str) -> list[bytes]:
    """`set_config_sql` for the actor and the context, each unless it is empty."""
    return _set_plain_sql(label, context) or set_config_sql(connection, _settings(label, context))


@functools.lru_cache(maxsize=256)
def _set_plain_sql(label: str, context: str) -> list[bytes]:
    """The same where it is the same on every connection, else nothing."""
    if not (_needs_no_escape(label) and _needs_no_escape(context)):
        return []
    calls = [
        b"pg_catalog.set_config('%b', '%b', true)" % (name.encode(), value.encode())
        for name, value in _settings(label, context)
    ]
    return [b"SELECT " + b", ".join(calls)]


def _settings(label: str, context: str) -> Settings:
    both = ((ACTOR_VARIABLE, label), (CONTEXT_VARIABLE, context))
    return [(name, value) for name, value in both if value]


def _needs_no_escape(value: str) -> bool:
    """Whether `value` in quotes is a literal in each encoding and under all settings."""
    return value.isascii() and "'" not in value and "\\" not in value


def _literal(connection: Connection, value: str) -> bytes:
    if _needs_no_escape(value):  # such as the key of a user
        return b"'%b'" % value.encode()
    encoding = connection.info.encoding
    try:
        encoded = value.encode(encoding)
        if encoded.decode(encoding) == value:  # some encodings have one byte for two characters
            return Escaping(connection.pgconn).escape_literal(encoded)
    except (UnicodeError, psycopg.OperationalError):
        pass
    # The write goes on, in nobody's name rather than in another's.
    logger.warning(
        "The connection's encoding, %s, has no way to say %r; writes carry the fallback.",
        encoding,
        value,
    )
    return b"''"
