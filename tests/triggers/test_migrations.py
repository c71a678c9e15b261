"""What Django's own autodetector makes of the triggers, and what migrations do to a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.db import IntegrityError, connection, migrations, models, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations import AddConstraint, RemoveConstraint
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models.functions import Now
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_audit_fields import acting_as, checks
from django_audit_fields.drift import catalog
from django_audit_fields.drift.catalog import differences
from django_audit_fields.drift.repairs import reinstall
from django_audit_fields.models import TimestampModel
from django_audit_fields.triggers import AuditTrigger
from tests.triggers.audited_tables import (
    act_as,
    audit_functions,
    execute,
    install,
    make_table,
    people_of,
    row,
    rows,
    stamps_of,
    triggers_on,
)

pytestmark = pytest.mark.django_db

BOTH = dict.fromkeys(("~~audit_fields_insert", "~~audit_fields_update"), "audit_fields_stamp")
FROZEN = Path(__file__).parent / "frozen"


@pytest.fixture
def _isolated() -> Iterator[None]:
    with isolate_apps("tests.triggers.triggersapp"):
        yield


@pytest.fixture
def define(_isolated: None) -> Callable[..., type[models.Model]]:
    """Make a model class of the app, as if its module had just been imported."""

    def define_model(
        name: str,
        *bases: type[models.Model],
        meta: dict[str, Any] | None = None,
        **body: Any,
    ) -> type[models.Model]:
        parents = bases or (TimestampModel,)
        options = {"app_label": "triggersapp", **(meta or {})}
        inherited = options.pop("inherits", ())
        return type(
            name,
            parents,
            {
                "__module__": "tests.triggers.triggersapp.models",
                "Meta": type("Meta", inherited, options),
                "__str__": lambda self: str(self.pk),
                **body,
            },
        )

    return define_model


def state_of(*model_classes: type[models.Model]) -> ProjectState:
    state = ProjectState()
    for model in model_classes:
        state.add_model(ModelState.from_model(model))
    return state


class SilentQuestioner(MigrationQuestioner):
    """Renames when it could be a rename; fails when Django would ask for a value."""

    def ask_initial(self, app_label: str) -> bool:
        return True

    def ask_rename_model(self, *args: Any) -> bool:
        return True

    def ask_not_null_addition(self, *args: Any) -> Any:
        raise AssertionError("a prompt")

    def ask_auto_now_add_addition(self, *args: Any) -> Any:
        raise AssertionError("a prompt")


def changes_between(before: ProjectState, after: ProjectState) -> dict[str, Any]:
    # Clones, since the autodetector takes them apart.
    detector = MigrationAutodetector(before.clone(), after.clone(), SilentQuestioner())
    return dict(detector.changes(MigrationGraph()))


def migration_between(before: ProjectState, after: ProjectState) -> migrations.Migration:
    """What makemigrations writes, read back from its text."""
    changes = changes_between(before, after)
    if not changes:
        return migrations.Migration("empty", "triggersapp")
    (migration,) = changes["triggersapp"]
    namespace: dict[str, Any] = {}
    exec(MigrationWriter(migration).as_string(), namespace)  # noqa: S102
    written: migrations.Migration = namespace["Migration"](migration.name, "triggersapp")
    return written


def forwards(migration: migrations.Migration, before: ProjectState) -> ProjectState:
    with connection.schema_editor() as editor:
        return migration.apply(before.clone(), editor)


def backwards(migration: migrations.Migration, before: ProjectState) -> None:
    with connection.schema_editor() as editor:
        migration.unapply(before.clone(), editor)


def kinds_of(migration: migrations.Migration) -> list[str]:
    return [type(operation).__name__ for operation in migration.operations]


def round_trip(before: ProjectState, after: ProjectState) -> migrations.Migration:
    """Write, run, look for more to write; the caller looks at the database."""
    migration = migration_between(before, after)
    reached = forwards(migration, before)
    assert kinds_of(migration_between(reached, after)) == [], "makemigrations --check is clean"
    return migration


class Rules(models.Model):
    """An abstract base with rules for all that derive from it."""

    class Meta:
        abstract = True
        app_label = "triggersapp"
        constraints = [
            AuditTrigger(name="%(app_label)s_%(class)s_ruled", strict=True, nobody="refuse")
        ]


class AuditedRules(Rules, TimestampModel):
    class Meta(Rules.Meta):
        abstract = True


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"inherits": (TimestampModel.Meta,), "abstract": False},
        {"ordering": ["pk"], "verbose_name": "thing"},
        {"constraints": [models.CheckConstraint(condition=models.Q(id__gt=0), name="positive")]},
        {"constraints": []},
    ],
)
def test_every_model_gets_its_trigger(define: Any, meta: dict[str, Any]) -> None:
    """Whatever its Meta inherits or names; absent, forwards, present, backwards, absent."""
    before = ProjectState()
    after = state_of(define("Thing", meta=meta))
    functions = audit_functions()
    migration = round_trip(before, after)
    assert kinds_of(migration) == ["CreateModel"]
    assert triggers_on("triggersapp_thing") == BOTH
    act_as("7")
    execute(
        "INSERT INTO triggersapp_thing (created_at, updated_at, created_by, updated_by) "
        "VALUES (NULL, NULL, '', NULL)"
    )
    assert people_of("triggersapp_thing") == ("7", "7")
    execute("INSERT INTO triggersapp_thing DEFAULT VALUES")
    assert people_of("triggersapp_thing", 2) == ("7", "7")
    backwards(migration, before)
    assert row("SELECT to_regclass('triggersapp_thing')") == (None,)
    call_command("migrate", verbosity=0)
    assert audit_functions() == functions


def test_a_model_that_names_its_trigger_gets_no_other(define: Any) -> None:
    """Its rules are in the migration and in force; the settings' rules are not in it."""
    named = AuditTrigger(name="%(app_label)s_%(class)s_audit", strict=True, nobody="refuse")
    model = define("Thing", meta={"constraints": [named]})
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron", "STRICT": False}):
        migration = round_trip(ProjectState(), state_of(model))
    assert "strict=True" in MigrationWriter(migration).as_string()
    assert "cron" not in MigrationWriter(migration).as_string()
    (trigger,) = model._meta.constraints
    assert trigger.name == "triggersapp_thing_audit"
    act_as("7")
    execute("INSERT INTO triggersapp_thing (created_by) VALUES ('other')")
    assert people_of("triggersapp_thing") == ("7", "7")


