"""Every PostgreSQL connection has its carrier, once; other databases are left alone."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper

from django_audit_fields import acting_as, bind_actor
from django_audit_fields.carrying import session, wire
from django_audit_fields.carrying.carrier import ActorCarrier
from tests.carrying.sessionapp.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES (%s, '', false)"


def carriers(database):
    return [wrapper for wrapper in database.execute_wrappers if isinstance(wrapper, ActorCarrier)]


@contextlib.contextmanager
def alias(name, database):
    """Let `name` stand for a connection of this thread."""
    connections[name] = database
    try:
        yield database
    finally:
        database.close()
        del connections[name]


def copied(name, **options):
    database = connection.copy(alias=name)
    database.settings_dict = {
        **database.settings_dict,
        "OPTIONS": {**database.settings_dict["OPTIONS"], **options},
    }
    return database


def write(database=connection, text=None):
    with database.cursor() as cursor:
        cursor.execute(f"{INSERT} RETURNING stamped_by", [text])
        return cursor.fetchone()[0]


def test_new_connection_has_one_carrier_that_reconnecting_keeps():
    """It stands first, so that leaving an execute_wrapper() block does not take it away."""
    with alias("new", copied("new")) as database, acting_as("7"):
        for _ in range(3):
            with database.execute_wrapper(lambda execute, *args: execute(*args)):
                assert write(database) == "7"
            assert len(carriers(database)) == 1
            assert database.execute_wrappers[0] is carriers(database)[0]
            database.close()


def test_what_was_used_for_a_connection_is_not_used_for_the_next():
    """A write after a reconnect reaches the new connection, in the name of who acts by then."""
    with alias("new", copied("new")) as database:
        for label in ("7", "8", "it's 9"):
            with acting_as(label):
                assert write(database) == label
                with pytest.raises(DatabaseError, match="does not exist"):
                    database.cursor().execute(INSERT.replace("text", "nothing"), [None])
                assert write(database) == label
            assert write(database) == "nobody"
            database.close()


def test_connection_that_the_apps_found_open_gets_a_carrier():
    """Of two, the one that has none."""
    carrier = connection.execute_wrappers.pop(0)
    try:
        assert carriers(connection) == []
        session.carry_on_open_connections()
        session.carry_on_open_connections()
        assert len(carriers(connection)) == 1
        with acting_as("7"):
            assert write() == "7"
    finally:
        connection.execute_wrappers[0] = carrier


def test_connection_lost_in_a_transaction_is_forgotten():
    """The next one starts with nothing carried."""

    def lose_it():
        with transaction.atomic(using="lost"):
            write(database)
            pid = database.connection.info.backend_pid
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            write(database)

    with alias("lost", copied("lost")) as database, acting_as("7"):
        with pytest.raises(DatabaseError):
            lose_it()
        database.close_if_unusable_or_obsolete()
        with transaction.atomic(using="lost"):
            assert write(database) == "7"


def test_database_of_another_vendor_is_left_alone(tmp_path):
    """It gets no carrier; in its transactions there is nothing to bind."""
    settings = {**connection.settings_dict, "ENGINE": "django.db.backends.sqlite3"}
    settings |= {"NAME": tmp_path / "other.sqlite3", "OPTIONS": {}}
    with alias("other", SQLiteWrapper(settings, alias="other")) as database, acting_as("7"):
        with database.cursor() as cursor:
            cursor.execute("CREATE TABLE t (a)")
            cursor.execute("INSERT INTO t VALUES (%s)", [1])
        assert database.execute_wrappers == []
        with transaction.atomic(using="other"):
            bind_actor("other")
        with pytest.raises(transaction.TransactionManagementError, match="'other'"):
            bind_actor("other")


def test_each_alias_carries_for_itself():
    """Two connections in transactions of their own, in turn, with actors that change."""
    with (
        alias("second", copied("second")) as second,
        transaction.atomic(),
        transaction.atomic(using="second"),
    ):
        with acting_as("7"):
            assert write() == "7"
        with acting_as("8"):
            assert write(second) == "8"
            assert write() == "8"
            bind_actor("second")
        assert write(second) == "nobody"


@pytest.fixture
def old_libpq(monkeypatch):
    """A libpq without pipelines."""
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", classmethod(lambda cls: False))
    wire.can_pipeline.cache_clear()
    yield
    wire.can_pipeline.cache_clear()


@pytest.mark.usefixtures("old_libpq")
def test_without_pipelines_the_setting_takes_a_round_trip_of_its_own():
    """In a transaction opened for it, so that it reaches the statement and nothing further."""
    with acting_as("7"):
        assert write() == "7"
        Note.objects.create(text="orm")
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [["a"], ["b"]])
            cursor.execute("CALL sessionapp_write_and_commit('committed')")
            with pytest.raises(DatabaseError):
                cursor.execute("INSERT INTO nowhere VALUES (1)")
        assert connection.get_autocommit()
        with transaction.atomic():
            assert write() == "7"
            with acting_as("8"):
                assert write() == "8"
    assert write() == "nobody"
    assert Note.objects.filter(stamped_by="7").count() == 5


@pytest.mark.parametrize("threshold", [None, 0, 2])
def test_prepared_statements_work_as_they_do_without_the_carrier(threshold):
    """psycopg prepares what the project executes often, never what is sent ahead of it."""
    options = {"server_side_binding": True, "prepare_threshold": threshold}
    query = "SELECT statement FROM pg_prepared_statements"
    with alias("preparing", copied("preparing", **options)) as database, acting_as("7"):
        for number in range(5):
            assert write(database, f"alone {number}") == "7"
            with transaction.atomic(using="preparing"):
                assert write(database, f"in a block {number}") == "7"
        prepared = {
            statement
            for (statement,) in database.connection.execute(query, prepare=False)
            if "TimeZone" not in statement  # which Django sets for each new connection
        }
        expected = INSERT.replace("%s", "$1") + " RETURNING stamped_by"
        assert prepared == (set() if threshold is None else {expected})


def test_statement_that_could_not_be_prepared_is_prepared_later():
    """What fails while it is prepared leaves nothing behind that would fail the next time."""
    options = {"server_side_binding": True, "prepare_threshold": 1}
    with alias("preparing", copied("preparing", **options)) as database, acting_as("7"):
        with database.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE fleeting (a int)")
        for _ in range(3):
            with database.cursor() as cursor:
                cursor.execute("INSERT INTO fleeting VALUES (%s)", [1])
                # Past psycopg, which would forget what it prepared.
                database.connection.pgconn.exec_(b"ALTER TABLE fleeting RENAME TO gone")
                with pytest.raises(DatabaseError, match="fleeting"):
                    cursor.execute("INSERT INTO fleeting VALUES (%s)", [2])
                database.connection.pgconn.exec_(b"ALTER TABLE gone RENAME TO fleeting")
                cursor.execute("INSERT INTO fleeting VALUES (%s)", [3])


@pytest.fixture
def standby():
    """A hot standby of the tests' server; answer the folder of its socket."""
    connection.ensure_connection()
    server = connection.connection.info
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_config() WHERE name = 'BINDIR'")
        programs = Path(cursor.fetchone()[0])
        cursor.execute("SHOW max_connections")  # a standby may not allow fewer
        (max_connections,) = cursor.fetchone()
    if not (server.host.startswith("/") and (programs / "pg_basebackup").exists()):
        pytest.skip("THE SERVER IS NOT OF THIS MACHINE, SO A HOT STANDBY WAS NOT TESTED")
    # PostgreSQL refuses to run as root; its own account may read its programs.
    owner = {"user": Path(server.host).stat().st_uid} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="standby"))
    if owner:
        os.chown(folder, owner["user"], -1)

    def run(program, *arguments):
        subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PGPASSWORD": server.password},
            cwd=folder,
            **owner,
        )

    try:
        source = ["-h", server.host, "-p", str(server.port), "-U", server.user]
        run("pg_basebackup", "-R", "-c", "fast", *source)
        run(
            "pg_ctl", "start", "-w", "-l", folder / "log",
            "-o", f"-p {server.port} -k {folder} -c listen_addresses='' -N {max_connections} -F",
        )  # fmt: skip
        yield str(folder)
        run("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_hot_standby_reads_and_refuses_writes_itself(standby):
    """A replica's alias: reads send nothing, a write gets PostgreSQL's own error."""
    replica = copied("replica")
    replica.settings_dict["HOST"] = standby
    with alias("replica", replica), acting_as("7"), replica.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        assert cursor.fetchone() == (True,)
        cursor.execute("WITH one AS (SELECT 1 AS n) SELECT n FROM one")
        assert cursor.fetchone() == (1,)
        for block in (contextlib.nullcontext(), transaction.atomic(using="replica")):
            with pytest.raises(DatabaseError) as caught, block:
                write(replica)
            assert isinstance(caught.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)
        with transaction.atomic(using="replica"):
            bind_actor("replica")
            assert Note.objects.using("replica").count() >= 0
