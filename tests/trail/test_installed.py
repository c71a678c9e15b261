"""What a database has of its trails, against what the code would install; and `audit_trail`."""

import io
import json

import pytest
from django.core.checks import Tags, Warning, run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as, checks
from django_audit_fields.trail import repair_trails, trail_differences
from tests.trail.recorded import Recorded, execute, set_context
from tests.trail.trailapp.models import Gauge, Line, Patient, Reading

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]
TABLE = "trailapp_invoice"


def found():
    return [str(difference) for difference in trail_differences(connection)]


def run(*arguments, **options):
    """What it prints, and its exit code."""
    text = io.StringIO()
    try:
        call_command("audit_trail", *arguments, stdout=text, stderr=io.StringIO(), **options)
    except SystemExit as exit:
        return text.getvalue(), exit.code
    except CommandError as error:
        return str(error), error.returncode
    return text.getvalue(), 0


def test_a_migrated_database_has_no_difference():
    assert found() == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (f'DROP TRIGGER "!audit_trail" ON {TABLE}', "trigger !audit_trail is missing"),
        (
            'DROP TRIGGER "!audit_trail_truncate" ON trailapp_article_tags',
            "trigger !audit_trail_truncate is missing",
        ),
        (f'ALTER TABLE {TABLE} DISABLE TRIGGER "!audit_trail"', "trigger !audit_trail is disabled"),
        (
            f'ALTER TABLE {TABLE} ENABLE REPLICA TRIGGER "!audit_trail"',
            "trigger !audit_trail is disabled",
        ),
        (
            f'ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER "!audit_trail"',
            "trigger !audit_trail fires for replicated rows, too: ENABLE ALWAYS",
        ),
        (
            f'CREATE OR REPLACE TRIGGER "!audit_trail" AFTER INSERT OR UPDATE ON {TABLE}'
            " FOR EACH ROW EXECUTE FUNCTION"
            """ audit_trail.record('{"id"}', '{}', '{}', '', 'fallback', 'system')""",
            "trigger !audit_trail is another one",
        ),
        (
            f'CREATE OR REPLACE TRIGGER "!audit_trail" AFTER INSERT OR UPDATE OR DELETE ON {TABLE}'
            " FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION"
            """ audit_trail.record('{"id"}', '{}', '{}', '', 'fallback', 'system')""",
            "trigger !audit_trail is another one",
        ),
        (
            f'CREATE OR REPLACE TRIGGER "!audit_trail" AFTER INSERT OR UPDATE OR DELETE ON {TABLE}'
            " FOR EACH ROW EXECUTE FUNCTION"
            """ audit_trail.record('{"id"}', '{"amount"}', '{}', '', 'fallback', 'system')""",
            "trigger !audit_trail is another one",
        ),
        (
            f'CREATE TRIGGER "!audit_trail_insert" AFTER INSERT ON {TABLE}'
            " REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION"
            """ audit_trail.record_statement('{"id"}', '{}', '{}', '', 'fallback', 'system')""",
            "trigger !audit_trail_insert is of another level",
        ),
        (
            "CREATE OR REPLACE FUNCTION audit_trail.record() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
            "function record() is another one",
        ),
        (
            "ALTER FUNCTION audit_trail.record_statement() SECURITY INVOKER",
            "function record_statement() is another one",
        ),
        (
            "COMMENT ON SCHEMA audit_trail IS 'django_audit_fields 0 x'",
            "an older release made it: run migrate",
        ),
        (
            'ALTER TABLE audit_trail.event_2030 DISABLE TRIGGER "!append_only"',
            "trigger !append_only is missing, disabled or another one",
        ),
        (
            'DROP TRIGGER "!append_only" ON audit_trail.event',
            "trigger !append_only is missing, disabled or another one",
        ),
    ],
)
def test_what_somebody_changed_is_told_and_repaired(change, expected):
    execute(change)
    [difference] = found()
    assert difference.endswith(f": {expected}")
    assert [str(entry) for entry, _ in repair_trails(connection)] == [difference]
    assert found() == []
    assert repair_trails(connection) == []