def test_proxies_and_child_tables_get_none(define: Any) -> None:
    """The parent's trigger is in force for them, also where an abstract base's Meta names one."""
    parent = define(
        "Parent", AuditedRules, meta={"inherits": (AuditedRules.Meta,), "abstract": False}
    )
    child = define("Child", parent)
    proxy = define("Proxy", parent, meta={"proxy": True})
    second = define("Second", parent, AuditedRules)
    assert [constraint.name for constraint in parent._meta.constraints] == [
        "triggersapp_parent_ruled"
    ]
    for heir in (child, proxy, second):
        assert heir._meta.constraints == []
    round_trip(ProjectState(), state_of(parent, child, proxy, second))
    assert triggers_on("triggersapp_parent") == BOTH
    assert triggers_on("triggersapp_child") == triggers_on("triggersapp_second") == {}


def test_a_child_that_brings_the_columns_gets_its_own(define: Any) -> None:
    """TimestampModel as a second base beside a model without the columns."""
    plain = define("Plain", models.Model)
    child = define("Child", plain, TimestampModel)
    round_trip(ProjectState(), state_of(plain, child))
    assert triggers_on("triggersapp_plain") == {}
    assert triggers_on("triggersapp_child") == BOTH


def test_abstract_grandchildren_get_their_own(define: Any) -> None:
    """Each concrete heir of an abstract heir has a constraint of its own name."""
    base = define("Base", TimestampModel, meta={"abstract": True}, code=models.TextField())
    heirs = [define(name, base) for name in ("First", "Second")]
    assert [heir._meta.constraints[0].name for heir in heirs] == [
        "triggersapp_first_audit",
        "triggersapp_second_audit",
    ]
    round_trip(ProjectState(), state_of(*heirs))
    for heir in heirs:
        assert triggers_on(heir._meta.db_table) == BOTH


def test_a_model_without_one_of_the_columns_has_a_function_of_its_own(define: Any) -> None:
    """Django lets a subclass drop an inherited field."""
    model = define("Thing", TimestampModel, created_by=None)
    round_trip(ProjectState(), state_of(model))
    (function,) = set(triggers_on("triggersapp_thing").values())
    assert function != "audit_fields_stamp"
    execute("INSERT INTO triggersapp_thing (updated_by) VALUES ('')")
    assert row("SELECT updated_by FROM triggersapp_thing") == ("system",)


def test_unmanaged_models_get_nothing(define: Any) -> None:
    """Django's autodetector ignores their constraints."""
    model = define("Thing", meta={"managed": False})
    assert model._meta.constraints == []


