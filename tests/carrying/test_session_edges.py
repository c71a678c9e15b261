"""Statements that fail late, strings that control transactions, and connections that are shared."""

import contextlib
import contextvars
import functools
import gc
import itertools
import os
import signal
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import (
    DataError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from psycopg import ClientCursor
from psycopg.errors import ForeignKeyViolation, InvalidSavepointSpecification, UniqueViolation

from django_audit_fields import acting_as
from tests.testapp.models import Part

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def table():
    execute(
        "CREATE TABLE edge (v text, n int UNIQUE DEFERRABLE INITIALLY DEFERRED, who text DEFAULT "
        "coalesce(nullif(current_setting('app.current_user', true), ''), 'system'))"
    )
    yield
    execute("DROP TABLE edge")


def execute(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def writers():
    with connection.cursor() as cursor:
        cursor.execute("SELECT v, who FROM edge ORDER BY v")
        return dict(cursor.fetchall())


def test_a_deferred_foreign_key_fails_as_it_does_without_the_package():
    """Django checks its own foreign keys at the end of the transaction, in autocommit as well."""
    with acting_as("a"):
        with pytest.raises(IntegrityError) as caught:
            Part.objects.create(item_id=999)
        assert isinstance(caught.value.__cause__, ForeignKeyViolation)
        part = Part.objects.create(name="after")
    assert part.created_by == "a"
    assert Part.objects.count() == 1


def test_a_worker_goes_on_after_each_deferred_error():
    """The connection is as usable as before, however often it happens."""
    with acting_as("worker"):
        # Often, since what psycopg has read by then is a matter of microseconds.
        for number in (1, *[1] * 150, 2, *[1] * 150, 3):
            try:
                execute("INSERT INTO edge (v, n) VALUES (%s, %s)", [str(number), number])
            except IntegrityError as error:
                assert isinstance(error.__cause__, UniqueViolation)  # noqa: PT017  # some succeed
    assert writers() == {"1": "worker", "2": "worker", "3": "worker"}


def test_strings_with_savepoints_carry_the_change():
    """What stands beside SAVEPOINT and RELEASE is written by whoever acts now."""
    with transaction.atomic():
        with acting_as("a"):
            execute("INSERT INTO edge (v) VALUES ('1')")
        with acting_as("b"):
            execute("SAVEPOINT s; INSERT INTO edge (v) VALUES ('2'); RELEASE SAVEPOINT s")
        execute("SAVEPOINT s; INSERT INTO edge (v) VALUES ('3'); RELEASE SAVEPOINT s")
        with acting_as("c"):
            execute("SAVEPOINT s")
            execute("INSERT INTO edge (v) VALUES ('4'); RELEASE SAVEPOINT s")
    assert writers() == {"1": "a", "2": "b", "3": "system", "4": "c"}


def test_strings_that_begin_with_a_rollback_carry_the_actor():
    """Whoever acts now writes the rest, whatever the savepoint held, also out of an error."""
    with transaction.atomic():
        with acting_as("a"):
            execute("INSERT INTO edge (v) VALUES ('1')")
            execute('SAVEPOINT "S 1"')
        with acting_as("b"):
            execute("INSERT INTO edge (v) VALUES ('lost')")
            execute("ROLLBACK TO \"S 1\"; INSERT INTO edge (v) VALUES ('2')")
        execute("/* c */ ROLLBACK TO SAVEPOINT \"S 1\"; INSERT INTO edge (v) VALUES ('3')")
        with acting_as("c"):
            execute("SAVEPOINT s2; INSERT INTO edge (v) VALUES ('lost')")
            with pytest.raises(DataError), connection.cursor() as cursor:
                cursor.execute("SELECT 1/0")
            execute("rollback work to s2; INSERT INTO edge (v) VALUES ('4'); SELECT 5")
            with pytest.raises(OperationalError) as caught:
                execute("ROLLBACK TO nowhere; INSERT INTO edge (v) VALUES ('5')")
            assert isinstance(caught.value.__cause__, InvalidSavepointSpecification)
            execute("ROLLBACK TO s2; INSERT INTO edge (v) VALUES ('6')")
            execute('RELEASE "S 1"')
    assert writers() == {"1": "a", "3": "system", "6": "c"}


def test_a_savepoint_of_any_name_is_rolled_back_to():
    """A semicolon in it separates nothing."""
    with transaction.atomic(), acting_as("a"):
        execute('SAVEPOINT "a;b"')
        execute("INSERT INTO edge (v) VALUES ('lost')")
        execute("ROLLBACK TO \"a;b\"; INSERT INTO edge (v) VALUES ('1')")
    assert set(writers()) == {"1"}


def test_sql_has_its_way_while_other_variables_change():
    """What SQL puts into the variable stays there until somebody acts, or it may be undone."""
    with transaction.atomic():
        with acting_as("a"):
            execute("INSERT INTO edge (v) VALUES ('1')")
        execute("SET LOCAL app.\"current_user\" TO 'repair'")
        execute("RESET lock_timeout")
        execute("SELECT set_config('lock_timeout', '9s', true)")
        execute("INSERT INTO edge (v) VALUES ('2')")
    assert writers() == {"1": "a", "2": "repair"}


def test_strings_that_reset_a_setting_are_carried():
    """RESET is no end of a transaction."""
    with acting_as("a"):
        execute("SET work_mem TO '8MB'; INSERT INTO edge (v) VALUES ('1'); RESET work_mem")
    assert writers() == {"1": "a"}


@pytest.mark.parametrize(
    "sql",
    [
        "SET LOCAL /* c */ app.\"current_user\" TO 'x'",
        "SET LOCAL -- c\n app.\"current_user\" TO 'x'",
        "/* c */ SET LOCAL app.\"current_user\" = 'x'",
    ],
)
def test_a_setting_by_hand_is_seen_behind_comments(sql):
    """Whoever is acting in Python has the next write."""
    with transaction.atomic(), acting_as("a"):
        execute("INSERT INTO edge (v) VALUES ('1')")
        execute(sql)
        execute("INSERT INTO edge (v) VALUES ('2')")
    assert writers() == {"1": "a", "2": "a"}


def test_explain_analyze_behind_comments_is_a_write():
    """It executes what it explains."""
    with acting_as("a"):
        execute("EXPLAIN /* c */ ANALYZE INSERT INTO edge (v) VALUES ('1')")
    assert writers() == {"1": "a"}


def test_a_label_that_the_encoding_cannot_say_loses_no_write(caplog):
    """Nobody's name rather than another's, and a warning."""
    execute("SET client_encoding TO latin1")
    try:
        with acting_as("Ω"):
            execute("INSERT INTO edge (v) VALUES ('1')")
    finally:
        execute("RESET client_encoding")
    assert writers() == {"1": "system"}
    assert "has no way to say" in caplog.text


def test_a_call_that_commits_runs_for_each_row_of_a_generator():
    """It runs twice where PostgreSQL refuses it at first; nothing is lost for that."""
    execute(
        "CREATE PROCEDURE edge_commits(name text) LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO edge (v) VALUES (name); COMMIT; END $$"
    )
    try:
        with acting_as("a"), connection.cursor() as cursor:
            cursor.executemany("CALL edge_commits(%s)", ([name] for name in ["1"]))
    finally:
        execute("DROP PROCEDURE edge_commits")
    assert set(writers()) == {"1"}


class Verbose(ClientCursor):
    """A project's own cursor: more than one statement for each that it is given."""

    def execute(self, query, params=None, **kwargs):
        super().execute("SET application_name TO 'verbose'")
        super().execute("SELECT 1")
        with self.connection.pipeline():
            super().execute(query, params, **kwargs)
        return self


def test_a_cursor_that_executes_more_than_it_is_given():
    """Each of its statements is in the actor's name."""
    connection.ensure_connection()
    database = connection.copy()
    database.settings_dict["OPTIONS"] = {
        **connection.settings_dict["OPTIONS"],
        "cursor_factory": Verbose,
    }
    try:
        with acting_as("a"), database.cursor() as cursor:
            cursor.execute("INSERT INTO edge (v) VALUES ('1')")
            with transaction.atomic():
                cursor.execute("INSERT INTO edge (v) VALUES ('2')")
    finally:
        database.close()
    assert writers() == {"1": "a", "2": "a"}


@pytest.mark.parametrize("options", [{}, {"server_side_binding": True}], ids=["", "server-side"])
@pytest.mark.parametrize(
    "rows", [list, iter, lambda _: (row for row in ())], ids=["", "iter", "gen"]
)
def test_an_executemany_without_rows_carries_nothing(rows, options):
    """Nothing is sent for it, and so the next write has to say who is acting."""
    connection.ensure_connection()
    database = connection.copy()
    database.settings_dict = {
        **database.settings_dict,
        "OPTIONS": {**database.settings_dict["OPTIONS"], **options},
    }
    insert = "INSERT INTO edge (v) VALUES (%s)"
    try:
        with database.cursor() as cursor:
            cursor.execute("BEGIN")
            with acting_as("bob"):
                cursor.execute(insert, ["bob"])
            with acting_as("alice"):
                cursor.executemany(insert, rows([]))
                cursor.execute(insert, ["alice"])
            cursor.executemany(insert, rows([]))
            cursor.execute(insert, ["nobody"])
            with acting_as("carol"):
                cursor.executemany(insert, rows([]))
            cursor.execute(insert, ["nobody again"])
            cursor.execute("COMMIT")
    finally:
        database.close()
    assert writers() == {
        "bob": "bob",
        "alice": "alice",
        "nobody": "system",
        "nobody again": "system",
    }


def test_wrappers_that_are_partials():
    """Their own arguments come first, Django's after them; what runs within them is theirs."""

    def wrapper(name, execute, *args, then):
        with acting_as(name):
            result = execute(*args)
        then.append(name)
        return result

    seen = []
    insert = "INSERT INTO edge (v) VALUES (%s)"
    for block in (contextlib.nullcontext(), transaction.atomic()):
        with block, acting_as("alice"), connection.cursor() as cursor:
            cursor.execute(insert, ["before"])
            with (
                connection.execute_wrapper(functools.partial(wrapper, "bob", then=seen)),
                connection.execute_wrapper(lambda execute, *args: execute(*args)),
            ):
                cursor.execute(insert, ["within"])
                cursor.execute("SELECT 1")
            cursor.execute(insert, ["after"])
        assert writers() == {"before": "alice", "within": "bob", "after": "alice"}
        execute("TRUNCATE edge")
    assert seen == ["bob"] * 4


@pytest.mark.parametrize("sql", ["SELECT 'x'", "INSERT INTO edge (v) VALUES ('x') RETURNING v"])
def test_a_wrapper_that_executes_in_another_thread(sql):
    """A time limit, say: who is acting there counts, and nobody waits for anybody."""

    def wrapper(execute, *args):
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(contextvars.copy_context().run, execute, *args).result(timeout=30)
        finally:
            pool.shutdown(wait=False)

    with acting_as("a"), connection.execute_wrapper(wrapper), connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.fetchone() == ("x",)
    assert set(writers().values()) <= {"a"}


def test_a_cursor_behind_a_proxy_that_says_nothing_of_itself():
    """As tracers put one there: its class has no `execute` at all."""

    class Proxy:
        def __init__(self, cursor):
            self.__dict__["_cursor"] = cursor

        def __getattr__(self, name):
            return getattr(self._cursor, name)

    insert = "INSERT INTO edge (v) VALUES (%s)"
    with acting_as("a"), connection.cursor() as cursor:
        cursor.cursor = Proxy(cursor.cursor)
        cursor.execute(insert, ["one"])
        with transaction.atomic():
            cursor.executemany(insert, [["two"], ["three"]])
    assert writers() == dict.fromkeys(["one", "two", "three"], "a")


def test_a_closed_connection_is_let_go():
    """What is kept for the next write does not keep the connection of the last one."""
    connection.ensure_connection()
    database = connection.copy()
    with acting_as("a"), database.cursor() as cursor:
        cursor.execute("INSERT INTO edge (v) VALUES ('x')")
    del cursor
    left = weakref.ref(database.connection)
    database.close()
    gc.collect()
    assert left() is None
    assert writers() == {"x": "a"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="There are no forks here.")
def test_a_fork_in_the_midst_of_another_threads_statement():
    """The child writes on a connection of its own, whatever that thread holds."""
    shared = connections["default"]
    shared.ensure_connection()
    shared.inc_thread_sharing()
    is_in_it, is_forked = threading.Event(), threading.Event()

    class Slow(psycopg.sql.SQL):
        def as_string(self, context=None):
            is_in_it.set()
            is_forked.wait(30)
            return super().as_string(context)

    def write():
        connections["default"] = shared
        with acting_as("thread"):
            execute(Slow("INSERT INTO edge (v) VALUES ('thread')"))

    thread = threading.Thread(target=write)
    thread.start()
    is_in_it.wait(30)
    if not (child := os.fork()):
        signal.alarm(20)  # which ends a child that waits for what nobody gives back
        shared.connection = None
        with acting_as("child"):
            execute("INSERT INTO edge (v) VALUES ('child')")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    is_forked.set()
    thread.join()
    shared.dec_thread_sharing()
    assert os.waitstatus_to_exitcode(status) == 0
    assert writers() == {"child": "child", "thread": "thread"}


def test_threads_that_share_a_connection_stamp_their_own_names():
    """psycopg lets one connection serve several threads; the actor and its write stay together."""
    shared = connections["default"]
    shared.inc_thread_sharing()
    failures = []

    def write(name):
        connections["default"] = shared
        try:
            for number in range(40):
                with acting_as(name), shared.cursor() as cursor:
                    cursor.execute("INSERT INTO edge (v) VALUES (%s)", [f"{name} {number}"])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[name]) for name in ("a", "b", "c")]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        shared.dec_thread_sharing()
    assert failures == []
    rows = writers()
    assert len(rows) == 120
    assert {v: who for v, who in rows.items() if v.split()[0] != who} == {}


