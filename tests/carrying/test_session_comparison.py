"""Nothing about a statement changes because the actor goes with it."""

import contextlib
import re

import psycopg
import pytest
from django.db import OperationalError
from django.db import connection as default_connection

from django_audit_fields import acting_as
from django_audit_fields.carrying.carrier import ActorCarrier
from tests.carrying.sessionapp.statements import EXECUTED, EXECUTED_MANY, NOTE

pytestmark = pytest.mark.django_db(transaction=True)

STARTS = ["autocommit", "block", "carrying block", "block in error", "no autocommit"]
RESET = """
    SET synchronous_commit TO off;
    DROP INDEX IF EXISTS quick;
    DROP TABLE IF EXISTS late;
    CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    DELETE FROM sessionapp_note;
    ALTER SEQUENCE sessionapp_note_id_seq RESTART;
    INSERT INTO sessionapp_note (text, stamped_by, preserved)
    VALUES ('kept', '', false), ('other', '', false)
"""
DIAGNOSTICS = [
    "severity_nonlocalized", "sqlstate", "message_primary", "message_detail", "message_hint",
    "statement_position", "context", "schema_name", "table_name", "column_name", "constraint_name",
]  # fmt: skip


@contextlib.contextmanager
def separate_connection(*, carries, **options):
    """A connection of its own to the test database, with or without the carrier."""
    database = default_connection.copy()
    database.settings_dict = {
        **database.settings_dict,
        "OPTIONS": {
            **database.settings_dict["OPTIONS"],
            "options": "-c synchronous_commit=off -c client_min_messages=notice",
            **options,
        },
    }
    database.connect()
    assert [type(wrapper) for wrapper in database.execute_wrappers] == [ActorCarrier]
    if not carries:
        database.execute_wrappers.clear()
    database.force_debug_cursor = True
    try:
        yield database
    finally:
        database.close()


def without_pids(value):
    return re.sub(r"\b(?:pid|process|PID) \d+|_django_curs_\w+|0x\w+", "…", str(value))


def told_by_error(error):
    cause = error.__cause__
    diag = getattr(cause, "diag", None)
    return (
        type(error),
        without_pids(error),
        error.args and without_pids(error.args),
        type(cause),
        getattr(cause, "sqlstate", None),
        [getattr(diag, name) for name in DIAGNOSTICS] if diag else None,
    )


def unsigned(rows):
    """Rows without the names that they are, rightly, stamped with."""
    names = ("7", "earlier", "nobody")
    return [tuple("who" if value in names else value for value in row) for row in rows]


def told_by_cursor(cursor):
    """Every result set, as a program sees it."""
    told = []
    while True:
        columns = cursor.description
        told.append(
            (
                cursor.rowcount,
                cursor.statusmessage,
                cursor.rownumber,
                columns and [(c.name, c.type_code, c.internal_size, c.precision) for c in columns],
                unsigned(cursor.fetchall()) if columns is not None else None,
            )
        )
        if not cursor.nextset():
            return told


def start(database, how):
    """Bring the connection into the state that the statement finds."""
    if how == "autocommit":
        return
    database.set_autocommit(False)
    if how == "no autocommit":
        return
    database.in_atomic_block = True
    if how == "carrying block":
        with acting_as("earlier"), database.cursor() as cursor:
            cursor.execute("UPDATE sessionapp_note SET text = text WHERE text = 'other'")
    if how == "block in error":
        with database.cursor() as cursor, contextlib.suppress(Exception):
            cursor.execute("SELECT 1/0")


def end(database):
    database.in_atomic_block = False
    status = database.connection.pgconn.transaction_status
    if status not in (psycopg.pq.TransactionStatus.IDLE, psycopg.pq.TransactionStatus.INTRANS,
                      psycopg.pq.TransactionStatus.INERROR):  # fmt: skip
        database.close()
        database.connect()
        return
    database.rollback()
    database.set_autocommit(True)