def test_a_model_that_becomes_managed_needs_a_second_makemigrations(
    define: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django adds constraints to models that were managed before; a check says so meanwhile."""
    model = define("Thing", meta={"managed": False})
    unmanaged = state_of(model)
    with isolate_apps("tests.triggers.triggersapp"):
        model = define("Thing")
        managed = state_of(model)
    first = migration_between(unmanaged, managed)
    assert kinds_of(first) == ["AlterModelOptions"]
    between = forwards(first, unmanaged)
    execute("CREATE TABLE triggersapp_thing (LIKE testapp_item INCLUDING ALL)")
    known = {"triggersapp.thing": False}
    monkeypatch.setattr(checks.database, "models_of_migrations", lambda: known)
    monkeypatch.setattr(catalog.apps, "get_models", lambda **kwargs: [model])
    monkeypatch.setattr(checks.database, "triggered_models", lambda app_configs: [model])
    # Said once, and nothing else: not as a difference, which `audit_triggers install` would mend.
    (warning,) = run_checks(tags=[Tags.models, Tags.database], databases=["default"])
    assert (warning.id, warning.msg) == (
        "django_audit_fields.W007",
        "No migration gives triggersapp.Thing its trigger.",
    )
    assert "needs a second run" in str(warning.hint)
    second = migration_between(between, managed)
    assert kinds_of(second) == ["AddConstraint"]
    known["triggersapp.thing"] = True
    assert {found.id for found in run_checks(tags=[Tags.database], databases=["default"])} == {
        "django_audit_fields.W010"
    }
    reached = forwards(second, between)
    assert triggers_on("triggersapp_thing") == BOTH
    assert run_checks(tags=[Tags.database], databases=["default"]) == []
    assert kinds_of(migration_between(reached, managed)) == []


def test_a_model_that_is_managed_no_more_keeps_its_trigger(define: Any) -> None:
    """One makemigrations, which takes nothing off; and one more when it is managed again."""
    managed = state_of(define("Thing"))
    forwards(migration_between(ProjectState(), managed), ProjectState())
    with isolate_apps("tests.triggers.triggersapp"):
        unmanaged = state_of(define("Thing", meta={"managed": False}))
    freed = migration_between(managed, unmanaged)
    assert kinds_of(freed) == ["AlterModelOptions"]
    between = forwards(freed, managed)
    assert triggers_on("triggersapp_thing") == BOTH
    assert kinds_of(migration_between(between, unmanaged)) == []
    again = migration_between(between, managed)
    assert kinds_of(again) == ["AlterModelOptions"]
    assert kinds_of(migration_between(forwards(again, between), managed)) == []


def defaults_of(table: str) -> dict[str, str]:
    found = rows(
        "SELECT column_name, column_default FROM information_schema.columns"
        f" WHERE table_name = '{table}' AND column_name LIKE '%\\_at'"
    )
    return dict(found)


def test_a_migration_that_says_now_goes_on_to_be_right(define: Any) -> None:
    """Earlier ones name Django's `Now()`: one AlterField for each column, which alters nothing."""
    model = define("Thing")
    before, after = state_of(model), state_of(model)
    for name in ("created_at", "updated_at"):
        before.models["triggersapp", "thing"].fields[name].db_default = Now()
    forwards(migration_between(ProjectState(), before), ProjectState())
    defaults = defaults_of("triggersapp_thing")
    assert defaults == dict.fromkeys(("created_at", "updated_at"), "statement_timestamp()")
    with CaptureQueriesContext(connection) as captured:
        migration = round_trip(before, after)
    assert kinds_of(migration) == ["AlterField", "AlterField"]
    assert [query["sql"] for query in captured if "ALTER" in query["sql"]] == []
    assert defaults_of("triggersapp_thing") == defaults
    backwards(migration, before)
    assert defaults_of("triggersapp_thing") == defaults


@pytest.mark.parametrize("nobody", ["fallback", "session_user", "refuse"])
def test_a_row_that_leaves_the_times_out_has_its_statements(define: Any, nobody: str) -> None:
    """The transaction's are for rows that are older than the columns."""
    named = AuditTrigger(name="%(app_label)s_%(class)s_audit", nobody=nobody)
    model = define("Thing", meta={"constraints": [named]})
    migration = round_trip(ProjectState(), state_of(model))
    defaults = defaults_of("triggersapp_thing")
    assert defaults == dict.fromkeys(("created_at", "updated_at"), "statement_timestamp()")
    act_as("7")
    added = "INSERT INTO triggersapp_thing DEFAULT VALUES RETURNING created_at, now() < created_at"
    (first, is_later), (second, _) = row(added), row(added)
    assert is_later
    assert first < second
    assert [found for found in differences(connection) if "thing" in found.table] == []
    backwards(migration, ProjectState())


def test_a_table_with_rows_becomes_audited_in_one_migration(define: Any) -> None:
    """No prompt; rows that are there get the fallback and the time; backwards all is gone."""
    before = state_of(define("Thing", models.Model, code=models.TextField(default="")))
    forwards(migration_between(ProjectState(), before), ProjectState())
    execute("INSERT INTO triggersapp_thing (code) VALUES ('a'), ('b')")
    apps_before = list(row("SELECT count(*) FROM triggersapp_thing"))
    with isolate_apps("tests.triggers.triggersapp"):
        after = state_of(define("Thing", code=models.TextField(default="")))
    migration = round_trip(before, after)
    assert apps_before == [2]
    assert {people_of("triggersapp_thing", key) for key in (1, 2)} == {("system", "system")}
    stamps = stamps_of("triggersapp_thing")
    assert stamps["created_at"] == stamps["updated_at"]
    act_as("7")
    execute("UPDATE triggersapp_thing SET code = 'c'")
    assert people_of("triggersapp_thing") == ("system", "7")
    act_as(None)
    backwards(migration, before)
    assert triggers_on("triggersapp_thing") == {}
    assert row("SELECT count(*) FROM triggersapp_thing") == (2,)


@pytest.mark.parametrize("nobody", ["fallback", "session_user", "refuse"])
@pytest.mark.parametrize("said_by", ["settings", "model"])
def test_rows_older_than_the_columns_get_the_fallback(
    define: Any, nobody: str, said_by: str
) -> None:
    """Whatever nobody's later rows get: those that are there were written before anyone asked."""
    before = state_of(define("Thing", models.Model))
    forwards(migration_between(ProjectState(), before), ProjectState())
    execute("INSERT INTO triggersapp_thing DEFAULT VALUES")
    own = {"nobody": nobody} if said_by == "model" else {}
    with isolate_apps("tests.triggers.triggersapp"):
        audited = define("Thing", meta={"constraints": [AuditTrigger(name="thing_audit", **own)]})
    settings = {"NOBODY": nobody} if said_by == "settings" else {}
    with override_settings(AUDIT_FIELDS=settings):
        migration = migration_between(before, state_of(audited))
        forwards(migration, before)
        assert people_of("triggersapp_thing") == ("system", "system")
        if nobody == "refuse":
            with pytest.raises(IntegrityError), transaction.atomic():
                execute("INSERT INTO triggersapp_thing DEFAULT VALUES")
        else:
            execute("INSERT INTO triggersapp_thing DEFAULT VALUES")
            # With the setting Django's own connections name the fallback; these apps are isolated,
            # so that the model's word is not known to them.
            is_role = nobody == "session_user" and said_by == "model"
            expected = row("SELECT session_user")[0] if is_role else "system"
            assert people_of("triggersapp_thing", 2) == (expected, expected)
        backwards(migration, before)


def test_a_removed_constraint_leaves_a_default_that_can_be_stored(define: Any) -> None:
    """Without the trigger nobody would refuse a row with a message of its own."""
    refusing = AuditTrigger(name="thing_audit", nobody="refuse")
    strict = state_of(define("Thing", meta={"constraints": [refusing]}))
    forwards(migration_between(ProjectState(), strict), ProjectState())
    with isolate_apps("tests.triggers.triggersapp"):
        plain = state_of(define("Thing", meta={"constraints": [AuditTrigger(name="thing_audit")]}))
    forwards(migration_between(strict, plain), strict)
    execute("INSERT INTO triggersapp_thing DEFAULT VALUES")
    assert people_of("triggersapp_thing") == ("system", "system")


def test_a_renamed_model_keeps_a_trigger(define: Any) -> None:
    """The constraint is renamed along; backwards too."""
    before = state_of(define("Thing", code=models.TextField(default="")))
    forwards(migration_between(ProjectState(), before), ProjectState())
    after = state_of(define("Renamed", code=models.TextField(default="")))
    migration = round_trip(before, after)
    assert kinds_of(migration) == ["RenameModel", "RemoveConstraint", "AddConstraint"]
    assert triggers_on("triggersapp_renamed") == BOTH
    backwards(migration, before)
    assert triggers_on("triggersapp_thing") == BOTH


def test_a_deleted_model_takes_its_trigger_along(define: Any) -> None:
    """Backwards brings both again."""
    state = state_of(define("Thing"))
    forwards(migration_between(ProjectState(), state), ProjectState())
    migration = migration_between(state, ProjectState())
    forwards(migration, state)
    assert row("SELECT to_regclass('triggersapp_thing')") == (None,)
    backwards(migration, state)
    assert triggers_on("triggersapp_thing") == BOTH


def test_another_db_table_keeps_the_trigger(define: Any) -> None:
    """Nothing but the table's name changes."""
    before = state_of(define("Thing"))
    forwards(migration_between(ProjectState(), before), ProjectState())
    with isolate_apps("tests.triggers.triggersapp"):
        after = state_of(define("Thing", meta={"db_table": "elsewhere"}))
    migration = round_trip(before, after)
    assert kinds_of(migration) == ["AlterModelTable"]
    assert triggers_on("elsewhere") == BOTH


def test_a_model_moved_between_apps_keeps_its_trigger(define: Any) -> None:
    """State-only operations, as such moves are made: the name in the database is nobody's."""
    thing = state_of(define("Thing"))
    forwards(migration_between(ProjectState(), thing), ProjectState())
    moved = define("Thing", meta={"app_label": "other", "db_table": "triggersapp_thing"})
    (other,) = changes_between(ProjectState(), state_of(moved))["other"]
    create = migrations.Migration("0001_initial", "other")
    create.operations = [migrations.SeparateDatabaseAndState(state_operations=other.operations)]
    delete = migrations.Migration("0002_delete", "triggersapp")
    delete.operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Thing")])
    ]
    forwards(delete, forwards(create, thing))
    assert triggers_on("triggersapp_thing") == BOTH


