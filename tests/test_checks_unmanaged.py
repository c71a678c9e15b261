"""Models that Django does not manage: what the database is asked before anything is advised."""

from io import StringIO

import pytest
from django.core.checks import Tags, Warning, run_checks
from django.core.management import call_command
from django.db import ProgrammingError, connection, models, router
from django.db.migrations.state import ProjectState
from django.test.utils import isolate_apps

from django_audit_fields import checks
from django_audit_fields.checks import unmanaged
from django_audit_fields.models import TimestampModel
from django_audit_fields.operations import InstallAuditTrail, InstallAuditTriggers
from django_audit_fields.trail import AuditTrail

pytestmark = pytest.mark.django_db

COLUMNS = """
    id int PRIMARY KEY, created_at timestamptz, updated_at timestamptz,
    created_by varchar(50), updated_by varchar(50)
"""
TABLE = f"CREATE TABLE old_charge ({COLUMNS})"
PARTITIONED = f"CREATE TABLE old_charge ({COLUMNS}) PARTITION BY RANGE (id)"
FOREIGN = f"""
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE old_charge ({COLUMNS.replace("PRIMARY KEY", "NOT NULL")}) SERVER nowhere
"""
A_PARTITION = f"""
    CREATE TABLE all_charges ({COLUMNS}) PARTITION BY RANGE (id);
    CREATE TABLE old_charge PARTITION OF all_charges DEFAULT
"""
VIEW = f"CREATE TABLE charges ({COLUMNS}); CREATE VIEW old_charge AS SELECT * FROM charges"
MATERIALIZED = VIEW.replace("CREATE VIEW", "CREATE MATERIALIZED VIEW")


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def run(operation):
    with connection.schema_editor() as editor:
        operation.database_forwards("testapp", editor, ProjectState(), ProjectState())


@pytest.fixture
def charge(monkeypatch):
    """An unmanaged model, the only one that the checks are given."""
    with isolate_apps("tests.testapp"):

        class Charge(TimestampModel):
            id = models.IntegerField(primary_key=True)

            class Meta:
                app_label = "testapp"
                managed = False
                db_table = "old_charge"
                constraints = [AuditTrail(name="charge_trail")]

        monkeypatch.setattr(unmanaged, "audited_models", lambda app_configs: iter([Charge]))
        monkeypatch.setattr(unmanaged, "models_with_trail", lambda app_configs: iter([Charge]))
        yield Charge


def found_by_database_checks():
    messages = run_checks(tags=[Tags.database], databases=["default"])
    return {message.id.partition(".")[2]: message for message in messages}


@pytest.mark.parametrize("relation", [TABLE, PARTITIONED, A_PARTITION, FOREIGN])
def test_a_table_without_trigger_is_named_and_the_cure_works(charge, relation):
    """What the hint advises is typed, and the warning is gone."""
    execute(relation)
    (warning,) = checks.check_unmanaged(databases=["default"])
    assert warning == Warning(
        "testapp.Charge is not managed: no migration installs its trigger.",
        hint="Add InstallAuditTriggers('old_charge') to a migration.",
        obj=charge,
        id="django_audit_fields.W003",
    )
    run(InstallAuditTriggers("old_charge"))
    assert checks.check_unmanaged(databases=["default"]) == []


@pytest.mark.parametrize("relation", [TABLE, PARTITIONED, A_PARTITION])
def test_a_table_without_trail_is_named_and_the_cure_works(charge, relation):
    execute(relation)
    (warning,) = checks.check_unmanaged_trails(databases=["default"])
    assert warning == Warning(
        "testapp.Charge is not managed: no migration installs its trail.",
        hint="Add InstallAuditTrail('old_charge') to a migration.",
        obj=charge,
        id="django_audit_fields.W021",
    )
    run(InstallAuditTrail("old_charge"))
    assert checks.check_unmanaged_trails(databases=["default"]) == []


@pytest.mark.parametrize("relation", [VIEW, MATERIALIZED])
def test_a_view_is_not_named(charge, relation):
    """It takes no trigger, so there is nothing to advise; the table that it shows is no model's."""
    execute(relation)
    assert not {"W003", "W021"} & set(found_by_database_checks())


@pytest.mark.parametrize("relation", [VIEW, MATERIALIZED])
@pytest.mark.parametrize("operation", [InstallAuditTriggers, InstallAuditTrail])
def test_the_operations_refuse_a_view_and_say_what_to_name(relation, operation):
    execute(relation)
    with pytest.raises(ProgrammingError, match=r"is a view.*Name the table that it shows"):
        run(operation("old_charge"))