@pytest.mark.parametrize("past", ["psycopg", "callproc", "chunked_cursor"])
def test_a_shared_connection_that_is_used_past_the_wrappers(past):
    """What another thread executes there is in nobody's name, and takes nobody's from others."""
    shared = connections["default"]
    shared.ensure_connection()
    execute(
        "CREATE FUNCTION edge_write(name text) RETURNS text LANGUAGE sql AS "
        "'INSERT INTO edge (v) VALUES (name) RETURNING v'"
    )
    shared.inc_thread_sharing()
    failures = []
    is_over = threading.Event()

    def go_past():
        try:
            for number in itertools.count():
                if is_over.is_set():
                    return
                if past == "psycopg":
                    shared.connection.execute("INSERT INTO edge (v) VALUES (%s)", [f"b {number}"])
                elif past == "callproc":
                    with shared.cursor() as cursor:
                        cursor.callproc("edge_write", [f"b {number}"])
                else:
                    with shared.chunked_cursor() as cursor:
                        cursor.execute("SELECT generate_series(1, 20)")
                        while cursor.fetchmany(5):
                            pass
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=go_past)
    thread.start()
    try:
        with acting_as("a"):
            for number in range(1_000):
                with shared.cursor() as cursor:
                    insert, rows = "INSERT INTO edge (v) VALUES (%s)", [[f"a {number}"]]
                    if number % 4:
                        cursor.execute(insert, *rows)
                    else:
                        cursor.executemany(insert, [*rows, [f"a many {number}"]])
    finally:
        is_over.set()
        thread.join()
        shared.dec_thread_sharing()
        rows = writers()
        execute("DROP FUNCTION edge_write")
    assert failures == []
    assert sum(v.startswith("a") for v in rows) == 1_250
    expected = {"a": "a", "b": "system"}
    assert {v: who for v, who in rows.items() if expected[v[0]] != who} == {}
