"""What Django's autodetector makes of trails, and what migrations do to a database."""

import pytest
from django.db import IntegrityError, NotSupportedError, connection, models, transaction
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings
from django.test.utils import isolate_apps

from django_audit_fields.models import TimestampModel, TrailModel
from django_audit_fields.trail import AuditTrail
from tests.trail.migrating import (
    define,
    kinds_of,
    migrate,
    migration_between,
    state_of,
    unmigrate,
)
from tests.trail.recorded import Recorded, execute, set_context

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]
ROW = ["!audit_trail", "!audit_trail_truncate"]


@pytest.fixture(autouse=True)
def _isolated():
    with isolate_apps("tests.trail.trailapp"):
        yield


def triggers_of(table):
    return [
        name
        for (name,) in execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass"
            " AND tgname LIKE '!audit%%' ORDER BY 1",
            [table],
        )
    ]


def trail(**options):
    return {"constraints": [AuditTrail(name="%(app_label)s_%(class)s_trail", **options)]}


class Ruled(models.Model):
    """An abstract base whose Meta has a trail."""

    class Meta:
        abstract = True
        app_label = "trailapp"
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail", reason=True)]


@pytest.mark.parametrize(
    ("bases", "meta"),
    [
        ((TrailModel,), {}),
        ((TrailModel,), {"ordering": ["pk"]}),
        ((TrailModel,), {"constraints": []}),
        ((TrailModel,), trail(accessor="history")),
        ((TimestampModel,), trail()),
        ((models.Model,), trail()),
    ],
)
def test_a_model_gets_its_trail_and_loses_it(bases, meta):
    """Absent, forwards, present, backwards, absent."""
    before, after = ProjectState(), state_of(define("Thing", *bases, meta=meta))
    migration = migrate(before, after)
    assert kinds_of(migration) == ["CreateModel"]
    assert triggers_of("trailapp_thing") == ROW
    unmigrate(migration, before)
    assert execute("SELECT to_regclass('trailapp_thing')") == [(None,)]


def test_a_trail_comes_and_goes_with_its_links():
    """The table of a many-to-many field has the trail of its model, whichever comes first."""
    with isolate_apps("tests.trail.trailapp"):
        plain = state_of(define("Thing", tags=models.ManyToManyField("self")))
    with isolate_apps("tests.trail.trailapp"):
        with_trail = state_of(define("Thing", meta=trail(), tags=models.ManyToManyField("self")))
    migrate(ProjectState(), plain)
    added = migrate(plain, with_trail)
    assert kinds_of(added) == ["AddConstraint"]
    assert triggers_of("trailapp_thing_tags") == ROW
    unmigrate(added, plain)
    assert triggers_of("trailapp_thing_tags") == triggers_of("trailapp_thing") == []
    migrate(plain, with_trail)
    removed = migrate(with_trail, plain)
    assert kinds_of(removed) == ["RemoveConstraint"]
    assert triggers_of("trailapp_thing_tags") == triggers_of("trailapp_thing") == []


def test_links_that_are_added_later_have_a_trail():
    with isolate_apps("tests.trail.trailapp"):
        before = state_of(define("Thing", TrailModel))
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(define("Thing", TrailModel, tags=models.ManyToManyField("self")))
    migrate(ProjectState(), before)
    migration = migrate(before, after)
    assert kinds_of(migration) == ["AddField"]
    assert triggers_of("trailapp_thing_tags") == ROW
    unmigrate(migration, before)
    assert execute("SELECT to_regclass('trailapp_thing_tags')") == [(None,)]


def test_links_made_with_their_model_have_a_trail():
    after = state_of(
        define(
            "Thing", meta=trail(level="statement", reason=True), tags=models.ManyToManyField("self")
        )
    )
    migrate(ProjectState(), after)
    assert len(triggers_of("trailapp_thing_tags")) == 4
    set_context()
    with pytest.raises(IntegrityError, match="needs a reason"), transaction.atomic():
        execute("INSERT INTO trailapp_thing DEFAULT VALUES")


@pytest.mark.parametrize(
    ("first", "second", "kinds"),
    [
        ({}, {"reason": True}, ["RemoveConstraint", "AddConstraint"]),
        ({"level": "statement"}, {}, ["RemoveConstraint", "AddConstraint"]),
        ({}, {"mask": ["text"]}, ["RemoveConstraint", "AddConstraint"]),
        (
            {},
            {"accessor": "history", "formerly": ["old"], "renamed": {"a": "b"}},
            ["AlterConstraint"],
        ),
    ],
)
def test_other_rules_are_another_migration(first, second, kinds):
    with isolate_apps("tests.trail.trailapp"):
        before = state_of(define("Thing", meta=trail(**first), text=models.TextField(default="")))
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(define("Thing", meta=trail(**second), text=models.TextField(default="")))
    migrate(ProjectState(), before)
    migration = migrate(before, after)
    assert kinds_of(migration) == kinds
    assert triggers_of("trailapp_thing") == ROW
    unmigrate(migration, before)
    assert len(triggers_of("trailapp_thing")) == (4 if first.get("level") == "statement" else 2)


def test_columns_come_and_go_without_a_migration_of_the_trail():
    with isolate_apps("tests.trail.trailapp"):
        before = state_of(define("Thing", TrailModel, a=models.TextField(default="")))
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(define("Thing", TrailModel, b=models.TextField(default="")))
    migrate(ProjectState(), before)
    assert kinds_of(migrate(before, after)) == ["RenameField"]


