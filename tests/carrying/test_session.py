"""The actor reaches PostgreSQL with every write, for the length of the transaction, unnoticed."""

import contextlib

import crum
import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as, bind_actor, preserve_audit_fields
from tests.carrying.sessionapp.models import Note

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


@pytest.fixture
def manages_transactions_itself():
    """The connection is in `set_autocommit(False)` mode."""
    connection.set_autocommit(False)
    yield
    connection.rollback()
    connection.set_autocommit(True)


def open_unseen():
    """Open the next transaction past Django, as `cursor.copy()` or `callproc()` would."""
    connection.connection.execute("SELECT 1")


def test_transaction_opened_unseen_carries_nothing_yet():
    """A commit is not taken for going on because something else opened the next transaction."""
    with acting_as("7"):
        for _ in range(2):
            with transaction.atomic():
                open_unseen()
                assert write() == "7"


@pytest.mark.usefixtures("manages_transactions_itself")
@pytest.mark.parametrize("end", [transaction.commit, transaction.rollback])
def test_transaction_opened_unseen_carries_nothing_yet_without_autocommit(end):
    """Also where the project ends its transactions itself."""
    with acting_as("7"):
        for _ in range(2):
            open_unseen()
            assert write() == "7"
            end()
            with transaction.atomic():
                open_unseen()
                assert write() == "7"
            end()


def test_rollback_of_psycopgs_own_block_is_noticed():
    """psycopg's savepoints pass no wrapper; what they undo is sent again."""
    with acting_as("7"), transaction.atomic():
        write()
        with (
            contextlib.suppress(ZeroDivisionError),
            connection.connection.transaction(),
            acting_as("8"),
        ):
            assert write() == "8"
            raise ZeroDivisionError
        assert write() == "7"
        with acting_as("8"):
            assert write() == "8"


SETTINGS_BY_SQL = [
    ("SET LOCAL app.\"current_user\" TO 'import'", None),
    ("set local APP . \"current_user\" = 'import'", None),
    ("SELECT set_config('app.current_user', 'import', true)", None),
    ("SELECT SET_CONFIG(%s, %s, true)", ["app.current_user", "import"]),
    ("SELECT pg_catalog.Set_Config(%s, %s, true)", ["app.current_user", "import"]),
    ("SELECT 1; SELECT set_config('app.current_user', 'import', true)", None),
]


@pytest.mark.parametrize("nobody", ["fallback", "session_user"])
@pytest.mark.parametrize(("sql", "params"), SETTINGS_BY_SQL)
def test_value_that_sql_sets_stands_until_somebody_acts(sql, params, nobody):
    """Nobody acting leaves it alone; an actor replaces it, whatever was carried before."""
    with (
        override_settings(AUDIT_FIELDS={"NOBODY": nobody}),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql, params)
        assert write() == "import"
        assert write() == "import"
        with acting_as("7"):
            assert write() == "7"
            cursor.execute(sql, params)
            assert write() == "7"
        assert write() == ("system" if nobody == "session_user" else "nobody")
        cursor.execute(sql, params)
        assert write() == "import"


@pytest.mark.parametrize("reset", ["RESET ALL", 'RESET app."current_user"', "DISCARD PLANS"])
def test_actor_is_carried_again_after_a_reset(reset):
    """What the project's SQL takes away, the next write brings back."""
    with acting_as("7"), transaction.atomic(), connection.cursor() as cursor:
        write()
        cursor.execute(reset)
        assert write() == "7"


def test_fallback_is_carried_where_triggers_stamp_the_database_role():
    """With NOBODY = "session_user" a write through Django tells itself from a DBA's."""
    with override_settings(AUDIT_FIELDS={"NOBODY": "session_user", "FALLBACK": "app"}):
        assert write() == "app"
        with transaction.atomic():
            assert write() == "app"
            with acting_as("7"):
                assert write() == "7"
            assert write() == "app"
        Note.objects.update(preserved=True)
    assert set(Note.objects.values_list("stamped_by", flat=True)) == {"app"}


def test_other_wrappers_see_statements_that_have_run():
    """What a project's own wrapper does with text, result and error works as it did."""
    seen = []

    def watch(execute, sql, params, many, context):
        try:
            execute(f"/* {len(seen)} */ {sql}", params, many, context)
        except DatabaseError as error:
            seen.append(type(error.__cause__))
            raise
        seen.append(context["cursor"].rowcount)

    with acting_as("7"), connection.execute_wrapper(watch):
        assert write() == "7"
        with transaction.atomic():
            assert write() == "7"
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("INSERT INTO nowhere VALUES (1)")
    assert seen == [1, 1, psycopg.errors.UndefinedTable]
    with acting_as("7"):
        assert write() == "7"


