"""The schema: made where a project has a trail, replaced by a later release, only added to."""

import io
import json
import logging
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.test import override_settings

from django_audit_fields.trail import maintain
from django_audit_fields.trail.recording import install, schema
from tests.trail.recorded import Recorded, execute
from tests.trail.trailapp.models import Gauge, Invoice, Reading

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="The trail is PostgreSQL's."
)

#: Raise the release when the text of an older one is not what the files hold any more.
DIGESTS = {7: "02ef8d77"}

WITHOUT_TRAIL = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_audit_fields",
    "tests.testapp",
]


def ask(alias, sql, parameters=None):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def output_of(*arguments, **options):
    text = io.StringIO()
    call_command("audit_trail", *arguments, stdout=text, stderr=io.StringIO(), **options)
    return text.getvalue()


def test_another_text_is_another_release():
    """Databases are told by the number that they have an older text."""
    assert schema.release_comment() == (
        f"django_audit_fields {schema.RELEASE} {DIGESTS[schema.RELEASE]}"
    )


def test_migrate_makes_the_schema_first(fresh):
    call_command("migrate", database=fresh, verbosity=0)
    year = datetime.now(UTC).year
    tables = [
        name
        for (name,) in ask(
            fresh,
            "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
            " WHERE inhparent = 'audit_trail.event'::regclass ORDER BY 1",
        )
    ]
    assert tables == [*(f"event_{year + ahead}" for ahead in range(11)), "event_default"]
    assert install.installed_release(connections[fresh]) == schema.RELEASE
    ask(fresh, "INSERT INTO trailapp_invoice (number, amount) VALUES ('x', 1)")
    assert ask(fresh, "SELECT action, tableoid::regclass::text FROM audit_trail.event") == [
        ("insert", f"audit_trail.event_{year}")
    ]
    assert json.loads(output_of("maintain", "--json", database=fresh)) == []


def test_the_public_has_no_rights(fresh):
    install.install_schema(connections[fresh])
    for kind in ("pg_class", "pg_proc", "pg_namespace"):
        prefix = {"pg_class": "rel", "pg_proc": "pro", "pg_namespace": "nsp"}[kind]
        home = "oid" if kind == "pg_namespace" else f"{prefix}namespace"
        granted = ask(
            fresh,
            f"SELECT {prefix}name FROM {kind}, aclexplode(coalesce({prefix}acl,"
            f" acldefault(%s, {prefix}owner))) AS a WHERE {home} = 'audit_trail'::regnamespace"
            " AND a.grantee = 0",
            [{"pg_class": "r", "pg_proc": "f", "pg_namespace": "n"}[kind]],
        )
        assert granted == [], kind


def test_a_project_without_a_trail_has_nothing_installed_and_is_asked_nothing(fresh):
    with (
        override_settings(INSTALLED_APPS=WITHOUT_TRAIL),
        connections[fresh].execute_wrapper(refuse_the_trail),
    ):
        call_command("migrate", database=fresh, verbosity=0)
    install.apps_with_trail.cache_clear()
    assert install.installed_release(connections[fresh]) is None


def refuse_the_trail(execute, sql, params, many, context):
    assert "audit_trail" not in f"{sql} {params}"
    return execute(sql, params, many, context)


class Elsewhere:
    """Keeps the test's apps out of the other database."""

    def allow_migrate(self, db, app_label, **hints):
        return None if db == "default" else app_label not in ("trailapp", "readingapp")


def test_a_database_that_the_router_keeps_free_of_trails_has_none(fresh):
    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        assert install.has_trail("default")
        assert not install.has_trail(fresh)
        install.install_before_migrate(using=fresh)
    assert install.installed_release(connections[fresh]) is None


def test_an_older_release_is_replaced_and_a_newer_one_is_left(fresh):
    install.install_schema(connections[fresh])
    for comment, is_replaced in (
        ("NULL", True),
        ("'django_audit_fields 0 abc'", True),
        (f"'django_audit_fields {schema.RELEASE + 1} abc'", False),
    ):
        ask(
            fresh,
            "CREATE OR REPLACE FUNCTION audit_trail.record() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
        )
        ask(fresh, f"COMMENT ON SCHEMA audit_trail IS {comment}")
        install.install_schema(connections[fresh])
        [(body,)] = ask(
            fresh, "SELECT prosrc FROM pg_proc WHERE oid = 'audit_trail.record'::regproc"
        )
        assert (body == schema.function_bodies()["record"]) is is_replaced


def test_the_checks_that_release_6_made_are_dropped(fresh):
    """The functions keep their rules, at a fraction of what a CHECK costs."""
    checks = (
        "SELECT conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE contype = 'c' AND relname LIKE 'event%'"
    )
    install.install_schema(connections[fresh])
    ask(
        fresh,
        "ALTER TABLE audit_trail.event"
        " ADD CONSTRAINT event_action CHECK (action IN ('insert', 'update', 'delete')),"
        " ADD CONSTRAINT event_row_key CHECK (row_key IS NOT NULL OR action = 'truncate')",
    )
    ask(fresh, "COMMENT ON SCHEMA audit_trail IS 'django_audit_fields 6 c2ad36ba'")
    assert len(ask(fresh, checks)) == 2 * 13
    call_command("migrate", database=fresh, verbosity=0)
    assert ask(fresh, checks) == []
    ask(fresh, "INSERT INTO trailapp_invoice (number, amount) VALUES ('x', 1)")
    assert ask(fresh, "SELECT action FROM audit_trail.event") == [("insert",)]


