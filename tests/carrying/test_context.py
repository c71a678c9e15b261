"""Why and for whom goes beside who, by the same rules, where a project keeps a trail."""

import json

import pytest
from django.db import connection, models, transaction
from django.test import override_settings
from django.test.utils import isolate_apps

from django_audit_fields import acting_as, audit_context, bind_actor
from django_audit_fields.carrying.carried import _any_model_wants_context, carries_context
from tests.carrying.round_trips import traced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def with_trail(settings):
    settings.AUDIT_FIELDS = {"CONTEXT": True}


@pytest.fixture
def without_trail(settings):
    settings.AUDIT_FIELDS = {"CONTEXT": False}


@pytest.fixture(autouse=True)
def table():
    execute(
        "CREATE TABLE told (v text, who text DEFAULT nullif(current_setting('app.current_user', "
        "true), ''), why text DEFAULT nullif(current_setting('app.audit_context', true), ''))"
    )
    yield
    execute("DROP TABLE told")


def execute(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def write(v):
    execute("INSERT INTO told (v) VALUES (%s)", [v])


def told():
    """By the rows' names: who, and the reason."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT v, who, why FROM told ORDER BY v")
        return {v: (who, why and json.loads(why).get("reason")) for v, who, why in cursor}


@pytest.mark.usefixtures("with_trail")
def test_context_goes_with_the_write():
    """With and without an actor, in autocommit and in a block, in the write's own round trip."""
    with traced() as round_trips:
        with acting_as("7"), audit_context(reason="it's \\ ✓"):
            write("both")
        with audit_context(reason="alone"):
            write("context")
        with acting_as("7"):
            write("actor")
        write("neither")
    assert round_trips == ["Sync"] * 3 + ["Query"]
    with transaction.atomic(), acting_as("7"), traced() as round_trips:
        with audit_context(reason="first"):
            write("block 1")
            write("block 2")
        write("block 3")
        with audit_context(reason="second"):
            write("block 4")
    assert len(round_trips) == 4
    assert told() == {
        "both": ("7", "it's \\ ✓"),
        "context": (None, "alone"),
        "actor": ("7", None),
        "neither": (None, None),
        "block 1": ("7", "first"),
        "block 2": ("7", "first"),
        "block 3": ("7", None),
        "block 4": ("7", "second"),
    }


@pytest.mark.usefixtures("with_trail")
def test_each_write_in_autocommit_has_the_context_of_its_moment():
    """One after another on one connection, whatever went with the write before."""
    with traced() as round_trips:
        with acting_as("7"):
            for number, reason in enumerate(["first", "second", "second", "dritter Gruß"]):
                with audit_context(reason=reason):
                    write(f"7 {number}")
            write("7 without")
        with audit_context(reason="second"):
            write("nobody")
            with acting_as("8"):
                write("8")
    assert round_trips == ["Sync"] * 7
    assert told() == {
        "7 0": ("7", "first"),
        "7 1": ("7", "second"),
        "7 2": ("7", "second"),
        "7 3": ("7", "dritter Gruß"),
        "7 without": ("7", None),
        "nobody": (None, "second"),
        "8": ("8", "second"),
    }


@pytest.mark.usefixtures("with_trail")
def test_context_is_bound_and_forgotten_with_the_actor():
    """COPY has both after bind_actor(); a rollback to a savepoint takes neither for set."""
    with transaction.atomic(), acting_as("7"), audit_context(reason="outer"):
        bind_actor()
        with connection.cursor() as cursor, cursor.copy("COPY told (v) FROM STDIN") as copy:
            copy.write_row(["copied"])
        execute("SAVEPOINT s")
        with audit_context(reason="inner"):
            write("undone")
            execute("ROLLBACK TO s")
            write("inner")
        write("outer")
    with transaction.atomic():
        execute("SELECT 1")
        write("next")
    assert told() == {
        "copied": ("7", "outer"),
        "inner": ("7", "inner"),
        "outer": ("7", "outer"),
        "next": (None, None),
    }


@pytest.mark.usefixtures("with_trail")
def test_context_that_sql_sets_stands_until_python_has_one():
    """As with the actor."""
    with transaction.atomic():
        execute("SELECT set_config('app.audit_context', %s, true)", ['{"reason": "by SQL"}'])
        write("SQL")
        with audit_context(reason="Python"):
            write("Python")
        write("nobody")
    assert {v: why for v, (_, why) in told().items()} == {
        "SQL": "by SQL",
        "Python": "Python",
        "nobody": None,
    }


@pytest.mark.usefixtures("without_trail")
def test_without_a_trail_nothing_is_sent():
    """Not even where there is something to tell."""
    with audit_context(reason="unheard"), traced() as round_trips:
        write("alone")
    assert round_trips == ["Query"]
    with acting_as("7"), audit_context(reason="unheard"):
        write("acting")
    assert told() == {"alone": (None, None), "acting": ("7", None)}


def test_a_model_with_a_trail_wants_it(settings):
    """Told by its constraint; the setting has the last word."""

    class Trail(models.UniqueConstraint):
        wants_audit_context = True

    settings.AUDIT_FIELDS = {}
    with isolate_apps("tests.carrying.sessionapp") as apps, pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_audit_fields.carrying.carried.apps", apps)

        class Plain(models.Model):  # noqa: DJ008
            class Meta:
                app_label = "sessionapp"

        assert not carries_context()

        class Trailed(models.Model):  # noqa: DJ008
            number = models.IntegerField()

            class Meta:
                app_label = "sessionapp"
                constraints = [Trail(fields=["number"], name="trailed")]

        assert carries_context()
        with override_settings(AUDIT_FIELDS={"CONTEXT": False}):
            assert not carries_context()
    _any_model_wants_context.cache_clear()
