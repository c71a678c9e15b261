"""One call of a cursor, as an execute wrapper gets it. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql as psycopg_sql

try:
    from string.templatelib import Template  # type: ignore[import-not-found]  # Python 3.14
except ImportError:
    Template = None

from . import wire
from .round_trip import Connection
from .statements import Statement, read_statement

Execute = Callable[..., Any]


class Call(NamedTuple):
    """One call of a cursor that is due."""

    run: Callable[[Any], Any]  # takes the parameters
    statement: Statement
    params: Any
    many: bool
    database: BaseDatabaseWrapper
    cursor: Any
    is_due: bool  # the actor has to go with it; else only a change of actor

    @property
    def takes_company(self) -> bool:
        """Whether something can be sent ahead of it in the same round trip.

        Not for a cursor on the server, which executes a DECLARE and asks what it answers.
        """
        return (
            self.statement.is_pipelinable
            and not isinstance(self.cursor, psycopg.ServerCursor)
            and wire.can_pipeline()
        )


def beneath_other_wrappers(
    execute: Execute, database: BaseDatabaseWrapper, own: Execute
) -> Execute:
    """The chain of wrappers with `own` moved from its beginning to its end.

    The others then see a statement that has run, or failed, and what they make of its text, or say
    of who is acting, is what counts.
    """
    innermost = execute
    while type(innermost) is partial:  # the last argument of Django's partial is the next wrapper
        innermost = innermost.args[-1]
    chain = partial(own, innermost)
    wrappers = database.execute_wrappers
    for wrapper in reversed(wrappers[wrappers.index(own) + 1 :]):
        chain = partial(wrapper, chain)
    return chain


def is_usable(cursor: Any, connection: Connection | None) -> bool:
    """Whether the cursor can execute on this connection; else psycopg is about to say why not."""
    # By `pgconn`, since a tracing tool may have put a proxy in the connection's place.
    return not cursor.closed and cursor.connection.pgconn is getattr(connection, "pgconn", None)


def statement_of(sql: Any, connection: Connection) -> Statement | None:
    """What `sql` does, None when psycopg can make no text of it and is about to say so."""
    text = _text_of(sql, connection)
    if text is None:
        return None
    if "\\" not in text:
        return read_statement(text)
    standard = connection.pgconn.parameter_status(b"standard_conforming_strings") != b"off"
    return read_statement(text, standard_strings=standard)


def _text_of(sql: Any, connection: Connection) -> str | None:
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


def sqlstate_of(error: Exception) -> str:
    """PostgreSQL's code for the error, empty when it is not PostgreSQL's."""
    for cause in (error, error.__cause__):
        if isinstance(cause, psycopg.Error):
            return cause.sqlstate or ""
    return ""