class OwnType(models.CharField):  # type: ignore[type-arg]
    """A field whose column has a type of its own."""

    def db_type(self, connection: Any) -> str:
        return 'varchar(50) COLLATE pg_catalog."C"'


@pytest.mark.parametrize(
    "changed",
    [
        {"max_length": 100},
        {"max_length": 20},
        {"max_length": 50, "db_column": "maker"},
        {"max_length": 50, "db_collation": "C"},
        {"max_length": 50, "db_comment": "who made it"},
        {"class": OwnType, "max_length": 50},
    ],
)
def test_an_audit_column_can_be_altered(define: Any, changed: dict[str, Any]) -> None:
    """Forwards and backwards, with the trigger taken off around it and put on again."""
    before = state_of(define("Thing", code=models.TextField(default="")))
    forwards(migration_between(ProjectState(), before), ProjectState())
    execute("INSERT INTO triggersapp_thing (code) VALUES ('a')")
    with isolate_apps("tests.triggers.triggersapp"):
        arguments = {name: value for name, value in changed.items() if name != "class"}
        field = changed.get("class", models.CharField)(blank=True, editable=False, **arguments)
        after = state_of(
            define("Thing", TimestampModel, created_by=field, code=models.TextField(default=""))
        )
    migration = round_trip(before, after)
    assert kinds_of(migration) == ["RemoveConstraint", "AlterField", "AddConstraint"]
    assert set(triggers_on("triggersapp_thing")) == set(BOTH)
    column = changed.get("db_column", "created_by")
    act_as("7")
    execute(
        f"INSERT INTO triggersapp_thing (code, {column}, updated_at) VALUES ('b', '', NULL)",
    )
    assert rows(f"SELECT {column} FROM triggersapp_thing ORDER BY id") == [("system",), ("7",)]
    act_as(None)
    backwards(migration, before)
    assert triggers_on("triggersapp_thing") == BOTH
    execute("INSERT INTO triggersapp_thing (code, created_by) VALUES ('c', '')")
    assert people_of("triggersapp_thing", 3) == ("system", "system")


