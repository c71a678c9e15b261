"""The actor costs no round trip: counted in the messages that libpq exchanges with the server."""

import contextlib

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as, preserve_audit_fields
from django_audit_fields.carrying.carrier import ActorCarrier
from tests.carrying.round_trips import traced
from tests.carrying.sessionapp.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES (%s, '', false)"


@contextlib.contextmanager
def uncarried():
    wrappers = connection.execute_wrappers[:]
    connection.execute_wrappers[:] = [w for w in wrappers if not isinstance(w, ActorCarrier)]
    try:
        yield
    finally:
        connection.execute_wrappers[:] = wrappers


def write_by_sql():
    with connection.cursor() as cursor:
        cursor.execute(f"{INSERT} RETURNING id", [None])
        cursor.fetchall()


def write_many():
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, [[None], [None], [None]])


def in_block(*writes):
    def write():
        with transaction.atomic():
            for one in writes:
                one()

    return write


def switching_actors():
    write_by_sql()
    with acting_as("8"):
        write_by_sql()
    write_by_sql()


WORK = {
    "SQL": write_by_sql,
    "ORM": Note.objects.create,
    "executemany": write_many,
    "update": lambda: Note.objects.update(preserved=True),
    "one in a block": in_block(write_by_sql),
    "three in a block": in_block(write_by_sql, Note.objects.create, write_many),
    "read, then write": in_block(Note.objects.count, write_by_sql, Note.objects.count),
    "actors that change": in_block(switching_actors),
    "string of several": lambda: connection.cursor().execute("SELECT 1; SELECT 2"),
    "string of several in a block": in_block(
        write_by_sql, lambda: connection.cursor().execute("SELECT 1; SELECT 2")
    ),
    "CALL": lambda: connection.cursor().execute("CALL sessionapp_write_and_commit('x')"),
}
#: What the actor adds to the round trips, where it is not nothing.
ADDED = {
    # BEGIN, actor and write go together.
    "one in a block": {-1},
    "three in a block": {-1},
    "actors that change": {-1},
    "string of several in a block": {-1},
    # The extended protocol takes one statement at a time: the string stands in a block.
    "string of several": {2},
    # A body that commits is refused by newer servers in a transaction of any kind; it runs again.
    "CALL": {0, 1},
}


@pytest.mark.parametrize("name", WORK)
def test_carrying_takes_no_round_trip_of_its_own(name):
    """No more waits for the server than without the package, and the same log of queries."""
    with uncarried(), traced() as bare, CaptureQueriesContext(connection) as bare_log:
        WORK[name]()
    Note.objects.all().delete()
    with acting_as("7"), traced() as carrying, CaptureQueriesContext(connection) as carrying_log:
        WORK[name]()
    assert len(carrying) - len(bare) in ADDED.get(name, {0})
    assert [query["sql"] for query in carrying_log] == [query["sql"] for query in bare_log]


def test_write_in_autocommit_is_one_synchronisation():
    """Both variables, the statement and one Sync."""
    with acting_as("7"), preserve_audit_fields(), traced() as round_trips:
        write_by_sql()
    assert round_trips == ["Sync"]


def test_reads_are_sent_as_they_were():
    """A SELECT in autocommit, and in a block that carries its actor, is a plain query."""
    with acting_as("7"), traced() as round_trips:
        assert Note.objects.count() == 0
    assert round_trips == ["Query"]
    with acting_as("7"), transaction.atomic():
        write_by_sql()
        with traced() as round_trips:
            Note.objects.count()
            write_by_sql()
    assert round_trips == ["Query", "Query"]
