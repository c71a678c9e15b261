"""`manage.py audit_triggers`: what it prints, and the status it exits with."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import override_settings

from tests.triggers.audited_tables import execute, install, make_table, triggers_on

pytestmark = pytest.mark.django_db

NOTE = "triggersapp_note"
INSERT = "~~audit_fields_insert"


def run(*arguments: str) -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("audit_triggers", *arguments, stdout=out)
    except SystemExit as exit_:
        return out.getvalue(), int(exit_.code or 0)
    return out.getvalue(), 0


def listed() -> dict[str, Any]:
    text, _ = run("list", "--json")
    return {entry["name"]: entry for entry in json.loads(text)}


def test_check_is_silent_where_nothing_differs() -> None:
    """Exit status 0, and an empty list in JSON."""
    assert run("check") == ("", 0)
    assert run("check", "--json", "--database", "default") == ("[]\n", 0)


def test_check_prints_a_line_for_each_difference_and_exits_1() -> None:
    """For people and as JSON."""
    execute(f'DROP TRIGGER "{INSERT}" ON {NOTE}')
    assert run("check") == (f"public.{NOTE}: trigger {INSERT} is missing\n", 1)
    text, status = run("check", "--json")
    assert json.loads(text) == [
        {
            "table": f"public.{NOTE}",
            "kind": "missing",
            "message": f"trigger {INSERT} is missing",
        }
    ]
    assert status == 1


def test_install_repairs_and_says_what() -> None:
    """Afterwards there is nothing to do."""
    execute(f'DROP TRIGGER "{INSERT}" ON {NOTE}')
    assert run("install") == (f"public.{NOTE}: trigger {INSERT} is missing: repaired\n", 0)
    assert INSERT in triggers_on(NOTE)
    assert run("install") == ("", 0)
    assert run("install", "--json") == ("[]\n", 0)
    assert run("check") == ("", 0)


def test_list_shows_every_table_with_audit_columns() -> None:
    """Covered by a model, by an operation, by nothing; with the rules in force."""
    make_table("legacy")
    install("legacy", strict=True, nobody="refuse")
    make_table("uncovered")
    text, status = run("list")
    lines = text.splitlines()
    assert status == 0
    assert f"public.{NOTE}  ok  triggersapp.Note  nobody=fallback fallback='system'" in lines
    assert "public.legacy  ok  nobody=refuse strict" in lines
    assert "public.uncovered  uncovered" in lines
    entries = listed()
    refusing = {"nobody": "refuse", "fallback": None, "strict": True}
    assert entries["legacy"] == {
        "table": "public.legacy",
        "schema": "public",
        "name": "legacy",
        "status": "ok",
        "source": None,
        "triggers": ["~~audit_fields_insert", "~~audit_fields_update"],
        "function": "audit_fields_stamp",
        "columns": {
            "created_at": "created_at",
            "updated_at": "updated_at",
            "created_by": "created_by",
            "updated_by": "updated_by",
        },
        "nobody": "refuse",
        "fallback": None,
        "strict": True,
        "in_force": dict.fromkeys(("INSERT", "UPDATE"), refusing),
        "expected": None,
        "differences": [],
    }
    assert entries["uncovered"]["status"] == "uncovered"
    assert entries["uncovered"]["columns"] is None
    execute("ALTER TABLE legacy DISABLE TRIGGER USER")
    entries = listed()
    assert entries["legacy"]["status"] == "drifted"
    assert len(entries["legacy"]["differences"]) == 2


def line_of(table: str) -> str:
    (line,) = (line for line in run("list")[0].splitlines() if line.startswith(f"public.{table} "))
    return line.removeprefix(f"public.{table}").strip()


def test_list_shows_the_rules_in_force_beside_those_expected() -> None:
    """What the database does now, whatever the settings have come to say since."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron", "STRICT": True}):
        assert line_of(NOTE) == (
            "drifted  triggersapp.Note  nobody=fallback fallback='system'"
            "  expected: nobody=fallback fallback='cron' strict"
        )
        entry = listed()[NOTE]
        assert (entry["nobody"], entry["fallback"], entry["strict"]) == (
            "fallback",
            "system",
            False,
        )
        assert entry["expected"] == {"nobody": "fallback", "fallback": "cron", "strict": True}
        run("install")
        assert line_of(NOTE) == "ok  triggersapp.Note  nobody=fallback fallback='cron' strict"
        assert listed()[NOTE]["expected"] is None