def test_created_and_renamed_in_one_migration(define: Any) -> None:
    """What was deferred for the old name is done to the new one."""
    thing = state_of(define("Thing"))
    migration = migration_between(ProjectState(), thing)
    migration.operations = [
        *migration.operations,
        migrations.RenameModel("Thing", "Renamed"),
        migrations.AlterModelTable("Renamed", "it's a table"),
    ]
    forwards(migration, ProjectState())
    assert triggers_on('"it\'s a table"') == BOTH


def test_created_and_freed_in_one_migration(define: Any) -> None:
    """A constraint that is removed again does not come back with what was deferred."""
    thing = state_of(define("Thing"))
    migration = migration_between(ProjectState(), thing)
    migration.operations = [
        *migration.operations,
        RemoveConstraint("thing", "triggersapp_thing_audit"),
    ]
    forwards(migration, ProjectState())
    assert triggers_on("triggersapp_thing") == {}


def test_created_and_deleted_in_one_migration(define: Any) -> None:
    """Nothing deferred is left for a table that is gone."""
    migration = migration_between(ProjectState(), state_of(define("Thing")))
    migration.operations = [*migration.operations, migrations.DeleteModel("Thing")]
    forwards(migration, ProjectState())


def test_constraint_of_a_table_whose_name_has_a_percent_sign_is_removed(define: Any) -> None:
    """Django merges parameters into what removes a constraint."""
    model = define("Thing", meta={"db_table": "100%s"})
    state = state_of(model)
    make_table('"100%s"')
    free = migrations.Migration("0002_free", "triggersapp")
    free.operations = [RemoveConstraint("thing", "triggersapp_thing_audit")]
    backwards(free, state)
    assert triggers_on('"100%s"') == BOTH
    forwards(free, state)
    assert triggers_on('"100%s"') == {}


