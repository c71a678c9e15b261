"""AuditTrigger as a constraint among Django's, and what other modules ask of a model."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.db import connection, migrations, models
from django.db.migrations.serializer import serializer_factory
from django.db.migrations.state import ModelState, ProjectState
from django.db.utils import ConnectionHandler
from django.test import override_settings
from django.test.utils import isolate_apps

from django_audit_fields.models import TimestampModel
from django_audit_fields.triggers import (
    AuditTrigger,
    any_model_stamps_session_user,
    attach_trigger,
    trigger_of,
)
from tests.testapp.models import Item, ItemProxy, Plain, PlainChild, SpecialItem
from tests.triggers.audited_tables import audit_functions, execute, triggers_on
from tests.triggers.triggersapp.models import Note

COLUMNS = {
    "created_at": ("created_at", "DateTimeField"),
    "updated_at": ("updated_at", "DateTimeField"),
    "created_by": ("created_by", "CharField", 50),
    "updated_by": ("updated_by", "CharField", 50),
}


def test_it_carries_its_rules_and_its_columns_into_migrations() -> None:
    """What it says and what it depends on; nothing of the settings, nothing that is None."""
    with override_settings(AUDIT_FIELDS={"STRICT": True, "NOBODY": "refuse", "FALLBACK": "x"}):
        assert Note._meta.constraints[0].deconstruct() == (
            "django_audit_fields.triggers.AuditTrigger",
            (),
            {"name": "triggersapp_note_audit", "columns": COLUMNS},
        )
    said = AuditTrigger(name="x", strict=False, nobody="session_user")
    assert said.deconstruct() == (
        "django_audit_fields.triggers.AuditTrigger",
        (),
        {"name": "x", "strict": False, "nobody": "session_user"},
    )


def test_copies_are_equal_and_other_rules_are_not() -> None:
    """Clones, pickles and what is read back from a migration's text."""
    trigger = AuditTrigger(name="x", strict=True, nobody="refuse", columns=COLUMNS)
    text, imports = serializer_factory(trigger).serialize()
    namespace: dict[str, Any] = {}
    exec("\n".join([*imports, f"copy = {text}"]), namespace)  # noqa: S102
    for copy in (trigger.clone(), pickle.loads(pickle.dumps(trigger)), namespace["copy"]):  # noqa: S301
        assert copy == trigger
    assert trigger != AuditTrigger(name="x", strict=True, nobody="refuse")
    assert trigger != AuditTrigger(name="x", strict=False, nobody="refuse", columns=COLUMNS)
    assert trigger != models.UniqueConstraint(fields=["id"], name="x")
    assert repr(trigger) == "<AuditTrigger: name='x' strict=True nobody='refuse'>"
    assert repr(AuditTrigger(name="x")) == "<AuditTrigger: name='x'>"


