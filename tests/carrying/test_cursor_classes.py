"""Cursor classes of other people: those of tracing tools add something and end in psycopg's."""

import contextlib

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction

from django_audit_fields import acting_as
from tests.carrying.round_trips import traced
from tests.carrying.sessionapp.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES (%s, '', false)"


class Counting(psycopg.ClientCursor):
    """As a tracer makes it: both methods note what they are given, and what came of it."""

    seen = []

    def execute(self, query, *args, **kwargs):
        try:
            return super().execute(query, *args, **kwargs)
        finally:
            self.seen.append(self.statusmessage)

    def executemany(self, query, params_seq, **kwargs):
        self.seen.append(len(params_seq))
        return super().executemany(query, params_seq, **kwargs)


class Copying(Counting):
    """Makes a list of its own of the rows."""

    def executemany(self, query, params_seq, **kwargs):
        return super().executemany(query, list(params_seq), **kwargs)


class CountingOnTheServerSide(psycopg.Cursor):
    seen = Counting.seen

    def execute(self, query, *args, **kwargs):
        result = super().execute(query, *args, **kwargs)
        self.seen.append(self.statusmessage)
        return result


@pytest.fixture(params=[Counting, Copying, CountingOnTheServerSide])
def database(request):
    connection.ensure_connection()
    database = connections["traced"] = connection.copy(alias="traced")
    database.settings_dict = {
        **connection.settings_dict,
        "OPTIONS": {**connection.settings_dict["OPTIONS"], "cursor_factory": request.param},
    }
    database.connect()
    Counting.seen.clear()
    yield database
    database.close()
    del connections["traced"]


def stamps():
    return dict(Note.objects.values_list("text", "stamped_by"))


def test_a_write_is_one_round_trip(database):
    """In autocommit as in a block, by SQL and by the ORM, and the tool sees what has run."""
    with acting_as("7"), traced(database) as round_trips, database.cursor() as cursor:
        cursor.execute(INSERT, ["sql"])
        Note.objects.using("traced").create(text="orm")
        cursor.executemany(INSERT, [["many"], ["more"]])
    assert round_trips == ["Sync"] * 3
    assert "INSERT 0 1" in Counting.seen
    with acting_as("8"), transaction.atomic("traced"), traced(database) as round_trips:
        database.cursor().execute(INSERT, ["block"])
        Note.objects.using("traced").create(text="block, too")
    assert len(round_trips) == 2
    assert stamps() == {
        **dict.fromkeys(["sql", "orm", "many", "more"], "7"),
        **dict.fromkeys(["block", "block, too"], "8"),
    }


def test_an_error_is_that_of_the_statement(database):
    """And leaves the connection as it was, to the next name."""
    for block in (contextlib.nullcontext(), transaction.atomic("traced")):
        with (
            acting_as("7"),
            pytest.raises(DatabaseError, match="nowhere"),
            block,
            database.cursor() as cursor,
        ):
            cursor.execute("INSERT INTO nowhere VALUES (1)")
        with acting_as("8"), database.cursor() as cursor:
            cursor.execute(INSERT, [None])
    with database.cursor() as cursor:
        cursor.execute(INSERT, ["by nobody"])
    assert sorted(Note.objects.values_list("stamped_by", flat=True)) == ["8", "8", "nobody"]


class Explaining(psycopg.ClientCursor):
    """Reads before and behind each write, and says so in a table of its own."""

    def execute(self, query, *args, **kwargs):
        super().execute("SELECT 1")
        super().execute(INSERT, [f"before {self.connection.info.backend_pid}"])
        super().execute(query, *args, **kwargs)
        return self


def test_a_class_that_writes_by_itself():
    """Everything that it executes for one call is in the name of that call."""
    connection.ensure_connection()
    database = connection.copy()
    database.settings_dict = {
        **connection.settings_dict,
        "OPTIONS": {**connection.settings_dict["OPTIONS"], "cursor_factory": Explaining},
    }
    cleared = "DELETE FROM sessionapp_note"
    try:
        database.connect()
        for in_block in (False, True):
            with connection.cursor() as cursor:
                cursor.execute(cleared)
            if in_block:
                database.set_autocommit(False)
            with acting_as("7"), database.cursor() as cursor:
                cursor.execute(INSERT, ["given"])
            if in_block:
                database.commit()
            assert set(stamps().values()) == {"7"}
            assert len(stamps()) == 2
    finally:
        database.close()
