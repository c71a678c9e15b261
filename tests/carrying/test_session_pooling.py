"""Pooled connections: every row bears its writer's name, and nothing is left on the server's."""

import contextlib
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest
from django.db import connection as default_connection
from django.db import connections, transaction

from django_audit_fields import acting_as

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = (
    "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES (%s, '', false)"
    " RETURNING stamped_by"
)
SERVER_CONNECTIONS = 5
WRONG = "SELECT count(*) FROM sessionapp_note WHERE split_part(text, '/', 1) <> stamped_by"


def connect_as(alias, **settings):
    """Make `alias` a connection of this thread, to the test database with `settings` of its own."""
    database = default_connection.copy(alias=alias)
    database.settings_dict = {**database.settings_dict, **settings}
    connections[alias] = database
    return database


def work(alias, settings, worker, writes, wrong, failures):
    """Write in every way there is, under actors that change, as `worker`."""
    dice = random.Random(worker)  # noqa: S311
    database = connect_as(alias, **settings)
    written = 0

    def insert(actor, text):
        nonlocal written
        written += 1
        with database.cursor() as cursor:
            cursor.execute(INSERT, [f"{actor or 'nobody'}/{worker}/{text}/{written}"])
            if cursor.fetchone()[0] != (actor or "nobody"):
                wrong.append((actor, text))

    def alone(actor):
        insert(actor, "alone")

    def together(actor):
        with transaction.atomic(using=alias):
            insert(actor, "first")
            with acting_as(f"other-{worker}"):
                insert(f"other-{worker}", "between")
            insert(actor, "last")

    def read_first(actor):
        with transaction.atomic(using=alias), database.cursor() as cursor:
            cursor.execute("SELECT 1")
            insert(actor, "after reading")

    def rolled_back(actor):
        with transaction.atomic(using=alias):
            with acting_as(f"undone-{worker}"):
                try:
                    with transaction.atomic(using=alias):
                        insert(f"undone-{worker}", "undone")
                        raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
            insert(actor, "after the savepoint")

    def many(actor):
        nonlocal written
        with database.cursor() as cursor:
            texts = [[f"{actor}/{worker}/many/{written + n}"] for n in range(3)]
            cursor.executemany(INSERT.partition(" RETURNING")[0], texts)
        written += 3

    try:
        while written < writes:
            if dice.random() < 0.1:
                insert(None, "nobody acting")
            actor = f"{worker}-{dice.randrange(5)}"
            with acting_as(actor):
                dice.choice([alone, together, read_first, rolled_back, many])(actor)
            if dice.random() < 0.5:
                database.close()  # as close_old_connections does after a request
    except Exception as error:
        failures.append(error)
    finally:
        database.close()


def run_workers(alias, settings, *, workers, writes):
    wrong, failures = [], []
    threads = [
        threading.Thread(target=work, args=(alias, settings, worker, writes, wrong, failures))
        for worker in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert wrong == []
    with default_connection.cursor() as cursor:
        cursor.execute(WRONG)
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM sessionapp_note")
        return cursor.fetchone()[0]


def left_behind(connection):
    return connection.execute("SELECT current_setting('app.current_user', true)").fetchone()[0]


def test_threads_sharing_a_small_pool_stamp_their_own_names():
    """Eight threads, two connections: 0 rows with another's name, nothing left on a connection."""
    settings = {"OPTIONS": {"pool": {"min_size": 2, "max_size": 2, "timeout": 60}}}
    database = connect_as("pooled", **settings)
    database.ensure_connection()
    pool = database.pool
    database.close()
    try:
        assert run_workers("pooled", settings, workers=8, writes=700) > 4_000
        held = [pool.getconn(), pool.getconn()]
        assert [left_behind(connection) or "" for connection in held] == ["", ""]
        for connection in held:
            pool.putconn(connection)
    finally:
        database.close_pool()


@pytest.fixture
def bouncer():
    """PgBouncer in transaction mode over five server connections; answer the port it listens on."""
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        pytest.skip("PGBOUNCER IS NOT INSTALLED, SO POOLING BY TRANSACTION WAS NOT TESTED")
    default_connection.ensure_connection()
    server = default_connection.connection.info
    settings = default_connection.settings_dict
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(f"""
            [databases]
            * = host='{server.host}' port={server.port} user={server.user} {password(settings)}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = {SERVER_CONNECTIONS}
            max_client_conn = 200
            log_connections = 0
            log_disconnections = 0
        """)
        Path(folder).chmod(0o755)
        with subprocess.Popen(
            [binary, str(config)], stderr=subprocess.PIPE, text=True, **as_server_owner(server.host)
        ) as process:
            try:
                log = []
                assert process.stderr is not None
                while (line := process.stderr.readline()) and "process up" not in line:
                    log.append(line)
                assert line, "".join(log)
                yield port
            finally:
                process.kill()


def password(settings):
    return f"password={settings['PASSWORD']}" if settings["PASSWORD"] else ""


def as_server_owner(host):
    """PgBouncer refuses to run as root, and the server's socket may lie in a folder of its own."""
    if os.getuid() != 0:
        return {}
    owner = Path(host).stat().st_uid if host.startswith("/") else 0
    return {"user": owner or pwd.getpwnam("nobody").pw_uid}


def test_clients_of_a_transaction_pooler_stamp_their_own_names(bouncer):
    """Fifty clients of PgBouncer, five server connections: 0 wrong names, nothing left behind."""
    settings = {"HOST": "127.0.0.1", "PORT": str(bouncer), "DISABLE_SERVER_SIDE_CURSORS": True}
    assert run_workers("bounced", settings, workers=50, writes=120) > 4_000
    address = f"host=127.0.0.1 port={bouncer} dbname={default_connection.settings_dict['NAME']}"
    with contextlib.ExitStack() as stack:
        # One open transaction each, so that PgBouncer has to hand out all of them.
        held = [
            stack.enter_context(psycopg.connect(address, prepare_threshold=None))
            for _ in range(SERVER_CONNECTIONS)
        ]
        assert [left_behind(connection) or "" for connection in held] == [""] * SERVER_CONNECTIONS
        backends = {connection.execute("SELECT pg_backend_pid()").fetchone() for connection in held}
        assert len(backends) == SERVER_CONNECTIONS