@pytest.mark.parametrize("fallback", ["system", "50% 'nobody'\\"])
@pytest.mark.parametrize("table", ["100%s", "a % b", "100%"])
def test_a_table_whose_name_has_a_percent_sign_is_made_and_stamps(
    define: Any, table: str, fallback: str
) -> None:
    """The columns' defaults bring no parameters into CREATE TABLE, whatever the fallback is."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": fallback}):
        model = define("Thing", meta={"db_table": table})
        state = state_of(model)
        migration = migration_between(ProjectState(), state)
        forwards(migration, ProjectState())
        with connection.cursor() as cursor:
            cursor.execute(f'INSERT INTO "{table}" DEFAULT VALUES')
            cursor.execute(f'SELECT created_by, updated_by FROM "{table}"')
            assert cursor.fetchall() == [(fallback, fallback)]
            cursor.execute(f'UPDATE "{table}" SET updated_by = NULL')
            cursor.execute(f'SELECT created_by, updated_by FROM "{table}"')
            assert cursor.fetchall() == [(fallback, fallback)]
        assert {one for one in differences(connection) if table in one.table} == set()


def test_squashing_comes_to_the_same(define: Any) -> None:
    """Create, alter, rename and back: squashed, the optimizer's operations end where they did."""
    first = state_of(define("Thing"))
    with isolate_apps("tests.triggers.triggersapp"):
        field = models.CharField(max_length=100, blank=True, editable=False)
        second = state_of(define("Thing", TimestampModel, updated_by=field))
    third = state_of(define("Renamed", TimestampModel, updated_by=field.clone()))
    operations = [
        operation
        for before, after in ((ProjectState(), first), (first, second), (second, third))
        for operation in migration_between(before, after).operations
    ]
    squashed = migrations.Migration("0001_squashed", "triggersapp")
    squashed.operations = MigrationOptimizer().optimize(operations, "triggersapp")
    assert len(squashed.operations) < len(operations)
    reached = forwards(squashed, ProjectState())
    assert kinds_of(migration_between(reached, third)) == []
    assert triggers_on("triggersapp_renamed") == BOTH


def test_triggers_that_are_there_already_are_replaced(define: Any) -> None:
    """A migration on a database that has them, say one restored from a dump, goes through."""
    model = define("Thing")
    state = state_of(model)
    forwards(migration_between(ProjectState(), state), ProjectState())
    again = migrations.Migration("0002_again", "triggersapp")
    again.operations = [AddConstraint("thing", model._meta.constraints[0].clone())]
    free = state.clone()
    free.remove_constraint("triggersapp", "thing", "triggersapp_thing_audit")
    forwards(again, free)
    assert triggers_on("triggersapp_thing") == BOTH


def test_a_changed_setting_makes_no_migration(define: Any) -> None:
    """Settings are read when SQL is made, and never written down."""
    model = define("Thing")
    before = state_of(model)
    with override_settings(
        AUDIT_FIELDS={"FALLBACK": "cron", "STRICT": True, "NOBODY": "session_user"}
    ):
        assert kinds_of(migration_between(before, state_of(model))) == []


def test_settings_are_read_when_the_sql_is_made(define: Any) -> None:
    """An old migration, run today, makes triggers and defaults of today's rules."""
    migration = migration_between(ProjectState(), state_of(define("Thing")))
    with override_settings(AUDIT_FIELDS={"FALLBACK": "o'cron %s"}):
        forwards(migration, ProjectState())
    execute("INSERT INTO triggersapp_thing (created_by) VALUES ('')")
    assert people_of("triggersapp_thing") == ("o'cron %s", "o'cron %s")


def test_names_are_told_apart(define: Any) -> None:
    """Constraint names are checked across the project: no two models share one, none is cut."""
    first = define("B_C", meta={"app_label": "a"})
    second = define("C", meta={"app_label": "a_b"})
    third = define("X" * 80)
    fourth = define("X" * 80 + "y")
    names = [model._meta.constraints[0].name for model in (first, second, third, fourth)]
    assert len(set(names)) == 4
    assert all(len(name.encode()) <= 63 for name in names)
    assert all(name.isidentifier() for name in names), "migration files are named after them"


# The migrations of the test app and of the package, through Django's commands.


def test_migrations_are_complete() -> None:
    """makemigrations --check is clean for the package and for an app with frozen migrations."""
    out = StringIO()
    call_command(
        "makemigrations", "django_audit_fields", "triggersapp", check=True, dry_run=True, stdout=out
    )
    assert "No changes" in out.getvalue()


def test_migrate_goes_there_and_back() -> None:
    """pg_trigger and pg_proc before, after, and after reversing; then forwards again."""
    assert triggers_on("triggersapp_note") == BOTH
    call_command("migrate", "triggersapp", "zero", verbosity=0)
    assert row("SELECT to_regclass('triggersapp_note')") == (None,)
    call_command("migrate", "triggersapp", verbosity=0)
    assert triggers_on("triggersapp_note") == BOTH
    assert differences(connection) == []