def test_list_shows_rules_that_differ_by_event() -> None:
    """A trigger that someone made anew, one that is off, and one that calls something else."""
    execute(
        f'CREATE OR REPLACE TRIGGER "{INSERT}" BEFORE INSERT ON {NOTE} FOR EACH ROW '
        "EXECUTE FUNCTION audit_fields_stamp('somebody', 'refuse', 'strict')"
    )
    usual = "nobody=fallback fallback='system'"
    assert line_of(NOTE) == (
        f"drifted  triggersapp.Note  INSERT: nobody=refuse strict; UPDATE: {usual}"
        f"  expected: {usual}"
    )
    entry = listed()[NOTE]
    assert entry["nobody"] is entry["fallback"] is entry["strict"] is None
    assert entry["in_force"] == {
        "INSERT": {"nobody": "refuse", "fallback": None, "strict": True},
        "UPDATE": {"nobody": "fallback", "fallback": "system", "strict": False},
    }
    execute(f'ALTER TABLE {NOTE} DISABLE TRIGGER "~~audit_fields_update"')
    assert "INSERT: nobody=refuse strict; UPDATE: none in force" in line_of(NOTE)
    execute("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    execute(
        f'CREATE OR REPLACE TRIGGER "{INSERT}" BEFORE INSERT ON {NOTE} FOR EACH ROW '
        "EXECUTE FUNCTION nothing()"
    )
    assert line_of(NOTE) == f"drifted  triggersapp.Note  none in force  expected: {usual}"


def test_list_shows_no_rules_of_a_table_without_labels() -> None:
    """Its times are filled in one way only."""
    columns = {"created_at": "created_at", "updated_at": "updated_at"}
    make_table("timed", types=dict.fromkeys(columns, "timestamptz"))
    install("timed", columns=columns)
    assert line_of("timed") == "ok"
    assert listed()["timed"]["in_force"] == {"INSERT": None, "UPDATE": None}


@pytest.fixture
def role_without_legacy() -> str:
    """Acts as a role that owns the note's table, and neither the legacy one nor its function."""
    execute("CREATE SCHEMA old")
    make_table("old.legacy")
    install("old.legacy")
    execute(f'DROP TRIGGER "{INSERT}" ON {NOTE}; DROP TRIGGER "{INSERT}" ON old.legacy')
    execute("CREATE ROLE owner_of_old; CREATE ROLE some_app; GRANT USAGE ON SCHEMA old TO some_app")
    execute("ALTER TABLE old.legacy OWNER TO owner_of_old")
    execute("ALTER FUNCTION old.audit_fields_stamp() OWNER TO owner_of_old")
    execute(f"ALTER TABLE {NOTE} OWNER TO some_app; GRANT SELECT ON django_migrations TO some_app")
    execute("SET LOCAL ROLE some_app")
    return "some_app"


def test_install_goes_on_past_a_table_that_it_may_not_alter(role_without_legacy: str) -> None:
    """Every other table is repaired; cause and cure are named, and the status is 1."""
    text, status = run("install")
    lines = text.splitlines()
    assert status == 1
    assert lines == [
        f"old.legacy: trigger {INSERT} is missing: not repaired",
        "old.legacy: permission denied for table legacy. "
        f"Run it as owner_of_old, or after GRANT owner_of_old TO {role_without_legacy}.",
        f"public.{NOTE}: trigger {INSERT} is missing: repaired",
    ]
    assert run("check") == (f"old.legacy: trigger {INSERT} is missing\n", 1)
    text, status = run("install", "--json")
    (entry,) = json.loads(text)
    assert (entry["table"], entry["fault"], status) == (
        "old.legacy",
        "permission denied for table legacy",
        1,
    )
    assert "owner_of_old" in entry["cure"]
    execute(f"RESET ROLE; GRANT owner_of_old TO {role_without_legacy}; SET LOCAL ROLE some_app")
    assert run("install") == (f"old.legacy: trigger {INSERT} is missing: repaired\n", 0)
    assert run("check") == ("", 0)


