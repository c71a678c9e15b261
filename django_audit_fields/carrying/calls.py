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
from .statements import Statement
from .wire import Connection

Execute = Callable[..., Any]


class Call(NamedTuple):
    """One call of a cursor that is due."""

    run: Callable[[Any], Any]  # with the parameters
    statement: Statement
    params: Any
    many: bool
    database: BaseDatabaseWrapper
    cursor: Any

    @property
    def takes_company(self) -> bool:
        """Whether something can be sent ahead of it in the same round trip.

        Not for a cursor class with a way of its own: it may execute whatever it likes, and often.
        """
        return (
            self.statement.is_pipelinable
            and executes_as_psycopg(type(self.cursor))
            and wire.can_pipeline()
        )


def executes_as_psycopg(cls: type[Any]) -> bool:
    # A proxy has whatever its class does not say.
    return (
        getattr(cls, "execute", None) is psycopg.Cursor.execute
        and getattr(cls, "executemany", None) is psycopg.Cursor.executemany
    )


def beneath_other_wrappers(execute: Execute, around: Execute) -> Execute:
    """Put `around` directly about the cursor's own method.

    Django builds the chain of wrappers from partials. Those within it get to see a statement that
    has run, or failed, and not one that still waits in a pipeline; and what they make of the text
    is what is read here.
    """
    if type(execute) is not partial:
        return partial(around, execute)
    # A wrapper that is a partial itself is one with Django's: its own arguments come first.
    *own, inner = execute.args
    return partial(execute.func, *own, beneath_other_wrappers(inner, around), **execute.keywords)


def text_of(sql: Any, connection: Connection) -> str | None:
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


def has_standard_strings(connection: Connection) -> bool:
    return connection.pgconn.parameter_status(b"standard_conforming_strings") != b"off"


def sqlstate_of(error: Exception) -> str:
    """PostgreSQL's code for the error, empty when it is not PostgreSQL's."""
    for cause in (error, error.__cause__):
        if isinstance(cause, psycopg.Error):
            return cause.sqlstate or ""
    return ""
