"""A dump in another server: numbers of transactions start anew there, and the seals hold."""

import contextlib
import subprocess

import pytest
from django.db import DatabaseError, connection, transaction

from django_audit_fields.trail import seal
from example_project.embedded_database import PORT, SUPERUSER
from tests.database import client_program
from tests.own_server import own_server
from tests.trail.evidence.trail import another_connection, broken, one, sealed_invoices, tampering
from tests.trail.recorded import execute
from tests.trail.trailapp.models import Invoice
from tests.triggers.test_dump import run

pytestmark = pytest.mark.usefixtures("trail")

INSERT = "INSERT INTO trailapp_invoice (number, amount) SELECT 'x', 1 FROM generate_series(1, %s)"


@contextlib.contextmanager
def restored():
    """A connection to another server that has what this one's database has."""
    dump = run("pg_dump")
    with own_server() as server:
        where = ["-h", str(server.folder), "-p", str(PORT), "-U", SUPERUSER, "-d", "postgres"]
        done = subprocess.run(
            [client_program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *where],
            input=dump,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with server.connect() as other:
            yield other


def ask(other, sql, parameters=None):
    return other.execute(sql, parameters).fetchall()


def seal_there(other):
    [row] = ask(other, "SELECT number, kind, events FROM audit_trail.seal()")
    return row


def broken_there(other):
    return ask(other, "SELECT * FROM audit_trail.verify()")


def test_restored_into_another_server():
    """The transactions of the new server have numbers that were sealed on the old one."""
    with another_connection(autocommit=True) as busy:
        busy.execute(
            "DO $$ BEGIN FOR n IN 1..5000 LOOP"
            " PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
    sealed_invoices(3, 4)
    Invoice.objects.create()
    with restored() as other:
        assert broken_there(other) == []
        other.execute(INSERT, [2])
        [(newest,)] = ask(
            other, "SELECT transaction_id FROM audit_trail.event ORDER BY id DESC LIMIT 1"
        )
        assert newest < one("SELECT min(transaction_id) FROM audit_trail.event")
        assert broken_there(other) == []

        assert seal_there(other) == (3, "restore", 3)
        assert broken_there(other) == []
        other.execute(INSERT, [5])
        assert broken_there(other) == []
        assert seal_there(other) == (4, "seal", 5)
        assert seal_there(other) == (5, "seal", 0)
        assert broken_there(other) == []
        assert ask(other, "SELECT sum(events)::int FROM audit_trail.seal") == [(15,)]
        assert ask(other, "SELECT count(*) FROM audit_trail.event") == [(15,)]

        ids = [id for (id,) in ask(other, "SELECT id FROM audit_trail.event ORDER BY id")]
        other.execute("SET session_replication_role TO replica")
        for place, number in [(0, 1), (2, 1), (3, 2), (6, 2), (7, 3), (9, 3), (10, 4), (14, 4)]:
            for change in (
                "UPDATE audit_trail.event SET actor = '?'",
                "DELETE FROM audit_trail.event",
            ):
                other.execute("BEGIN")
                other.execute(f"{change} WHERE id = %s", [ids[place]])
                assert [found for found, _ in broken_there(other)] == [number], (place, change)
                other.execute("ROLLBACK")


def test_a_first_seal_after_a_restore():
    """Events of transactions that the new server has yet to begin are closed as well."""
    Invoice.objects.create()
    Invoice.objects.create()
    with restored() as other:
        other.execute(INSERT, [1])
        assert seal_there(other) == (1, "restore", 3)
        assert seal_there(other) == (2, "seal", 0)
        assert broken_there(other) == []


def test_a_restore_seal_waits_for_writers():
    """Their events have ids below the boundary that it draws."""
    sealed_invoices(1)
    with tampering():
        execute("UPDATE audit_trail.seal SET system_identifier = 7")
        execute("UPDATE audit_trail.seal AS s SET digest = audit_trail.seal_digest(s)")
    with another_connection() as writer:
        writer.execute(INSERT, [1])
        with transaction.atomic():
            execute("SET LOCAL lock_timeout TO '50ms'")
            with pytest.raises(DatabaseError, match="lock timeout"), transaction.atomic():
                execute("SELECT audit_trail.seal()")
        writer.commit()
    made = seal(connection)
    assert (made.kind, made.events, made.detail) == ("restore", 1, {"server": 7})
    Invoice.objects.create()
    assert seal(connection).events == 1
    assert broken() == []


def test_what_the_seals_say_is_not_of_this_server_yet():
    """Nothing is pruned between a restore and its seal."""
    sealed_invoices(1)
    with tampering():
        execute("UPDATE audit_trail.seal SET system_identifier = 7")
    with pytest.raises(DatabaseError, match="restored from another server"):
        execute("SELECT audit_trail.chain('prune', '{}')")