def outcome(database, how, method, arguments, caplog):
    """What the statement did, told by the cursor, the connection, the log and the table."""
    notices = []
    caplog.clear()
    with default_connection.cursor() as cursor:
        cursor.execute(RESET)
    start(database, how)
    database.connection.add_notice_handler(lambda diag: notices.append(diag.message_primary))
    database.queries_log.clear()
    told = {}
    with acting_as("7"):
        try:
            with database.cursor() as cursor:
                returned = getattr(cursor, method)(*arguments)
                told["returned itself"] = returned is cursor.cursor
                told["cursor"] = told_by_cursor(cursor)
        except Exception as error:
            told["error"] = told_by_error(error)
            told["cursor after"] = (cursor.description, cursor.rowcount, cursor.statusmessage)
    told["status"] = database.connection.pgconn.transaction_status
    told["closed"] = database.connection.closed
    told["needs rollback"] = database.needs_rollback
    told["errors occurred"] = database.errors_occurred
    told["queries"] = [without_pids(query["sql"]) for query in database.queries_log]
    told["notices"] = [without_pids(notice) for notice in notices]
    if told["status"] == psycopg.pq.TransactionStatus.INTRANS:
        query = "SELECT text, preserved FROM sessionapp_note ORDER BY id"
        told["inside"] = database.connection.execute(query).fetchall()
    if method == "execute":  # executemany has a pipeline of psycopg's own, which logs at random
        told["log"] = [one.getMessage() for one in caplog.records if one.name == "psycopg"]
    end(database)
    with default_connection.cursor() as cursor:
        cursor.execute("SELECT text, preserved FROM sessionapp_note ORDER BY id")
        told["left"] = cursor.fetchall()
    return told


@pytest.mark.parametrize("server_side_binding", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("how", STARTS)
def test_outcome_is_that_without_the_carrier(how, server_side_binding, caplog):
    """Rows, counts, messages, errors, query log and transaction are those of a bare connection."""
    runs = [("execute", (text,) if params is None else (text, params)) for text, params in EXECUTED]
    # In a transaction that has failed nothing is carried, and which error psycopg's own pipeline
    # reports of several is a matter of luck.
    runs += [("executemany", arguments) for arguments in EXECUTED_MANY if how != "block in error"]
    differing = []
    with (
        separate_connection(carries=True, server_side_binding=server_side_binding) as carrying,
        separate_connection(carries=False, server_side_binding=server_side_binding) as bare,
    ):
        for method, arguments in runs:
            expected = outcome(bare, how, method, arguments, caplog)
            found = outcome(carrying, how, method, arguments, caplog)
            differing += [
                (method, arguments, key, expected.get(key), found.get(key))
                for key in expected.keys() | found.keys()
                if expected.get(key) != found.get(key)
            ]
    with default_connection.cursor() as cursor:
        cursor.execute("DROP TABLE late")
    assert not differing, "\n".join(map(str, differing))


@pytest.mark.parametrize("how", ["autocommit", "block", "carrying block", "no autocommit"])
@pytest.mark.parametrize("method", ["execute", "executemany"])
def test_a_lost_server_is_told_as_without_the_carrier(how, method, caplog):
    """The backend is gone before the write: the same error, and nothing logged beside it."""
    told = []
    for carries in (False, True):
        with separate_connection(carries=carries) as database, database.cursor() as cursor:
            start(database, how)
            with default_connection.cursor() as killer:
                pid = database.connection.info.backend_pid
                killer.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            caplog.clear()
            params = ["new"] if method == "execute" else [["new"], ["newer"]]
            with acting_as("7"), pytest.raises(OperationalError) as caught:
                getattr(cursor, method)(f"INSERT INTO {NOTE} VALUES (%s, '', false)", params)
            told.append(
                (
                    told_by_error(caught.value),
                    cursor.description,
                    (database.errors_occurred, database.needs_rollback, database.connection.closed),
                )
            )
            if method == "execute":  # of executemany psycopg itself logs something
                told[-1] += (cursor.rowcount, [one.getMessage() for one in caplog.records])
            database.in_atomic_block = False
    bare, carrying = told
    if bare[0][3] is psycopg.OperationalError:
        # An older psycopg lost what the server had said. With the actor it is told.
        bare, carrying = bare[1:], carrying[1:]
    assert carrying == bare