def test_what_is_printed_can_be_run_again_and_again(fresh):
    text = output_of("sql", database=fresh)
    assert json.loads(output_of("sql", "--json", database=fresh)) == {
        "sql": text.rstrip("\n") + "\n"
    }
    for _ in range(2):
        ask(fresh, text)
    assert install.installed_release(connections[fresh]) == schema.RELEASE


@pytest.fixture
def lesser(fresh):
    """The other database, as a role that may make tables there and no schema."""
    role = f"lesser_{connection.settings_dict['NAME']}"
    ask(fresh, f'DROP ROLE IF EXISTS "{role}"')
    ask(fresh, f'CREATE ROLE "{role}" LOGIN')
    ask(fresh, f'GRANT CREATE ON SCHEMA public TO "{role}"')
    connections.settings["lesser"] = {**connections.settings[fresh], "USER": role}
    yield "lesser"
    connections["lesser"].close()
    del connections["lesser"]
    del connections.settings["lesser"]
    ask(fresh, f'DROP OWNED BY "{role}" CASCADE')
    ask(fresh, f'DROP ROLE "{role}"')


def test_a_role_that_may_not_make_the_schema_is_told_what_to_do(fresh, lesser):
    with pytest.raises(CommandError) as raised:
        call_command("migrate", database=lesser, verbosity=0)
    assert "may not make the schema audit_trail" in str(raised.value)
    assert "manage.py audit_trail sql --database lesser" in str(raised.value)
    # A role that may runs what is printed, and then it works.
    ask(fresh, output_of("sql", database=lesser))
    call_command("migrate", database=lesser, verbosity=0)
    ask(lesser, "INSERT INTO trailapp_invoice (number, amount) VALUES ('x', 1)")
    ask(lesser, "INSERT INTO trailapp_reading (meter, hidden) VALUES (1, '')")
    with pytest.raises(CommandError, match="may not write to the trail") as raised:
        output_of("baseline", "trailapp_invoice", database=lesser)
    assert raised.value.returncode == 2
    [(role,)] = ask(lesser, "SELECT session_user::text")
    assert ask(lesser, "SELECT action, db_role FROM audit_trail.event") == [("insert", role)] * 2
    for write in (
        "INSERT INTO audit_trail.event OVERRIDING SYSTEM VALUE SELECT * FROM audit_trail.event",
        "UPDATE audit_trail.event SET actor = 'x'",
        "DELETE FROM audit_trail.event",
        "TRUNCATE audit_trail.event",
        "SELECT * FROM audit_trail.event_default",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            ask(lesser, write)


def test_a_role_that_may_not_replace_an_older_release_is_told_and_goes_on(fresh, lesser, caplog):
    ask(fresh, output_of("sql", database=lesser))
    ask(fresh, "COMMENT ON SCHEMA audit_trail IS 'django_audit_fields 0 abc'")
    with caplog.at_level(logging.WARNING, "django_audit_fields"):
        call_command("migrate", database=lesser, verbosity=0)
    [record] = [record for record in caplog.records if "older release" in record.message]
    assert "manage.py audit_trail sql --database lesser" in record.message
    assert ask(lesser, "SELECT count(*) FROM trailapp_invoice") == [(0,)]


@pytest.mark.django_db
def test_what_is_recorded_cannot_be_changed():
    """By the ORM, by accident, by any role: of the trail itself and of each partition."""
    Invoice.objects.create()
    year = datetime.now(UTC).year
    recorded = Recorded()
    for table in ("event", f"event_{year}", f"event_{year + 10}", "event_default"):
        for write in (
            f"UPDATE audit_trail.{table} SET actor = 'x'",
            f"UPDATE audit_trail.{table} SET actor = 'x' WHERE false",
            f"DELETE FROM audit_trail.{table}",
            f"TRUNCATE audit_trail.{table}",
        ):
            with pytest.raises(ProgrammingError, match="only added to"), transaction.atomic():
                execute(write)
    assert recorded() == []
    assert Recorded().since >= recorded.since


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Gauge, Reading])
def test_an_event_of_a_year_without_partition_gets_one(model):
    """Rows that went into DEFAULT have a partition of their own after `maintain`."""
    execute(
        "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name, row_key,"
        " actor, db_role, transaction_id)"
        " VALUES ('2999-12-31 23:59:59+00', 'insert', 'public', 'old', '1', 'x', 'x', 1),"
        " ('1999-06-01', 'insert', 'public', 'old', '2', 'x', 'x', 1)"
    )
    year = datetime.now(UTC).year
    execute(f"DROP TABLE audit_trail.event_{year + 10}")
    ids = execute("SELECT id, row_key FROM audit_trail.event WHERE table_name = 'old' ORDER BY id")
    assert maintain(connection) == [
        "audit_trail.event_1999: partition made",
        f"audit_trail.event_{year + 10}: partition made",
        "audit_trail.event_2999: partition made",
        "audit_trail.event_1999: rows moved out of DEFAULT",
        "audit_trail.event_2999: rows moved out of DEFAULT",
    ]
    assert maintain(connection) == []
    assert execute("SELECT count(*) FROM audit_trail.event_default") == [(0,)]
    assert ids == execute(
        "SELECT id, row_key FROM audit_trail.event WHERE table_name = 'old' ORDER BY id"
    )
    for table in ("event_1999", "event_default"):
        with pytest.raises(ProgrammingError, match="only added to"), transaction.atomic():
            execute(f"DELETE FROM audit_trail.{table}")
    model.objects.create()
