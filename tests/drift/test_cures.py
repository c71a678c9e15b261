"""What is wrong is named together with its cure, and an upgrade reaches what it has to."""

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import override_settings

from django_audit_fields.drift.catalog import differences
from django_audit_fields.drift.tables import comment_facts
from django_audit_fields.operations import InstallAuditTriggers
from tests.triggers.audited_tables import execute, row

pytestmark = pytest.mark.django_db


class NotHere:
    """A router that keeps the package's own app off every database."""

    def allow_migrate(self, db, app_label, **hints):
        return app_label != "django_audit_fields"


def install(*args, **kwargs):
    operation = InstallAuditTriggers(*args, **kwargs)
    with transaction.atomic(), connection.schema_editor() as editor:
        operation.database_forwards("triggersapp", editor, None, None)


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("nowhere", {}, 'There is no table "nowhere"'),
        ("cured", {"updated_by": "missing"}, "updated_by=None"),
        ("cured", {"created_by": "number"}, "created_by=None"),
        ("cured", {"created_by": "short"}, "of type name, which cannot hold a label"),
    ],
)
def test_a_table_or_column_that_will_not_do_is_named_with_its_cure(table, columns, message):
    """By the migration, before anything is installed. The type `name` would cut labels short."""
    execute("CREATE TABLE cured (created_by text, updated_by text, number int, short name)")
    with pytest.raises(DatabaseError, match=message):
        install(table, created_at=None, updated_at=None, **columns)
    assert row(
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '~~audit%%' AND tgrelid = "
        "'cured'::regclass"
    ) == (0,)


@pytest.mark.parametrize(
    "arguments", [{"table": 5}, {"table": "t", "created_by": 7}, {"table": ""}]
)
def test_a_name_that_is_no_text_is_refused(arguments):
    """When the migration is read, not in the middle of its SQL."""
    with pytest.raises(TypeError, match="is a name, as text"):
        InstallAuditTriggers(**arguments)


def test_an_upgrade_reaches_a_database_that_a_router_keeps_the_app_off():
    """Other apps' tables are there all the same, with an older release's triggers."""
    older = "COMMENT ON FUNCTION audit_fields_stamp() IS 'django_audit_fields 0 older'"
    call_command("migrate", "django_audit_fields", "zero", verbosity=0)
    execute(older)
    assert differences(connection)
    with override_settings(DATABASE_ROUTERS=["tests.drift.test_cures.NotHere"]):
        call_command("migrate", "django_audit_fields", verbosity=0)
    assert not [entry for entry in differences(connection) if "audit_fields_stamp" in str(entry)]


@pytest.mark.parametrize("columns", ["{}", '{"bogus": "x"}', "[]", "1"])
def test_a_comment_that_somebody_else_wrote_tells_nothing(columns):
    """Or repairing would install triggers for columns that nobody has."""
    assert comment_facts(f'django_audit_fields {{"version": 1, "columns": {columns}}}') is None
