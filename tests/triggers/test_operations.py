"""InstallAuditTriggers and RemoveAuditTriggers, forwards and backwards, on tables of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import ProgrammingError, connection, migrations, transaction
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter, OperationWriter
from django.db.utils import ConnectionHandler
from django.test import override_settings

from django_audit_fields.drift.catalog import differences
from django_audit_fields.drift.repairs import drop_unused_functions
from django_audit_fields.operations import InstallAuditTriggers, RemoveAuditTriggers
from tests.triggers.audited_tables import (
    ROLE_TYPES,
    act_as,
    audit_functions,
    execute,
    make_table,
    people_of,
    row,
    rows,
    stamps_of,
    triggers_on,
)

pytestmark = pytest.mark.django_db

BOTH = {"~~audit_fields_insert", "~~audit_fields_update"}


def apply(operation: Operation, *, backwards: bool = False, using: Any = connection) -> None:
    state = ProjectState()
    with using.schema_editor() as editor:
        move = operation.database_backwards if backwards else operation.database_forwards
        move("triggersapp", editor, state, state)


def test_installs_and_takes_off_again() -> None:
    """Absent, forwards, present, again, backwards, absent; the function comes and goes along."""
    make_table("legacy")
    functions = audit_functions()
    operation = InstallAuditTriggers("legacy", created_by="created_by", nobody="refuse")
    assert triggers_on("legacy") == {}
    for _ in range(2):
        apply(operation)
        assert triggers_on("legacy") == dict.fromkeys(BOTH, "audit_fields_stamp")
    act_as("7")
    execute("INSERT INTO legacy (id) VALUES (1)")
    assert people_of("legacy") == ("7", "7")
    for _ in range(2):
        apply(operation, backwards=True)
        assert triggers_on("legacy") == {}
    assert audit_functions() == functions
    execute("INSERT INTO legacy (id) VALUES (2)")
    assert people_of("legacy", 2) == (None, None)


def test_remove_is_its_mirror() -> None:
    """RemoveAuditTriggers takes off; backwards it installs."""
    make_table("legacy")
    apply(InstallAuditTriggers("legacy"))
    remove = RemoveAuditTriggers("legacy")
    apply(remove)
    assert triggers_on("legacy") == {}
    apply(remove, backwards=True)
    assert set(triggers_on("legacy")) == BOTH


@pytest.mark.parametrize(
    ("left_out", "function"),
    [
        ({}, "audit_fields_stamp"),
        ({"created_at": None, "updated_at": None}, "audit_fields_track_user_changes"),
        ({"created_by": None, "updated_by": None}, "audit_fields_update_timestamp"),
        ({"created_at": None}, None),
        ({"created_at": None, "created_by": None, "updated_at": None}, None),
        ({"updated_at": None, "created_by": None, "updated_by": None}, None),
    ],
)
def test_each_choice_of_columns_has_its_function(
    left_out: dict[str, None], function: str | None
) -> None:
    """A pair has the pair's function, any other choice one of its own; each fills what it has."""
    types = {role: kind for role, kind in ROLE_TYPES.items() if role not in left_out}
    make_table("partial", types=types)
    apply(InstallAuditTriggers("partial", **left_out))
    (name,) = set(triggers_on("partial").values())
    assert name.startswith("audit_fields_")
    assert name == function or function is None
    act_as("7")
    execute("INSERT INTO partial (id) VALUES (1)")
    filled = row(f"SELECT {', '.join(f'{column} IS NOT NULL' for column in types)} FROM partial")
    assert all(filled)
    act_as("8")
    execute("UPDATE partial SET body = 'x'")
    if "updated_by" in types:
        assert row("SELECT updated_by FROM partial") == ("8",)
    if "created_by" in types:
        assert row("SELECT created_by FROM partial") == ("7",)


def test_columns_may_have_other_names() -> None:
    """Names that need quotes, hold quotes, percent signs, backslashes and dollar quotes."""
    names = {
        "created_at": "angelegt am",
        "updated_at": 'Geändert "am"',
        "created_by": "o'brien %s\\",
        "updated_by": "$function$ $audit$",
    }
    make_table("deutsch", types={names[role]: kind for role, kind in ROLE_TYPES.items()})
    operation = InstallAuditTriggers("deutsch", **names)
    apply(operation)
    (function,) = set(triggers_on("deutsch").values())
    assert function not in ("audit_fields_stamp", "")
    assert len(function.encode()) <= 63
    act_as("7")
    execute("INSERT INTO deutsch (id) VALUES (1)")
    act_as("8")
    execute("UPDATE deutsch SET body = 'x'")
    assert row("SELECT * FROM deutsch")[4:] == ("7", "8")
    assert None not in row("SELECT * FROM deutsch")
    apply(operation, backwards=True)
    assert triggers_on("deutsch") == {}
    drop_unused_functions(connection)
    assert function not in audit_functions()


