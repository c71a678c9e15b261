"""Labels of every kind through every door: stored exactly or refused clearly, never executed."""

import crum
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DataError, connection, transaction
from django.test import RequestFactory, override_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.pq import Escaping

from django_audit_fields import acting_as, bind_actor
from django_audit_fields.checks import check_settings
from django_audit_fields.conf import audit_settings, label_fault
from django_audit_fields.middleware import AuditMiddleware
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db(transaction=True)

HACK = "CREATE TABLE hacked (n int)"
INJECTIONS = [
    f"'; {HACK}; --",
    f"\\'; {HACK}; --",
    f"',true); {HACK}; --",
    f"$$; {HACK}; $$",
    f"x'; COMMIT; {HACK}; --",
    "' || pg_sleep(9) || '",
    '"; DROP TABLE testapp_item; --',
    f"%s'; {HACK} --",
    "admin'--",
    "E'\\x41'",
]
# fmt: off
ODDITIES = [
    "", " ", "\t", "\n", "\r\n", "'", "''", '"', "\\", "\\\\'", "%", "%s", "%(name)s", "%%", "{}",
    "\0", "a\0b", "\x01\x1b[31m\x7f", "\u2028", "\u202eevil", "\ud800", "a\udfff", "\ufeff",
    "NULL", "null", "system", "on", "None", "ünïcödé", "日本語", "e\u0301", "👩‍👩‍👧", "\U0010ffff",
    "x" * 50, "x" * 51, "é" * 50, "é" * 51, "👍" * 50, "👍" * 51, "'" * 50, "\\" * 50, "%" * 50,
]
# fmt: on
labels = st.one_of(
    st.sampled_from(INJECTIONS + ODDITIES),
    st.text(alphabet="ab'\"\\%;$-{}()\x00\n\r\t\x7f é👍", max_size=55),
    st.text(alphabet=st.characters(), max_size=55),
)
QUICKLY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
INSERT = "INSERT INTO testapp_item (name, amount) VALUES ('by SQL', 0)"
COPY = "COPY testapp_item (name, amount) FROM STDIN"


def every_injection(test):
    for label in INJECTIONS:
        test = example(label=label)(test)
    return test


@pytest.fixture(autouse=True)
def _nothing_is_executed():
    """No statement hidden in a label has run."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('hacked'), to_regclass('testapp_item')")
        assert cursor.fetchone() == (None, "testapp_item")


def write_in_every_way():
    """Through the ORM, in bulk and by SQL: in autocommit, and as a transaction's later writes."""
    for _ in range(2):
        item = Item.objects.create()
        item.save()
        Item.objects.bulk_create([Item(), Item()])
        Item.objects.update(amount=1)
        with connection.cursor() as cursor:
            cursor.execute(INSERT)
            cursor.execute("UPDATE testapp_item SET amount = %s", [2])
            cursor.executemany(
                "INSERT INTO testapp_item (name, amount) VALUES (%s, 0)", [["a"], ["b"]]
            )
            cursor.execute(f"{INSERT}; UPDATE testapp_item SET amount = 3")
    with transaction.atomic():
        Item.objects.create()
        with connection.cursor() as cursor:
            cursor.execute(INSERT)
            cursor.execute(f"{INSERT}; UPDATE testapp_item SET amount = 4")


def people():
    """Every label that is stored, by plain SQL; and an empty table for the next example."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT created_by, updated_by FROM testapp_item")
        found = {label for row in cursor.fetchall() for label in row}
        cursor.execute("DELETE FROM testapp_item")
    return found


def label_of_name(user):
    """An `ACTOR` that answers whatever the user is called."""
    return user.username


@pytest.mark.parametrize("standard", ["on", "off"])
@QUICKLY
@every_injection
@given(label=labels)
def test_acting_as(standard, label):
    """A label is stored as it was given, or a ValueError says why not before it is written."""
    if label_fault(label):
        with pytest.raises(ValueError, match="label"):
            acting_as(label)
        return
    with connection.cursor() as cursor:
        # Without it a backslash escapes what follows.
        cursor.execute(f"SET standard_conforming_strings = {standard}")
    with acting_as(label):
        write_in_every_way()
    assert people() == {label}


def write_in_request_of(user):
    """In a view, behind the middleware."""
    request = RequestFactory().get("/")
    request.user = user
    views = []

    def view(request):
        write_in_every_way()
        views.append(request)

    AuditMiddleware(view)(request)
    assert views == [request]


@pytest.mark.parametrize("door", ["request", "impersonate", "set_current_user", "acting_as"])
@QUICKLY
@every_injection
@given(label=labels)
def test_label_that_the_project_makes_of_a_user(door, label):
    """What `ACTOR` answers is stored exactly, or the fallback is."""
    user = User(pk=7, username=label)
    with override_settings(AUDIT_FIELDS={"ACTOR": "tests.actors.test_fuzz_labels.label_of_name"}):
        if door == "acting_as":
            with acting_as(user):
                write_in_every_way()
        elif door == "request":
            write_in_request_of(user)
        elif door == "impersonate":
            with crum.impersonate(user):
                write_in_every_way()
        else:
            crum.set_current_user(user)
            try:
                write_in_every_way()
            finally:
                crum.set_current_user(False)
    assert people() == {"system" if label_fault(label) else label}


@settings(QUICKLY, max_examples=15)
@every_injection
@given(label=labels)
def test_fallback(label):
    """The setting is stored exactly, also by SQL and defaults, or a system check refuses it."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": label}):
        if label_fault(label):
            assert [error.id for error in check_settings(None)]
            assert audit_settings().fallback == "system"
            return
        with transaction.atomic():
            # What the database falls back to is in its triggers and defaults.
            call_command("audit_triggers", "install", verbosity=0)
            call_command("audit_triggers", "check")
            write_in_every_way()
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO testapp_item (name, amount, created_by, updated_by)"
                    " VALUES ('', 0, NULL, '')"
                )
            found = people()
            transaction.set_rollback(True)
        assert found == {label}


@QUICKLY
@every_injection
@given(label=labels.filter(lambda label: not label_fault(label)))
def test_bind_actor(label):
    """COPY, which no wrapper sees, stores the label as it was given."""
    with acting_as(label), transaction.atomic(), connection.cursor() as cursor:
        bind_actor()
        with cursor.copy(COPY) as copy:
            copy.write("by COPY\t0\n")
    assert people() == {label}


@pytest.mark.parametrize("door", ["set_config", "SET LOCAL"])
@QUICKLY
@every_injection
@given(label=labels)
def test_raw_session_variable(door, label):
    """What SQL sets is stored exactly; PostgreSQL refuses what does not fit, and stores nothing."""
    connection.ensure_connection()
    raw = connection.connection
    if "\0" in label or any("\ud800" <= character <= "\udfff" for character in label):
        # Nothing that PostgreSQL could be sent.
        with (
            pytest.raises((ValueError, DataError)),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT set_config('app.current_user', %s, true)", [label])
        return

    @transaction.atomic
    def write():
        with connection.cursor() as cursor:
            if door == "set_config":
                cursor.execute("SELECT set_config('app.current_user', %s, true)", [label])
            else:
                literal = Escaping(raw.pgconn).escape_literal(label.encode())
                cursor.execute(b'SET LOCAL app."current_user" TO ' + literal)
            cursor.execute(INSERT)
            cursor.execute("UPDATE testapp_item SET amount = %s", [2])

    if len(label) > 50:
        with pytest.raises(DataError, match="too long"):
            write()
        assert people() == set()
    else:
        write()
        assert people() == {label or "system"}
