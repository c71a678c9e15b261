"""The actor reaches PostgreSQL with every write, for the length of the transaction, unnoticed."""

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as, bind_actor, preserve_audit_fields
from tests.sessionapp.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES (%s, '', false)"


def write(text=None):
    """Insert a row by SQL; answer who stamped it."""
    with connection.cursor() as cursor:
        cursor.execute(f"{INSERT} RETURNING stamped_by", [text])
        return cursor.fetchone()[0]


def carried():
    """What PostgreSQL holds now, read past every wrapper."""
    query = "SELECT current_setting('app.current_user', true)"
    return connection.connection.execute(query).fetchone()[0] or ""


def test_write_in_autocommit_knows_who_is_acting():
    """SQL is stamped with the actor, and nothing of it is left on the connection."""
    with acting_as("7"):
        assert write() == "7"
        assert carried() == ""
    assert write() == "nobody"


def test_each_transaction_carries_its_own_actor():
    """Commit and rollback forget who was acting; the next transaction says it anew."""
    with acting_as("7"):
        with transaction.atomic():
            assert write() == "7"
            assert carried() == "7"
        assert carried() == ""
        with transaction.atomic():
            assert Note.objects.count() == 1  # a SELECT opens the transaction
            assert write() == "7"
            transaction.set_rollback(True)
        assert carried() == ""
    with transaction.atomic():
        assert write() == "nobody"


def test_change_of_actor_inside_a_transaction_reaches_the_next_write():
    """Also the change back, and back to nobody."""
    with transaction.atomic():
        assert write() == "nobody"
        with acting_as("7"):
            assert write() == "7"
            with acting_as("8"):
                assert write() == "8"
            assert write() == "7"
        assert write() == "nobody"


def test_select_in_a_transaction_with_another_actor_carries_the_change():
    """A SELECT may call a function that writes."""
    with transaction.atomic():
        with acting_as("7"):
            write()
        with acting_as("8"), connection.cursor() as cursor:
            cursor.execute("SELECT sessionapp_write('by function')")
            assert cursor.fetchone() == ("8",)


def test_bound_actor_stamps_copy_and_callproc():
    """bind_actor() reaches what no wrapper sees."""
    with acting_as("7"), transaction.atomic(), connection.cursor() as cursor:
        bind_actor()
        with cursor.copy("COPY sessionapp_note (text, stamped_by, preserved) FROM STDIN") as copy:
            copy.write_row(["copied", "", False])
        cursor.callproc("sessionapp_write", ["called"])
        assert cursor.fetchone() == ("7",)
    assert set(Note.objects.values_list("stamped_by", flat=True)) == {"7"}


def test_bind_actor_outside_a_transaction_is_refused():
    """The value would be gone before the next statement."""
    with pytest.raises(transaction.TransactionManagementError, match="outside a transaction"):
        bind_actor()


def test_preserving_is_carried_and_ends():
    """app.audit_preserve follows preserve_audit_fields(), inside a transaction and out."""
    with preserve_audit_fields():
        assert Note.objects.create(text="a").refresh_from_db() is None
        assert Note.objects.get(text="a").preserved
    with transaction.atomic():
        with preserve_audit_fields():
            write("b")
        write("c")
    assert dict(Note.objects.values_list("text", "preserved")) == {"a": True, "b": True, "c": False}


def test_query_log_holds_the_statement_as_written_and_nothing_else():
    """connection.queries and assertNumQueries see only the user's statements."""
    with acting_as("7"), CaptureQueriesContext(connection) as queries:
        write("logged")
    assert [query["sql"] for query in queries] == [
        f"{INSERT} RETURNING stamped_by".replace("%s", "'logged'")
    ]


def test_error_is_that_of_the_statement():
    """Django's class, psycopg's cause, and the position in the statement as it was written."""
    with (
        acting_as("7"),
        connection.cursor() as cursor,
        pytest.raises(DatabaseError, match="nowhere") as caught,
    ):
        cursor.execute("INSERT INTO nowhere VALUES (1)")
    assert isinstance(caught.value.__cause__, psycopg.errors.UndefinedTable)
    assert caught.value.__cause__.diag.statement_position == "13"


def test_procedure_that_commits_runs_bare():
    """It takes its own transactions: nobody's name can be carried, and the call goes through."""
    with acting_as("7"), connection.cursor() as cursor:
        cursor.execute("CALL sessionapp_write_and_commit('committed')")
    assert Note.objects.count() == 2