def test_two_namings_have_two_functions() -> None:
    """Names that PostgreSQL would cut to the same 63 bytes are told apart."""
    for number, last in enumerate("ab"):
        long = "x" * 61 + last
        make_table(f"long_{number}", types={long: "text"})
        apply(
            InstallAuditTriggers(
                f"long_{number}", created_at=None, updated_at=None, created_by=None, updated_by=long
            )
        )
    (first,), (second,) = (set(triggers_on(f"long_{number}").values()) for number in range(2))
    assert first != second


@pytest.mark.parametrize(
    "table", ['Order "lines"', "100%", "o'brien", "select", "back\\slash", "ü"]
)
def test_tables_may_have_names_that_need_quotes(table: str) -> None:
    """In another schema, whose name needs them too; that schema gets the function."""
    execute('CREATE SCHEMA "Old %s ""books"""')
    quoted = '"Old %s ""books"""."' + table.replace('"', '""') + '"'
    make_table(quoted)
    operation = InstallAuditTriggers(table, schema='Old %s "books"')
    apply(operation)
    assert set(triggers_on(quoted)) == BOTH
    assert audit_functions('"Old %s ""books"""') == ["audit_fields_stamp"]
    act_as("7")
    execute(f"INSERT INTO {quoted} (id) VALUES (1)".replace("%", "%%"), ())
    apply(operation, backwards=True)
    assert triggers_on(quoted) == {}
    drop_unused_functions(connection)
    assert audit_functions('"Old %s ""books"""') == []


def test_an_unqualified_table_is_the_one_that_the_search_path_finds() -> None:
    """Its function is made in its own schema, not in the first of the path."""
    execute("CREATE SCHEMA first_one")
    execute("CREATE SCHEMA second_one")
    make_table("second_one.placed")
    execute("SET LOCAL search_path TO first_one, second_one, public")
    apply(InstallAuditTriggers("placed"))
    assert audit_functions("first_one") == []
    assert audit_functions("second_one") == ["audit_fields_stamp"]
    assert set(triggers_on("second_one.placed")) == BOTH


