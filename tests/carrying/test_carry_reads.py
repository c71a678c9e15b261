"""`CARRY_READS`: policies that read `app.current_user` let people see their own rows."""

import contextlib

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import connection, connections, transaction
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as, bind_actor
from django_audit_fields.middleware import AuditMiddleware
from tests.carrying.round_trips import traced
from tests.carrying.sessionapp.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def notes():
    """A row of ann's and one of bob's."""
    for name in ("ann", "bob"):
        with acting_as(name):
            Note.objects.create(text=name)


@pytest.fixture
def guarded():
    """The same table, seen by a role that a policy holds to its own rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE ROLE audit_reader;"
            "GRANT ALL ON sessionapp_note TO audit_reader;"
            "GRANT ALL ON SEQUENCE sessionapp_note_id_seq TO audit_reader;"
            "ALTER TABLE sessionapp_note ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY own ON sessionapp_note USING"
            " (stamped_by = current_setting('app.current_user', true)) WITH CHECK (true)"
        )
    database = connections["guarded"] = connection.copy(alias="guarded")
    database.connect()
    with database.cursor() as cursor:
        cursor.execute("SET ROLE audit_reader")
    yield database
    database.close()
    del connections["guarded"]
    with connection.cursor() as cursor:
        cursor.execute(
            "DROP POLICY own ON sessionapp_note;"
            "ALTER TABLE sessionapp_note DISABLE ROW LEVEL SECURITY;"
            "DROP OWNED BY audit_reader; DROP ROLE audit_reader"
        )


@pytest.fixture
def carry_reads(settings):
    settings.AUDIT_FIELDS = {"CARRY_READS": True}


def seen():
    return sorted(Note.objects.using("guarded").values_list("text", flat=True))


@pytest.mark.usefixtures("carry_reads")
def test_everybody_sees_their_own_rows(guarded):
    """In autocommit and in a block, through each kind of cursor, and nobody sees any."""
    for block in (contextlib.nullcontext(), transaction.atomic("guarded")):
        with block:
            for name in ("ann", "bob"):
                with acting_as(name):
                    assert seen() == [name]
                    chunks = Note.objects.using("guarded").iterator(chunk_size=1)
                    assert [note.text for note in chunks] == [name]
                    _, is_new = Note.objects.using("guarded").get_or_create(text=name)
                    assert not is_new
                    with guarded.cursor() as cursor:
                        cursor.execute("TABLE sessionapp_note")
                        assert len(cursor.fetchall()) == 1
                        cursor.execute("EXPLAIN ANALYZE SELECT * FROM sessionapp_note")
                        cursor.execute("SELECT text FROM sessionapp_note; SELECT 1")
                        assert cursor.fetchall() == [(name,)]
            assert seen() == []


@pytest.mark.usefixtures("guarded")
def test_without_it_bind_actor_is_the_way():
    """A SELECT in autocommit carries nothing; in a transaction it sees what was bound."""
    with acting_as("ann"):
        assert seen() == []
        with transaction.atomic("guarded"):
            bind_actor("guarded")
            assert seen() == ["ann"]
            _, is_new = Note.objects.using("guarded").get_or_create(text="ann")
            assert not is_new
        assert seen() == []


@pytest.mark.usefixtures("carry_reads")
def test_a_read_takes_no_round_trip_of_its_own():
    """Nor anything where nobody is acting."""
    with acting_as("ann"), traced() as round_trips:
        assert Note.objects.count() == 2
    assert round_trips == ["Sync"]
    with traced() as round_trips:
        Note.objects.count()
    assert round_trips == ["Query"]
    with acting_as("ann"), transaction.atomic(), traced() as round_trips:
        Note.objects.count()
        Note.objects.count()
    assert len(round_trips) == 2


@pytest.mark.usefixtures("carry_reads")
@pytest.mark.parametrize("reads_first", ["user", "rows"])
@pytest.mark.parametrize("in_block", [False, True], ids=["autocommit", "block"])
def test_reading_the_user_is_a_read_as_well(guarded, client, rf, reads_first, in_block):
    """It is read once, by whoever asks for it first, and the rows are theirs."""
    user = get_user_model().objects.create_user("reader", password="secret")
    with acting_as(user):
        Note.objects.create(text="the reader's")
    client.force_login(user)
    request = rf.get("/")
    request.COOKIES = {name: cookie.value for name, cookie in client.cookies.items()}

    def view(request):
        with transaction.atomic("guarded") if in_block else contextlib.nullcontext():
            if reads_first == "user":
                assert request.user.pk == user.pk
            assert seen() == ["the reader's"]
            assert request.user.pk == user.pk
        return HttpResponse()

    chain = SessionMiddleware(AuthenticationMiddleware(AuditMiddleware(view)))
    with CaptureQueriesContext(connection) as queries:
        assert chain(request).status_code == 200
    for table in ("auth_user", "django_session"):
        assert len([one for one in queries if f'FROM "{table}"' in one["sql"]]) == 1