def test_another_key_is_another_migration():
    """And the trail tells rows apart by it from then on."""
    with isolate_apps("tests.trail.trailapp"):
        before = state_of(define("Thing", TrailModel, a=models.TextField(primary_key=True)))
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(define("Thing", TrailModel, b=models.TextField(primary_key=True)))
    migrate(ProjectState(), before)
    migration = migrate(before, after)
    assert kinds_of(migration) == ["RemoveConstraint", "RenameField", "AddConstraint"]
    recorded = Recorded()
    execute("INSERT INTO trailapp_thing (b) VALUES ('x')")
    assert recorded.told == [("insert", "x")]
    unmigrate(migration, before)
    execute("UPDATE trailapp_thing SET a = 'y'")
    assert recorded.told[1:] == [("delete", "x"), ("insert", "y")]


@pytest.mark.parametrize("rule", ["exclude", "mask"])
def test_another_column_of_a_hidden_field_is_another_migration(rule):
    """Or what is to be hidden would be in the images under its new name."""
    with isolate_apps("tests.trail.trailapp"):
        before = state_of(
            define("Thing", meta=trail(**{rule: ["pin"]}), pin=models.TextField(default=""))
        )
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(
            define(
                "Thing",
                meta=trail(**{rule: ["pin"]}),
                pin=models.TextField(default="", db_column="code"),
            )
        )
    migrate(ProjectState(), before)
    migrate(before, after)
    recorded = Recorded()
    execute("INSERT INTO trailapp_thing (code) VALUES ('1234')")
    assert "1234" not in str(recorded())


def test_a_table_made_and_renamed_in_one_migration_has_its_trail():
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(define("Thing", TrailModel, tags=models.ManyToManyField("self")))
    migration = migration_between(ProjectState(), after)
    from django.db.migrations.operations import RenameModel

    migration.operations.append(RenameModel("Thing", "Matter"))
    with connection.schema_editor() as editor:
        migration.apply(ProjectState(), editor)
    assert triggers_of("trailapp_matter") == triggers_of("trailapp_matter_tags") == ROW


def test_a_trail_made_and_removed_in_one_migration_is_gone():
    from django.db.migrations.operations import RemoveConstraint

    after = state_of(define("Thing", TrailModel, tags=models.ManyToManyField("self")))
    migration = migration_between(ProjectState(), after)
    migration.operations.append(RemoveConstraint("thing", "trailapp_thing_trail"))
    with connection.schema_editor() as editor:
        migration.apply(ProjectState(), editor)
    assert triggers_of("trailapp_thing") == triggers_of("trailapp_thing_tags") == []


def test_a_base_with_a_trail_gives_each_table_its_own():
    """A child table of multi-table inheritance by its parent link; a proxy none."""
    parent = define("Parent", Ruled, meta={"constraints": Ruled.Meta.constraints})
    child = define("Child", parent, meta=trail())
    proxy = type(
        "Proxied",
        (parent,),
        {
            "__module__": "tests.trail.trailapp.models",
            "Meta": type("Meta", (Ruled.Meta,), {"proxy": True, "abstract": False}),
        },
    )
    assert [trail for trail in proxy._meta.constraints if isinstance(trail, AuditTrail)] == []
    migrate(ProjectState(), state_of(parent, child))
    assert triggers_of("trailapp_parent") == triggers_of("trailapp_child") == ROW
    recorded = Recorded()
    set_context(reason="a test")
    execute("INSERT INTO trailapp_parent (id) VALUES (5)")
    execute("INSERT INTO trailapp_child (parent_ptr_id) VALUES (5)")
    assert recorded.told == [("insert", "5")] * 2


def test_settings_never_enter_a_migration():
    after = state_of(define("Thing", TrailModel))
    with override_settings(AUDIT_FIELDS={"NOBODY": "refuse", "FALLBACK": "cron"}):
        text = MigrationWriter(migration_between(ProjectState(), after)).as_string()
    assert "cron" not in text
    assert "refuse" not in text
    assert "django_audit_fields.trail.AuditTrail(" in text


def test_statement_level_is_refused_on_a_partitioned_table():
    with isolate_apps("tests.trail.trailapp"):
        before = state_of(define("Thing"))
    with isolate_apps("tests.trail.trailapp"):
        after = state_of(define("Thing", meta=trail(level="statement")))
    execute("CREATE TABLE trailapp_thing (id bigint PRIMARY KEY) PARTITION BY RANGE (id)")
    with pytest.raises(NotSupportedError, match="level='row'"):
        migrate(before, after)


def test_a_virtual_column_is_another_migration_and_in_no_image():
    if connection.pg_version < 180000 or not connection.features.supports_virtual_generated_columns:
        pytest.skip("PostgreSQL 18 and Django 6 have them")
    twice = models.GeneratedField(
        expression=models.F("a") * 2, output_field=models.IntegerField(), db_persist=False
    )
    after = state_of(define("Thing", meta=trail(), a=models.IntegerField(), twice=twice))
    migrate(ProjectState(), after)
    recorded = Recorded()
    execute("INSERT INTO trailapp_thing (a) VALUES (4)")
    assert recorded()[0].after.keys() == {"id", "a"}
