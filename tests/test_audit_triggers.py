"""`manage.py audit_triggers`: what it prints, and the status it exits with."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from tests.audited_tables import execute, install, make_table, triggers_on

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
    entries: dict[str, Any] = {
        entry["name"]: entry for entry in json.loads(run("list", "--json")[0])
    }
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
        "fallback": "system",
        "nobody": "refuse",
        "strict": True,
        "differences": [],
    }
    assert entries["uncovered"]["status"] == "uncovered"
    assert entries["uncovered"]["columns"] is None
    execute("ALTER TABLE legacy DISABLE TRIGGER USER")
    entries = listed()
    assert entries["legacy"]["status"] == "drifted"
    assert len(entries["legacy"]["differences"]) == 2


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