def test_somebody_may_be_acting_while_it_migrates() -> None:
    """The actor goes ahead of DDL as of any statement, and no migration minds."""
    with acting_as("deployer"):
        call_command("migrate", "triggersapp", "zero", verbosity=0)
        call_command("migrate", "triggersapp", verbosity=0)
        assert differences(connection) == []
    assert triggers_on("triggersapp_note") == BOTH


def drop_audited_tables() -> None:
    for (name,) in rows(
        "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '~~audit%%'", ()
    ):
        execute(f"DROP TABLE {name} CASCADE")


def test_functions_go_with_their_last_table() -> None:
    """DROP TABLE takes triggers along and leaves functions: after migrate none is left."""
    execute(
        "CREATE FUNCTION audit_fields_of_my_own() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN NEW; END $$"
    )
    drop_audited_tables()
    assert "audit_fields_stamp" in audit_functions()
    call_command("migrate", verbosity=0)
    assert audit_functions() == ["audit_fields_of_my_own"], "the prefix alone makes none ours"


def test_sqlmigrate_prints_what_makes_the_trigger() -> None:
    """The text, run by itself, ends in the same triggers."""
    call_command("migrate", "triggersapp", "zero", verbosity=0)
    out = StringIO()
    call_command("sqlmigrate", "triggersapp", "0001", no_color=True, stdout=out)
    text = out.getvalue().replace("BEGIN;", "", 1)
    execute(text[: text.rindex("COMMIT;")])
    assert triggers_on("triggersapp_note") == BOTH
    call_command("migrate", "triggersapp", fake=True, verbosity=0)
    assert differences(connection) == []


def test_a_faked_migration_is_reported() -> None:
    """--fake installs nothing, and the comparison says so."""
    call_command("migrate", "triggersapp", "zero", verbosity=0)
    call_command("migrate", "triggersapp", fake=True, verbosity=0)
    assert differences(connection) == []  # there is no table yet
    execute(
        "CREATE TABLE triggersapp_note (id bigint, text text, created_at timestamptz, "
        "updated_at timestamptz, created_by text, updated_by text)"
    )
    assert {found.kind for found in differences(connection)} == {"missing"}


@override_settings(MIGRATION_MODULES={"triggersapp": None})
def test_apps_without_migrations_have_triggers() -> None:
    """Tests that switch migrations off, and `run_syncdb`, make the triggers with the tables."""
    execute("DROP TABLE triggersapp_note CASCADE")
    call_command("migrate", run_syncdb=True, verbosity=0)
    assert triggers_on("triggersapp_note") == BOTH
    execute("INSERT INTO triggersapp_note (text, created_by) VALUES ('x', '')")
    assert people_of("triggersapp_note") == ("system", "system")


def forget_release() -> None:
    recorder = MigrationRecorder(connection)
    for app_label, name in recorder.applied_migrations():
        if app_label == "django_audit_fields":
            recorder.record_unapplied(app_label, name)


def test_a_release_reaches_databases_of_older_ones() -> None:
    """Only the package migrates; rules of the tables stay, and so does what they were made for."""
    execute((FROZEN / "tables_0_1_0.sql").read_text())
    before = sorted(triggers_on("frozen_note").items())
    for function in audit_functions():
        (body,) = row("SELECT prosrc FROM pg_proc WHERE proname = %s", [function])
        older = body.replace("Put there by", "Put there by an older hand:\n-- Put there by")
        execute(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
            f"AS $older${older}$older$"
        )
        execute(f"COMMENT ON FUNCTION {function}() IS 'django_audit_fields 0 0'")
    for trigger, _ in before:
        execute(
            f'COMMENT ON TRIGGER "{trigger}" ON frozen_ruled IS '
            '\'django_audit_fields {"version": 0, "columns": {"created_by": "maker", '
            '"updated_by": "changer"}, "strict": true}\''
        )
    forget_release()
    call_command("migrate", "django_audit_fields", verbosity=0)
    bodies = rows("SELECT prosrc FROM pg_proc WHERE proname LIKE 'audit\\_fields%%'", ())
    assert bodies
    assert not any("older hand" in body for (body,) in bodies)
    assert {found for found in differences(connection) if "frozen" in found.table} == set()
    assert sorted(triggers_on("frozen_note").items()) == before
    act_as("7")
    execute("INSERT INTO frozen_note (id) VALUES (1)")
    assert people_of("frozen_note") == ("7", "7")
    execute("INSERT INTO frozen_ruled (id, maker) VALUES (1, 'other')")
    assert row("SELECT maker, changer FROM frozen_ruled") == ("7", "7")