def test_arguments_that_mean_nothing_are_refused() -> None:
    """With the value and what is allowed."""
    with pytest.raises(ValueError, match=r"'refuse' or None, not 'nobody'"):
        AuditTrigger(name="x", nobody="nobody")
    with pytest.raises(TypeError, match="True, False or None, not 1"):
        AuditTrigger(name="x", strict=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AuditTrigger("x")  # type: ignore[misc]


def test_it_validates_nothing() -> None:
    """full_clean() of an instance without stamps passes."""
    Note(text="x").full_clean()
    Note(text="x").validate_constraints()


def test_a_trigger_without_columns_is_an_error() -> None:
    """A model that names one and has none of the fields; the hint says what to write."""
    with isolate_apps("tests.triggers.triggersapp"):

        class Bare(models.Model):  # noqa: DJ008
            class Meta:
                app_label = "triggersapp"
                constraints = [AuditTrigger(name="bare_audit")]

        assert Bare.check(databases=["default"]) == [
            checks.Error(
                "triggersapp.Bare has an AuditTrigger and none of the fields it fills.",
                hint="Derive it from TimestampModel, or take the trigger off.",
                obj=Bare,
                id="django_audit_fields.E011",
            )
        ]


def test_two_triggers_of_one_model_are_an_error() -> None:
    """The second would replace what the first has installed, and take it off with itself."""
    with isolate_apps("tests.triggers.triggersapp"):

        class Twice(TimestampModel):
            class Meta:
                app_label = "triggersapp"
                constraints = [AuditTrigger(name="one"), AuditTrigger(name="two", strict=True)]

        found = Twice.check(databases=["default"])
        assert [message.id for message in found] == ["django_audit_fields.E012"]


def test_trigger_of_follows_the_table() -> None:
    """A proxy has its model's, a child table its parent's, a plain model none."""
    own = Item._meta.constraints[0]
    assert trigger_of(Item) is own
    assert trigger_of(ItemProxy) is own
    assert trigger_of(SpecialItem) is own
    assert trigger_of(PlainChild) is PlainChild._meta.constraints[0]
    assert trigger_of(Plain) is None
    state = ProjectState()
    state.add_model(ModelState.from_model(Item))
    historical = trigger_of(state.apps.get_model("testapp", "item"))
    assert historical == own


def test_attaching_twice_changes_nothing() -> None:
    """The second call finds the first one's."""
    before = list(Item._meta.constraints)
    attach_trigger(Item)
    attach_trigger(ItemProxy)
    attach_trigger(SpecialItem)
    assert Item._meta.constraints == before
    assert ItemProxy._meta.constraints == SpecialItem._meta.constraints == []


def test_one_model_that_stamps_the_session_user_is_enough() -> None:
    """The setting or a model; asked again when another model appears."""
    assert not any_model_stamps_session_user()
    with override_settings(AUDIT_FIELDS={"NOBODY": "session_user"}):
        assert any_model_stamps_session_user()
    trigger = Note._meta.constraints[0]
    trigger.nobody = "session_user"
    try:
        with isolate_apps("tests.triggers.triggersapp"):

            class Another(models.Model):  # noqa: DJ008
                class Meta:
                    app_label = "triggersapp"

        assert any_model_stamps_session_user()
    finally:
        trigger.nobody = None
        with isolate_apps("tests.triggers.triggersapp"):

            class YetAnother(models.Model):  # noqa: DJ008
                class Meta:
                    app_label = "triggersapp"

    assert not any_model_stamps_session_user()


def test_a_model_keeps_its_other_constraints() -> None:
    """In their order, before the trigger; the list of an abstract base is left alone."""
    with isolate_apps("tests.triggers.triggersapp"):
        check = models.CheckConstraint(condition=models.Q(pk__gt=0), name="%(class)s_positive")

        class Base(TimestampModel):
            class Meta:
                abstract = True
                app_label = "triggersapp"
                constraints = [check]

        class Heir(Base):
            pass

    assert [constraint.name for constraint in Heir._meta.constraints] == [
        "heir_positive",
        "triggersapp_heir_audit",
    ]
    assert Base._meta.constraints == [check]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Any]:
    other = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3"}})["default"]
    other.settings_dict["NAME"] = str(tmp_path / "other.sqlite3")
    yield other
    other.close()


@pytest.mark.django_db
def test_other_databases_get_no_sql(sqlite: Any) -> None:
    """SQLite remakes tables around constraints: ours come and go there without a word."""
    state = ProjectState()
    migration = migrations.Migration("0001_initial", "triggersapp")
    bare = ModelState.from_model(Note)
    trigger = bare.options.pop("constraints")[0]
    create = migrations.CreateModel("Note", list(bare.fields.items()))
    add = migrations.AddConstraint("note", trigger)
    migration.operations = [create, add, migrations.RemoveConstraint("note", trigger.name), add]
    sqlite.disable_constraint_checking()
    with sqlite.schema_editor() as editor:
        reached = migration.apply(state, editor)
        assert trigger.create_sql(Note, editor) is None
        assert trigger.remove_sql(Note, editor) is None
        assert trigger.constraint_sql(Note, editor) is None
        assert editor.deferred_sql == []
    model = reached.apps.get_model("triggersapp", "note")
    with sqlite.schema_editor() as editor:
        editor.delete_model(model)
    with sqlite.schema_editor() as editor:
        editor.create_model(model)
    assert model._meta.db_table in sqlite.introspection.table_names()


@pytest.mark.django_db
def test_sql_is_deferred_until_the_table_is_there() -> None:
    """constraint_sql answers None and leaves the rest to the schema editor."""
    (trigger,) = Note._meta.constraints
    with connection.schema_editor() as editor:
        assert trigger.constraint_sql(Note, editor) is None
        (statement,) = editor.deferred_sql
        assert statement.references_table(Note._meta.db_table)


@pytest.mark.django_db
def test_removing_takes_only_what_nothing_else_uses() -> None:
    """The function stays while another table of the schema has triggers."""
    (trigger,) = Note._meta.constraints
    before = audit_functions()
    with connection.schema_editor() as editor:
        editor.remove_constraint(Note, trigger)
    assert triggers_on("triggersapp_note") == {}
    assert audit_functions() == before
    assert trigger.remove_sql(Note, connection.schema_editor())
    execute("DROP TABLE triggersapp_note")
    with connection.schema_editor() as editor:
        editor.execute(trigger.remove_sql(Note, editor), None)  # a table that is gone is no error