def test_install_leaves_no_table_half_done(role_without_legacy: str) -> None:
    """The last of a table's steps fails: none of them is left."""
    execute("RESET ROLE")
    execute("ALTER TABLE old.legacy OWNER TO some_app; GRANT CREATE ON SCHEMA old TO some_app")
    execute(
        "CREATE OR REPLACE FUNCTION old.audit_fields_stamp() RETURNS trigger LANGUAGE plpgsql "
        "AS '-- Put there by django_audit_fields; \nBEGIN RETURN NEW; END'"
    )
    execute("SET LOCAL ROLE some_app")
    execute(
        'CREATE TRIGGER "another" BEFORE INSERT ON old.legacy FOR EACH ROW '
        "EXECUTE FUNCTION old.audit_fields_stamp()"
    )
    before = triggers_on("old.legacy")
    text, status = run("install")
    assert status == 1
    assert "must be owner of function" in text
    assert "Run it as owner_of_old" in text
    assert triggers_on("old.legacy") == before
    assert INSERT in triggers_on(NOTE)


def test_install_goes_on_past_a_table_that_others_hold() -> None:
    """A lock that is not let go in time; the next run repairs it."""
    parameters = connection.get_connection_params()
    for name in ("context", "cursor_factory"):
        parameters.pop(name, None)
    execute("SET LOCAL lock_timeout TO '50ms'")
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron"}):
        with psycopg.connect(**parameters) as other:
            other.execute(f"LOCK TABLE {NOTE} IN ROW EXCLUSIVE MODE")
            text, status = run("install")
        assert status == 1
        assert (
            f"public.{NOTE}: canceling statement due to lock timeout. "
            "Run it again when others have let go of the table."
        ) in text.splitlines()
        assert {entry["table"] for entry in json.loads(run("check", "--json")[0])} == {
            f"public.{NOTE}"
        }
        assert run("install")[1] == 0
        assert run("check") == ("", 0)


def test_install_names_what_keeps_it_from_a_table() -> None:
    """What is for people to decide: a column that is gone, a name, triggers that say nothing."""
    make_table("legacy")
    install("legacy")
    execute("ALTER TABLE legacy RENAME created_by TO maker")
    text, status = run("install")
    assert status == 1
    assert text.splitlines()[-1] == (
        "public.legacy: no column created_by. Name the column again as it was, or have a migration "
        "remove the triggers and add them anew."
    )
    execute("ALTER TABLE legacy RENAME maker TO created_by")
    execute(
        'CREATE TRIGGER "Änderung" BEFORE UPDATE ON legacy FOR EACH ROW '
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    assert run("check")[0] == ("public.legacy: trigger Änderung fires after those of the package\n")
    text, status = run("install")
    assert status == 1
    assert text.splitlines()[-1].endswith(
        'order of their names: ALTER TRIGGER "Änderung" ON "public"."legacy" RENAME TO …'
    )
    execute('ALTER TRIGGER "Änderung" ON legacy RENAME TO "aenderung"')
    assert run("check") == ("", 0)
    execute(
        "CREATE TABLE mute (id int); CREATE FUNCTION audit_fields_mute() RETURNS trigger "
        "LANGUAGE plpgsql AS '-- Put there by django_audit_fields; \nBEGIN RETURN NEW; END'"
    )
    execute(
        "CREATE TRIGGER mute BEFORE INSERT ON mute FOR EACH ROW "
        "EXECUTE FUNCTION audit_fields_mute()"
    )
    text, status = run("install")
    assert status == 1
    assert text.splitlines()[-1].startswith(
        "public.mute: nothing says which columns its triggers fill. "
    )
    execute("DROP TABLE mute")
    execute(f'DROP TRIGGER "{INSERT}" ON legacy')
    assert run("install")[1] == 0


def test_a_changed_setting_is_found_and_installed() -> None:
    """check, install, check."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron"}):
        text, status = run("check")
        assert status == 1
        assert f"public.{NOTE}: trigger {INSERT} has another definition" in text.splitlines()
        run("install")
        assert run("check") == ("", 0)


def test_databases_that_it_cannot_look_at() -> None:
    """An unknown alias, and one that is not PostgreSQL, are named."""
    with pytest.raises(CommandError, match="'nowhere'"):
        run("check", "--database", "nowhere")
    other = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    connections.databases["other"] = connections.configure_settings({"default": other})["default"]
    try:
        with pytest.raises(CommandError, match="'other' is not PostgreSQL but SQLite"):
            run("check", "--database", "other")
    finally:
        del connections.databases["other"]
        del connections["other"]