def test_a_table_that_is_not_there_yet_is_not_named(charge):
    """`migrate` asks before it makes anything."""
    assert not {"W003", "W021"} & set(found_by_database_checks())


def test_a_partition_has_its_tables_triggers(charge):
    execute(A_PARTITION)
    run(InstallAuditTriggers("all_charges"))
    run(InstallAuditTrail("all_charges"))
    assert not {"W003", "W021"} & set(found_by_database_checks())


def test_a_table_that_a_migration_covers_is_not_named(charge, monkeypatch):
    """The operation is what the hint asks for; the migration need not be applied yet."""
    execute(TABLE)
    monkeypatch.setattr(unmanaged, "tables_of_migrations", lambda: {"old_charge"})
    monkeypatch.setattr(unmanaged, "tables_of_operations", lambda: {"old_charge"})
    assert not {"W003", "W021"} & set(found_by_database_checks())


def test_a_plain_check_asks_no_database_and_names_nothing(charge, django_assert_num_queries):
    """Django 6.1 hands all aliases to every check: only those tagged for databases may ask."""
    execute(TABLE)
    with django_assert_num_queries(0):
        call_command("check", stderr=StringIO(), stdout=StringIO())
        untagged = [
            check(app_configs=None, databases=["default"])
            for name in checks.__all__
            if Tags.database not in (check := getattr(checks, name)).tags
        ]
    ids = {message.id for messages in untagged for message in messages}
    assert not ids & {"django_audit_fields.W003", "django_audit_fields.W021"}


def test_check_with_a_database_and_migrate_name_the_table(charge):
    execute(TABLE)
    for name, arguments, options in [
        ("check", ["--database", "default"], {}),
        ("migrate", ["testapp"], {"skip_checks": False}),
    ]:
        errors = StringIO()
        call_command(name, *arguments, stdout=StringIO(), stderr=errors, **options)
        assert errors.getvalue().count("django_audit_fields.W003") == 1, name


@isolate_apps("tests.testapp")
def test_the_operation_is_spelled_out(monkeypatch):
    """With the schema and the columns that its table has; as it is written it runs."""

    class Charge(TimestampModel):
        created_at = None
        updated_by = models.CharField(max_length=50, db_column="changer")

        class Meta:
            app_label = "testapp"
            managed = False
            db_table = '"legacy"."old_charge"'

    execute(
        "CREATE SCHEMA legacy; CREATE TABLE legacy.old_charge"
        " (id int PRIMARY KEY, updated_at timestamptz, created_by text, changer text)"
    )
    monkeypatch.setattr(unmanaged, "audited_models", lambda app_configs: [Charge])
    monkeypatch.setattr(unmanaged, "models_with_trail", lambda app_configs: [Charge])
    (warning,) = checks.check_unmanaged(databases=["default"])
    arguments = "'old_charge', schema='legacy', created_at=None, updated_by='changer'"
    assert warning.hint == f"Add InstallAuditTriggers({arguments}) to a migration."
    (trail,) = checks.check_unmanaged_trails(databases=["default"])
    assert trail.hint == "Add InstallAuditTrail('old_charge', schema='legacy') to a migration."
    for hint in (warning.hint, trail.hint):
        run(eval(hint.removeprefix("Add ").removesuffix(" to a migration.")))  # noqa: S307  # ours
    assert checks.check_unmanaged(databases=["default"]) == []
    assert checks.check_unmanaged_trails(databases=["default"]) == []


def test_a_database_that_migrations_pass_over_is_said(charge, monkeypatch):
    """An operation in the model's own app would do nothing there, in silence."""
    execute(TABLE)
    monkeypatch.setattr(router, "allow_migrate", lambda *args, **hints: False)
    (warning,) = checks.check_unmanaged(databases=["default"])
    place = "a migration of an app that the routers let migrate 'default'"
    assert warning.hint == f"Add InstallAuditTriggers('old_charge') to {place}."


def test_a_database_that_has_another_models_table_of_the_name_is_not_asked(charge, monkeypatch):
    execute(TABLE)
    monkeypatch.setattr(router, "allow_migrate", lambda *args, **hints: False)
    monkeypatch.setattr(router, "db_for_write", lambda *args, **hints: "legacy")
    assert checks.check_unmanaged(databases=["default"]) == []