def test_pipeline_of_the_projects_own_is_left_to_it():
    """The setting rides along, and no synchronisation is added between its statements."""

    def write_in_pipeline(cursor, *texts):
        with connection.connection.pipeline():
            for text in texts:
                cursor.execute(INSERT, [text])

    with acting_as("7"), connection.cursor() as cursor:
        write_in_pipeline(cursor, "a", "b")
        with pytest.raises((psycopg.Error, DatabaseError)):
            write_in_pipeline(cursor, "c", "a")  # all or nothing
        with transaction.atomic(), connection.connection.pipeline():
            cursor.execute(INSERT, ["d"])
            with acting_as("8"):
                cursor.execute(INSERT, ["e"])
    assert dict(Note.objects.values_list("text", "stamped_by")) == {
        "a": "7",
        "b": "7",
        "d": "7",
        "e": "8",
    }


class Asking:
    """A user whose name takes a query; `sql` is that query."""

    is_anonymous = False
    is_authenticated = True
    pk = 7

    def __init__(self, sql):
        self.sql = sql


def ask(user):
    with connection.cursor() as cursor:
        cursor.execute(user.sql)
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("in_block", [True, False], ids=["block", "autocommit"])
def test_asking_who_acts_may_query_and_fail(in_block):
    """A failing query is the fallback's business: the write and its transaction go on."""
    block = transaction.atomic() if in_block else contextlib.nullcontext()
    with override_settings(AUDIT_FIELDS={"ACTOR": ask}), block:
        with crum.impersonate(Asking("SELECT 'asked'")):
            assert write() == "asked"
        with crum.impersonate(Asking("SELECT 1 FROM nowhere")):
            assert write("failed to ask") == "nobody"
        with crum.impersonate(Asking("SELECT 'asked again'")):
            assert write() == "asked again"
        assert write() == "nobody"
    assert Note.objects.count() == 4


@pytest.mark.parametrize("opened", [True, False], ids=["opened", "about to open"])
def test_failing_to_ask_first_leaves_the_transaction_usable(opened):
    """Also when nothing was carried before, and when the question opens the transaction."""
    with override_settings(AUDIT_FIELDS={"ACTOR": ask}), transaction.atomic():
        if opened:
            Note.objects.count()
        with crum.impersonate(Asking("SELECT 1 FROM nowhere")):
            assert write("failed to ask") == "nobody"
    assert Note.objects.count() == 1


def test_asking_may_write():
    """What is written while asking is nobody's, and the question is not asked again for it."""
    sql = (
        "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES ('asking', '', false)"
        " RETURNING 'writer'"
    )
    with override_settings(AUDIT_FIELDS={"ACTOR": ask}), transaction.atomic():
        with acting_as("7"):
            write("before")
        with crum.impersonate(Asking(sql)):
            assert write("asked for") == "writer"
    assert dict(Note.objects.values_list("text", "stamped_by")) == {
        "before": "7",
        "asking": "nobody",
        "asked for": "writer",
    }


def test_rows_fetched_in_chunks_come_from_a_cursor_on_the_server():
    """iterator() names a cursor, in autocommit and in a block that carries another actor."""
    Note.objects.bulk_create(Note(text=str(n)) for n in range(10))
    with acting_as("7"):
        assert len(list(Note.objects.iterator(chunk_size=3))) == 10
        with transaction.atomic():
            write()
            with acting_as("8"):
                notes = Note.objects.iterator(chunk_size=3)
                next(notes)
                assert carried() == "8"
                assert write() == "8"
                assert len(list(notes)) == 10


def test_bulk_and_asynchronous_writes_are_stamped():
    """bulk_create, bulk_update, update and their async twins."""

    async def write_asynchronously():
        with acting_as("async"):
            await Note.objects.acreate(text="async")
            await Note.objects.filter(text="later async").aupdate(preserved=False)

    with acting_as("7"):
        notes = Note.objects.bulk_create(Note(text=text) for text in ["a", "b", "later async"])
    with acting_as("8"):
        notes[0].text = "changed"
        Note.objects.bulk_update(notes[:1], ["text"])
    async_to_sync(write_asynchronously)()
    assert dict(Note.objects.values_list("text", "stamped_by")) == {
        "changed": "8",
        "b": "7",
        "async": "async",
        "later async": "async",
    }


def test_explain_analyze_and_prepared_statements_are_stamped():
    """EXPLAIN ANALYZE of a write and EXECUTE are writes, PREPARE is none."""
    with acting_as("7"), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, VERBOSE) {INSERT}", ["explained"])
        cursor.execute(f"PREPARE planned AS {INSERT}".replace("%s", "$1"))
        cursor.execute("EXECUTE planned ('executed')")
        cursor.execute("DEALLOCATE planned")
        cursor.execute("DO $$ BEGIN PERFORM sessionapp_write('done'); END $$")
    assert dict(Note.objects.values_list("text", "stamped_by")) == dict.fromkeys(
        ["explained", "executed", "done"], "7"
    )