def test_partitioned_tables_are_declared_once() -> None:
    """Partitions made before and after have the triggers; backwards none has."""
    make_table("parted", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    operation = InstallAuditTriggers("parted")
    apply(operation)
    apply(operation)
    execute("CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20)")
    act_as("7")
    execute("INSERT INTO parted (id) VALUES (1), (11)")
    execute("INSERT INTO parted_2 (id) VALUES (12)")
    assert [people_of("parted", key) for key in (1, 11, 12)] == [("7", "7")] * 3
    apply(operation, backwards=True)
    counts = row(
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '~~audit%%' AND tgrelid IN "
        "('parted'::regclass, 'parted_1'::regclass, 'parted_2'::regclass)",
        (),
    )
    assert counts == (0,)


def test_removing_from_a_partition_leaves_its_tables_triggers() -> None:
    """They come from the partitioned table, and go with its own."""
    make_table("parted", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    apply(InstallAuditTriggers("parted"))
    apply(RemoveAuditTriggers("parted_1"))
    act_as("7")
    execute("INSERT INTO parted_1 (id) VALUES (1)")
    assert people_of("parted") == ("7", "7")


@pytest.mark.parametrize(
    ("types", "refused"),
    [
        ({**ROLE_TYPES, "created_by": "integer"}, ["old_table", "created_by", "integer", "label"]),
        ({**ROLE_TYPES, "updated_by": "jsonb"}, ["old_table", "updated_by", "jsonb", "label"]),
        ({**ROLE_TYPES, "updated_by": "text[]"}, ["old_table", "updated_by", "label"]),
        ({**ROLE_TYPES, "updated_by": '"char"'}, ["old_table", "updated_by", "label"]),
        ({**ROLE_TYPES, "created_at": "date"}, ["old_table", "created_at", "date", "time"]),
        ({**ROLE_TYPES, "updated_at": "text"}, ["old_table", "updated_at", "text", "time"]),
        ({**ROLE_TYPES, "updated_at": "bigint"}, ["old_table", "updated_at", "bigint", "time"]),
        ({"created_at": "timestamptz"}, ["old_table", "no column", "updated_at"]),
    ],
)
def test_columns_that_cannot_hold_it_are_refused(types: dict[str, str], refused: list[str]) -> None:
    """With the table's and the column's name; nothing is left behind."""
    make_table("old_table", types=types)
    functions = audit_functions()
    with pytest.raises(ProgrammingError) as caught, transaction.atomic():
        apply(InstallAuditTriggers("old_table"))
    for part in refused:
        assert part in str(caught.value)
    assert triggers_on("old_table") == {}
    assert audit_functions() == functions


def test_a_table_that_does_not_exist_is_named() -> None:
    """PostgreSQL's own error says which."""
    with pytest.raises(ProgrammingError, match="nowhere"), transaction.atomic():
        apply(InstallAuditTriggers("nowhere"))


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view_is_refused_and_its_table_named_as_the_cure(kind: str) -> None:
    """PostgreSQL gives neither a BEFORE trigger for each row."""
    make_table("shown_table")
    execute(f"CREATE {kind} shown AS SELECT * FROM shown_table")
    cure = "Name the table that it shows"
    with pytest.raises(ProgrammingError, match=cure), transaction.atomic():
        apply(InstallAuditTriggers("shown"))


def test_a_table_of_another_role_is_refused_with_the_cure() -> None:
    """One line says whose it is, and what to grant."""
    execute("CREATE ROLE keeper; CREATE ROLE migrator; GRANT ALL ON SCHEMA public TO migrator")
    make_table("kept_table")
    execute("ALTER TABLE kept_table OWNER TO keeper; SET LOCAL ROLE migrator")
    with pytest.raises(ProgrammingError) as caught, transaction.atomic():
        apply(InstallAuditTriggers("kept_table"))
    execute("RESET ROLE")
    (line,) = str(caught.value).splitlines()
    assert "belongs to keeper" in line
    assert "GRANT keeper TO migrator" in line


def test_narrow_text_and_times_without_zone_are_accepted() -> None:
    """char, short varchar, text, domains over them, and both kinds of timestamp."""
    execute("CREATE DOMAIN short_label AS varchar(20)")
    execute("CREATE DOMAIN shorter_label AS short_label")
    make_table(
        "accepted",
        types={
            "created_at": "timestamp",
            "updated_at": "timestamp(0) with time zone",
            "created_by": "shorter_label",
            "updated_by": "char(8)",
        },
    )
    apply(InstallAuditTriggers("accepted"))
    act_as("7")
    execute("INSERT INTO accepted (id) VALUES (1)")
    execute("UPDATE accepted SET body = 'x'")
    stamps = stamps_of("accepted")
    assert stamps["created_by"] == "7"
    assert stamps["updated_by"].strip() == "7"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nobody": "anybody"}, "nobody"),
        ({"strict": "yes"}, "strict"),
        (dict.fromkeys(ROLE_TYPES), "no column left"),
        ({"created_by": "who", "updated_by": "who"}, "once"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: dict[str, Any], message: str) -> None:
    """When the migration is loaded, with what is allowed."""
    with pytest.raises((ValueError, TypeError), match=message):
        InstallAuditTriggers("legacy", **arguments)


def test_rules_of_its_own_win_over_the_settings() -> None:
    """strict and nobody as the operation says; what it leaves out, as the settings say."""
    make_table("ruled")
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron", "STRICT": True}):
        apply(InstallAuditTriggers("ruled", strict=False))
    act_as(None)
    execute("INSERT INTO ruled (id) VALUES (1)")
    assert people_of("ruled") == ("cron", "cron")
    act_as("7")
    execute("INSERT INTO ruled (id, created_by) VALUES (2, 'other')")
    assert people_of("ruled", 2) == ("other", "7")


def test_sqlmigrate_prints_what_can_be_run() -> None:
    """The collected text, run by itself, installs and removes."""
    make_table('"it\'s % old"')
    operation = InstallAuditTriggers("it's % old")
    state = ProjectState()
    for move, expected in (
        (operation.database_forwards, BOTH),
        (operation.database_backwards, set()),
    ):
        with connection.schema_editor(collect_sql=True, atomic=False) as editor:
            move("triggersapp", editor, state, state)
        assert set(triggers_on('"it\'s % old"')) != expected
        execute("\n".join(editor.collected_sql))
        assert set(triggers_on('"it\'s % old"')) == expected


def test_it_is_written_into_migrations_as_it_was_made() -> None:
    """Only what was said, with keywords; it describes itself and names its migration."""
    operation = InstallAuditTriggers("Orders", schema="old", created_by=None, strict=True)
    assert operation.deconstruct() == (
        "InstallAuditTriggers",
        (),
        {"table": "Orders", "schema": "old", "created_by": None, "strict": True},
    )
    text, imports = OperationWriter(operation, indentation=0).serialize()
    assert imports == {"import django_audit_fields.operations"}
    namespace: dict[str, Any] = {}
    exec("\n".join([*imports, f"operation = {text.rstrip(',')}"]), namespace)  # noqa: S102
    assert namespace["operation"].deconstruct() == operation.deconstruct()
    assert operation.describe() == "Install audit triggers on old.Orders"
    assert operation.migration_name_fragment == "audit_orders"
    assert RemoveAuditTriggers("x").describe() == "Remove audit triggers from x"
    assert RemoveAuditTriggers("X").migration_name_fragment == "unaudit_x"
    migration = migrations.Migration("0001_x", "triggersapp")
    migration.operations = [operation]
    assert "InstallAuditTriggers" in MigrationWriter(migration).as_string()


class NoMigrations:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return False


@override_settings(DATABASE_ROUTERS=[NoMigrations()])
def test_a_router_keeps_it_away() -> None:
    """A database that the app is not migrated on is left alone, both ways."""
    make_table("routed")
    apply(InstallAuditTriggers("routed"))
    assert triggers_on("routed") == {}


def test_other_databases_get_no_sql(tmp_path: Path) -> None:
    """Forwards and backwards do nothing where there is no PostgreSQL."""
    sqlite = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3"}})["default"]
    sqlite.settings_dict["NAME"] = str(tmp_path / "other.sqlite3")
    operation = InstallAuditTriggers("legacy")
    apply(operation, using=sqlite)
    apply(operation, using=sqlite, backwards=True)
    assert sqlite.introspection.table_names() == []
    sqlite.close()


@pytest.mark.parametrize(
    "stranger",
    [
        "CREATE FUNCTION quote_ident(name) RETURNS text LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO visits VALUES ('quote_ident'); RETURN $1; END$$",
        "CREATE FUNCTION starts_with(name, text) RETURNS boolean LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO visits VALUES ('starts_with'); RETURN false; END$$",
        "CREATE FUNCTION joined(text, regclass) RETURNS text LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO visits VALUES ('||'); RETURN concat($1, $2::text); END$$;"
        "CREATE OPERATOR || (LEFTARG = text, RIGHTARG = regclass, FUNCTION = joined)",
    ],
)
def test_nothing_on_the_search_path_is_run(stranger: str) -> None:
    """Whoever may make functions there gets none of the rights of whoever migrates."""
    execute("CREATE TABLE visits (what text)")
    make_table("guarded")
    functions = audit_functions()
    execute(stranger)
    operation = InstallAuditTriggers("guarded")
    path = row("SELECT current_setting('search_path')")
    apply(operation)
    assert not differences(connection)
    apply(operation, backwards=True)
    drop_unused_functions(connection)
    assert rows("SELECT * FROM visits") == []
    assert audit_functions() == functions
    assert row("SELECT current_setting('search_path')") == path


def test_strangers_operators_decide_nothing() -> None:
    """An equality of varchar that is never true leaves an empty updated_by to be filled."""
    make_table("guarded")
    execute(
        "CREATE FUNCTION never(varchar, varchar) RETURNS boolean IMMUTABLE LANGUAGE sql "
        "AS 'SELECT false';"
        "CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = never)"
    )
    apply(InstallAuditTriggers("guarded", strict=False))
    execute("INSERT INTO guarded (id) VALUES (1)")
    execute("UPDATE guarded SET updated_by = '', updated_at = now() + interval '1 day'")
    assert people_of("guarded") == ("system", "system")


def test_a_table_named_like_the_quotes_of_a_block() -> None:
    """Whatever its name holds, its triggers go on and off."""
    make_table("a$audit$b")
    operation = InstallAuditTriggers("a$audit$b")
    apply(operation)
    assert triggers_on("a$audit$b")
    apply(operation, backwards=True)
    assert not triggers_on("a$audit$b")