def test_other_settings_are_a_difference():
    """As for the columns: read when the triggers are made, and repaired when they change."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron"}):
        differences = found()
        assert "public.trailapp_reading: trigger !audit_trail_update is another one" in differences
        assert all(fault is None for _, fault in repair_trails(connection))
        assert found() == []
        recorded = Recorded()
        execute(f"INSERT INTO {TABLE} (number, amount) VALUES ('', 1)")
        assert recorded()[0].actor == "cron"


def test_a_tenant_that_lost_its_trail_is_told():
    execute("CREATE SCHEMA tenant")
    execute("CREATE TABLE tenant.django_migrations (id int)")
    execute("CREATE TABLE tenant.trailapp_gauge (id int PRIMARY KEY)")
    execute("CREATE SCHEMA backup")
    execute("CREATE TABLE backup.trailapp_gauge (id int PRIMARY KEY)")
    assert found() == [
        f"tenant.trailapp_gauge: trigger {name} is missing"
        for name in ("!audit_trail", "!audit_trail_truncate")
    ]


def test_a_table_that_became_a_partition_at_statement_level_is_told():
    """What is written through its root is not recorded."""
    execute("ALTER TABLE trailapp_reading DROP CONSTRAINT trailapp_reading_pkey")
    execute("ALTER TABLE trailapp_reading DROP CONSTRAINT trailapp_reading_meter_key")
    execute("ALTER TABLE trailapp_reading ALTER id DROP IDENTITY")
    execute("CREATE TABLE root (LIKE trailapp_reading) PARTITION BY RANGE (id)")
    execute("ALTER TABLE root ATTACH PARTITION trailapp_reading DEFAULT")
    assert found() == [
        "public.trailapp_reading: level 'statement' misses what is written to its partitions"
    ]
    (warning,) = checks.check_trail_databases(databases=["default"])
    assert warning.hint == "Give the trail level='row'."


def test_status_tells_the_tables_and_who_owns_them():
    text, code = run("status", "--json")
    assert code == 0
    status = json.loads(text)
    assert status["mode"] == "default"
    assert status["findings"] == []
    by_table = {table["table"]: table for table in status["tables"]}
    assert by_table["public.trailapp_patient"]["reason"] is True
    assert by_table["public.trailapp_patient"]["masked"] == '{"ssn"}'
    assert by_table["public.trailapp_line"]["key"] == '{"book","place"}'
    [(owner,)] = execute("SELECT current_user::text")
    assert status["owners"] == [owner]
    assert any(owner in text for text in status["open"])


def test_status_has_an_exit_code_for_a_finding():
    execute(f'ALTER TABLE {TABLE} DISABLE TRIGGER "!audit_trail"')
    text, code = run("status")
    assert code == 1
    assert f"finding: public.{TABLE}: trigger !audit_trail is disabled" in text


def test_status_finds_rows_without_a_partition():
    execute(
        "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name, row_key,"
        " actor, db_role, transaction_id)"
        " VALUES ('2999-12-31', 'insert', 'public', 'old', '1', 'x', 'x', 1)"
    )
    text, code = run("status")
    assert (code, "event_default: has rows" in text) == (1, True)
    text, code = run("maintain")
    assert code == 0
    assert "audit_trail.event_2999: rows moved out of DEFAULT" in text
    assert run("status")[1] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["baseline", "nowhere"], "has no trail here"),
        (["baseline", "auth_user"], "has no trail here"),
        (["status", "--database", "nowhere"], "There is no database alias 'nowhere'."),
    ],
)
def test_wrong_use_has_an_exit_code_of_its_own(arguments, message):
    text, code = run(*arguments)
    assert code == 2
    assert message in text


def without_trail(table):
    execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


@pytest.mark.parametrize("model", [Gauge, Reading])
def test_baseline_gives_each_row_without_an_event_one(model):
    table = model._meta.db_table
    without_trail(table)
    model.objects.bulk_create(
        model(meter=number, value=number / 3, secret="s" if number % 2 else None)
        for number in range(25)
    )
    execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    known = model.objects.create(meter=100)
    recorded = Recorded()
    set_context(source="command:audit_trail")
    with acting_as("17"):
        text, code = run("baseline", table)
    assert code == 0
    assert f"public.{table}: 25 baseline events written" in text
    assert {event.action for event in recorded()} == {"baseline"}
    keys = [event.row_key for event in recorded()]
    assert sorted(map(int, keys)) == sorted(
        model.objects.exclude(pk=known.pk).values_list("pk", flat=True)
    )
    event = recorded()[1]
    row = model.objects.get(pk=event.row_key)
    assert event.after == {
        "id": row.pk,
        "meter": row.meter,
        "value": row.value,
        "secret": "***" if row.secret else None,
    }
    assert (event.actor, event.context) == ("17", {"source": "command:audit_trail"})
    assert json.loads(run("baseline", table, "--json")[0]) == {f"public.{table}": 0}


def test_baseline_goes_on_from_batch_to_batch(monkeypatch):
    from django_audit_fields.trail.evidence.baseline import recorded_places, write_baseline

    without_trail("trailapp_line")
    Line.objects.bulk_create(Line(book=book, place=place) for book in (1, 2, 3) for place in 'a"b')
    execute("ALTER TABLE trailapp_line ENABLE TRIGGER USER")
    recorded = Recorded()
    place = ("public", "trailapp_line")
    trigger = recorded_places(connection)[place]
    steps = list(write_baseline(connection, place, trigger, batch_size=4))
    assert steps == [(4, 4), (4, 4), (1, 1)]
    line = Line.objects.get(pk=(2, '"'))
    line.text = "x"
    line.save()
    keys = [event.row_key for event in recorded()]
    assert keys.count('[2, "\\""]') == 2
    assert len(set(keys)) == 9


def test_baseline_of_a_table_that_asks_for_reasons_is_not_asked():
    """It is no change of a row."""
    without_trail("trailapp_patient")
    Patient.objects.create(name="A", photo=b"x")
    execute("ALTER TABLE trailapp_patient ENABLE TRIGGER USER")
    recorded = Recorded()
    run("baseline", "public.trailapp_patient")
    [event] = recorded()
    assert "photo" not in event.after


def triggers_command(action, *arguments):
    text = io.StringIO()
    try:
        call_command("audit_triggers", action, *arguments, stdout=text)
    except SystemExit as exit:
        return text.getvalue(), exit.code
    return text.getvalue(), 0


def test_audit_triggers_knows_the_trail():
    """Checked, warned of and repaired along with the triggers that stamp."""
    execute(f'ALTER TABLE {TABLE} DISABLE TRIGGER "!audit_trail"')
    line = f"public.{TABLE}: trigger !audit_trail is disabled"
    text, code = triggers_command("check")
    assert (line in text.splitlines(), code) == (True, 1)
    assert Warning(
        f"{line}.",
        hint="Run `manage.py audit_triggers install --database default`.",
        id="django_audit_fields.W022",
    ) in run_checks(tags=[Tags.database], databases=["default"])
    assert {"table": f"public.{TABLE}", "kind": "disabled"}.items() <= json.loads(
        triggers_command("check", "--json")[0]
    )[-1].items()
    text, code = triggers_command("install")
    assert f"{line}: repaired" in text.splitlines()
    assert code == 0
    assert found() == []
    assert run_checks(tags=[Tags.database], databases=["default"]) == []


def test_many_tables_are_looked_at_in_as_many_queries_as_few():
    with CaptureQueriesContext(connection) as few:
        trail_differences(connection)
    for number in range(20):
        execute(f"CREATE SCHEMA tenant{number}")
        execute(f"CREATE TABLE tenant{number}.django_migrations (id int)")
        execute(f"CREATE TABLE tenant{number}.trailapp_gauge (id int PRIMARY KEY)")
    with CaptureQueriesContext(connection) as many:
        assert len(trail_differences(connection)) == 40
    assert len(many) == len(few)


def test_a_role_without_a_right_in_the_trail_may_check():
    """As the application's own role has none: its checks go on."""
    execute(f'ALTER TABLE {TABLE} DISABLE TRIGGER "!audit_trail"')
    execute("CREATE ROLE trail_checker")
    execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO trail_checker")
    execute("SET LOCAL ROLE trail_checker")
    assert found() == [f"public.{TABLE}: trigger !audit_trail is disabled"]
    execute("RESET ROLE")