def test_a_release_tells_moves_on_partitioned_tables_of_older_ones() -> None:
    """What 0.1.0 installed gets the function of partitions; until then it works as it did."""
    execute((FROZEN / "partitioned_0_1_0.sql").read_text())
    act_as("victim")
    execute("INSERT INTO frozen_parted (id, region) VALUES (1, 'north')")
    act_as("mover")
    execute("UPDATE frozen_parted SET region = 'south'")
    assert people_of("frozen_parted") == ("victim", "mover")
    for name in ("0004_auditevent", "0003_plain_functions", "0002_reinstall"):
        MigrationRecorder(connection).record_unapplied("django_audit_fields", name)
    call_command("migrate", "django_audit_fields", verbosity=0)
    assert {found for found in differences(connection) if "frozen" in found.table} == set()
    assert {
        name for table in ("frozen_parted", "frozen_times_1") for name in triggers_on(table)
    } == set(BOTH)
    act_as("third")
    execute("UPDATE frozen_parted SET region = 'north'")
    assert people_of("frozen_parted") == ("victim", "third")


def test_a_release_changes_no_rule() -> None:
    """Settings that changed meanwhile are for `audit_triggers install`, not for a migration."""
    execute("COMMENT ON FUNCTION audit_fields_stamp() IS 'django_audit_fields 0 0'")
    forget_release()
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron"}):
        call_command("migrate", "django_audit_fields", verbosity=0)
        assert {found.kind for found in differences(connection)} == {"definition", "default"}
    assert differences(connection) == []


def test_a_release_reaches_every_schema_that_its_role_owns() -> None:
    """Tenants and legacy schemas, whatever the search path; another role's are left to it."""
    for schema in ("one", "two"):
        execute(f"CREATE SCHEMA {schema}")
        make_table(f"{schema}.thing")
        install(f"{schema}.thing", nobody="refuse")
        execute(f"COMMENT ON FUNCTION {schema}.audit_fields_stamp() IS 'django_audit_fields 0 0'")
    outdated = {f"{schema}.thing" for schema in ("one", "two")}
    assert {found.table for found in differences(connection)} == outdated
    execute("CREATE ROLE visitor")
    execute("SET LOCAL ROLE visitor")
    reinstall(connection)
    execute("RESET ROLE")
    assert {found.table for found in differences(connection)} == outdated
    execute("SET LOCAL search_path TO one, public")
    reinstall(connection)
    assert differences(connection) == []


def test_a_release_leaves_a_partition_of_another_role_to_it() -> None:
    """And with it the whole table, whose triggers the partition has; others are brought along."""
    execute("CREATE ROLE keeper; CREATE ROLE visitor; CREATE SCHEMA old AUTHORIZATION visitor")
    for table, suffix in (("old.parted", "PARTITION BY RANGE (id)"), ("old.zz_plain", "")):
        make_table(table, suffix=suffix)
    execute("CREATE TABLE old.parted_1 PARTITION OF old.parted FOR VALUES FROM (0) TO (10)")
    for table in ("old.parted", "old.zz_plain"):
        install(table)
        execute(f'COMMENT ON TRIGGER "~~audit_fields_insert" ON {table} IS NULL')
        execute(f"ALTER TABLE {table} OWNER TO visitor")
    execute("ALTER TABLE old.parted_1 OWNER TO keeper")
    execute("ALTER FUNCTION old.audit_fields_stamp() OWNER TO visitor")
    execute("SET LOCAL ROLE visitor")
    reinstall(connection)
    execute("RESET ROLE")
    assert {found.table for found in differences(connection)} == {"old.parted"}
    reinstall(connection)
    assert differences(connection) == []


def test_a_release_goes_on_past_a_table_whose_column_was_renamed() -> None:
    """Its triggers cannot be made anew; every other table's are."""
    for table in ("first", "second"):
        make_table(table)
        install(table)
    execute("ALTER TABLE first RENAME created_by TO maker")
    execute("COMMENT ON FUNCTION audit_fields_stamp() IS 'django_audit_fields 0 0'")
    forget_release()
    call_command("migrate", "django_audit_fields", verbosity=0)
    assert {found.table for found in differences(connection)} == {"public.first"}


def test_a_release_leaves_other_databases_alone() -> None:
    """Without a trigger of ours there is nothing to re-install, and nothing is made."""
    drop_audited_tables()
    forget_release()
    call_command("migrate", "django_audit_fields", verbosity=0)
    assert audit_functions() == []


def test_a_release_goes_backwards() -> None:
    """The package's migrations reverse to nothing, and its triggers stay."""
    call_command("migrate", "django_audit_fields", "zero", verbosity=0)
    assert triggers_on("triggersapp_note") == BOTH
    call_command("migrate", "django_audit_fields", verbosity=0)


def test_the_autodetector_is_djangos_own() -> None:
    """Nothing of Django's is replaced."""
    assert MigrationAutodetector.__module__ == "django.db.migrations.autodetector"
    assert models.options.Options.contribute_to_class.__module__ == "django.db.models.options"
