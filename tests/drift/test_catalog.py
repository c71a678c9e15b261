"""The comparison of a database with the code: what it finds, what it leaves, what repair does."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from django.core.checks import Tags, Warning, run_checks
from django.core.management import call_command
from django.db import connection, migrations
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_audit_fields.drift.catalog import coverage, differences
from django_audit_fields.drift.installed import (
    COLUMNS_QUERY,
    FUNCTIONS_QUERY,
    LATER_TRIGGERS_QUERY,
    TRIGGERS_QUERY,
)
from django_audit_fields.drift.repairs import reinstall, repair
from django_audit_fields.operations import InstallAuditTriggers, RemoveAuditTriggers
from django_audit_fields.triggers.rules import Stamping
from django_audit_fields.triggers.sql import install_sql
from tests.testapp.models import Item
from tests.triggers.audited_tables import (
    ROLE_TYPES,
    act_as,
    audit_functions,
    execute,
    install,
    make_table,
    people_of,
    row,
    rows,
    triggers_on,
)
from tests.triggers.triggersapp.models import Note

pytestmark = pytest.mark.django_db

NOTE = "triggersapp_note"
INSERT, UPDATE = "~~audit_fields_insert", "~~audit_fields_update"
ALTERATIONS = {
    "missing": [f'DROP TRIGGER "{INSERT}" ON {NOTE}'],
    "missing, both": [f'DROP TRIGGER "{name}" ON {NOTE}' for name in (INSERT, UPDATE)],
    "disabled": [f'ALTER TABLE {NOTE} DISABLE TRIGGER "{UPDATE}"'],
    "disabled, all": [f"ALTER TABLE {NOTE} DISABLE TRIGGER USER"],
    "disabled, for replicas only": [f'ALTER TABLE {NOTE} ENABLE REPLICA TRIGGER "{UPDATE}"'],
    "definition, no condition": [
        f'CREATE OR REPLACE TRIGGER "{INSERT}" BEFORE INSERT ON {NOTE} FOR EACH ROW '
        "EXECUTE FUNCTION audit_fields_stamp('system', 'fallback', 'lenient')"
    ],
    "definition, another condition": [
        f'CREATE OR REPLACE TRIGGER "{INSERT}" BEFORE INSERT ON {NOTE} FOR EACH ROW '
        "WHEN (new.created_by IS NULL) "
        "EXECUTE FUNCTION audit_fields_stamp('system', 'fallback', 'lenient')"
    ],
    "definition, another label": [
        f'CREATE OR REPLACE TRIGGER "{UPDATE}" BEFORE UPDATE ON {NOTE} FOR EACH ROW '
        "EXECUTE FUNCTION audit_fields_stamp('somebody', 'fallback', 'lenient')"
    ],
    "definition, some columns only": [
        f'CREATE OR REPLACE TRIGGER "{UPDATE}" BEFORE UPDATE OF text ON {NOTE} FOR EACH ROW '
        "EXECUTE FUNCTION audit_fields_stamp('system', 'fallback', 'lenient')"
    ],
    "definition, another function": [
        "CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        f'CREATE OR REPLACE TRIGGER "{UPDATE}" BEFORE UPDATE ON {NOTE} FOR EACH ROW '
        "EXECUTE FUNCTION harmless()",
    ],
    "function": [
        "CREATE OR REPLACE FUNCTION audit_fields_stamp() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'"
    ],
    "function, with its owner's rights": ["ALTER FUNCTION audit_fields_stamp() SECURITY DEFINER"],
    "function, with a search path": [
        "ALTER FUNCTION audit_fields_stamp() SET search_path = pg_catalog"
    ],
    "version, of the function": [
        "COMMENT ON FUNCTION audit_fields_stamp() IS 'django_audit_fields 0 0'"
    ],
    "version, no comment": [f'COMMENT ON TRIGGER "{INSERT}" ON {NOTE} IS NULL'],
    "unexpected": [
        f"CREATE TRIGGER another BEFORE INSERT ON {NOTE} FOR EACH ROW "
        "EXECUTE FUNCTION audit_fields_stamp('somebody', 'fallback', 'strict')"
    ],
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_finds_and_repairs(alteration: str) -> None:
    """Each way of falling behind is named once, repaired once, and rows are stamped again."""
    assert differences(connection) == []
    for statement in ALTERATIONS[alteration]:
        execute(statement)
    kind, _, _ = alteration.partition(",")
    found = differences(connection)
    assert {difference.kind for difference in found} == {kind}
    assert {difference.table for difference in found} <= {f"public.{NOTE}", *all_tables()}
    assert all(str(difference).startswith(f"{difference.table}: ") for difference in found)
    repair(connection)
    assert differences(connection) == []
    act_as("7")
    execute(f"INSERT INTO {NOTE} (text, created_by) VALUES ('x', NULL)")
    execute(f"UPDATE {NOTE} SET text = 'y'")
    assert row(f"SELECT created_by, updated_by FROM {NOTE}") == ("7", "7")
    assert repair(connection) == []


def all_tables() -> set[str]:
    return {entry.table.label for entry in coverage(connection)}


def test_a_changed_setting_is_a_difference_of_triggers_and_defaults() -> None:
    """Each setting; repair puts the new rule in force, on models' tables with their defaults."""
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    for settings, act, expected in (
        ({"FALLBACK": "o'cron %s \\"}, None, "o'cron %s \\"),
        ({"NOBODY": "session_user"}, None, row("SELECT session_user::text")[0]),
        ({}, None, "system"),
        ({"STRICT": True}, "7", "7"),
    ):
        with override_settings(AUDIT_FIELDS=settings):
            kinds = {difference.kind for difference in differences(connection)}
            expects_defaults = settings != {"STRICT": True}
            assert kinds == ({"definition", "default"} if expects_defaults else {"definition"})
            repair(connection)
            assert differences(connection) == []
            act_as(act)
            execute(f"INSERT INTO {Item._meta.db_table} (name, amount) VALUES ('x', 1)")
            execute(
                f"INSERT INTO {Item._meta.db_table} (name, amount, created_by) VALUES ('x', 1, '')"
            )
            assert set(Item.objects.values_list("created_by", flat=True)) == {expected}
            execute(f"DELETE FROM {Item._meta.db_table}")


def test_the_reading_of_defaults_covers_each_kind_of_nobody() -> None:
    """What PostgreSQL prints of a default is told from another one, and only from another one."""
    for nobody in ("fallback", "session_user", "refuse"):
        with override_settings(AUDIT_FIELDS={"NOBODY": nobody}):
            repair(connection)
            assert differences(connection) == []
            execute("ALTER TABLE testapp_item ALTER created_by SET DEFAULT 'x'")
            execute("ALTER TABLE testapp_item ALTER updated_at DROP DEFAULT")
            found = [(found.table, found.kind, found.message) for found in differences(connection)]
            assert found == [
                ("public.testapp_item", "default", "column created_by has another default"),
                ("public.testapp_item", "default", "column updated_at has another default"),
            ] or found == [
                ("public.testapp_item", "default", "column updated_at has another default"),
                ("public.testapp_item", "default", "column created_by has another default"),
            ]
            repair(connection)
            assert differences(connection) == []


def test_legacy_tables_keep_their_rules_through_repair() -> None:
    """What the operation said is in the comment; without comments, what can be told is kept."""
    make_table("legacy", types={"maker": "text", "changer": "text"})
    install(
        "legacy",
        columns={"created_by": "maker", "updated_by": "changer"},
        strict=True,
        nobody="refuse",
    )
    assert differences(connection) == []
    with override_settings(AUDIT_FIELDS={"FALLBACK": "cron"}):
        repair(connection)
        assert differences(connection) == []
    for name in (INSERT, UPDATE):
        execute(f'COMMENT ON TRIGGER "{name}" ON legacy IS NULL')
    execute(f'DROP TRIGGER "{UPDATE}" ON legacy')
    repair(connection)
    assert differences(connection) == []
    (entry,) = (entry for entry in coverage(connection) if entry.table.name == "legacy")
    assert entry.stamping
    assert (entry.stamping.strict, entry.stamping.nobody) == (True, "refuse")
    act_as("7")
    execute("INSERT INTO legacy (id, maker) VALUES (1, 'x')")
    assert row("SELECT maker, changer FROM legacy") == ("7", "7")


def test_a_column_that_was_renamed_is_named_and_left_to_people() -> None:
    """Nobody can tell which column is meant; other tables are repaired all the same."""
    make_table("legacy")
    install("legacy")
    execute("ALTER TABLE legacy RENAME created_by TO maker")
    execute(f'DROP TRIGGER "{INSERT}" ON {NOTE}')
    kinds = {(found.table, found.kind) for found in differences(connection)}
    assert ("public.legacy", "columns") in kinds
    assert (f"public.{NOTE}", "missing") in kinds
    repair(connection)
    assert {found.table for found in differences(connection)} == {"public.legacy"}


@pytest.fixture
def applied_operation(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An applied migration of the test app, as if its file were there."""
    from django.db.migrations.loader import MigrationLoader

    load = MigrationLoader.load_disk
    extra: dict[tuple[str, str], migrations.Migration] = {}

    def load_disk(self: MigrationLoader) -> None:
        load(self)
        self.disk_migrations.update(extra)

    monkeypatch.setattr(MigrationLoader, "load_disk", load_disk)

    def applied(name: str, after: str, *operations: Any) -> None:
        migration = migrations.Migration(name, "triggersapp")
        migration.operations = list(operations)
        migration.dependencies = [("triggersapp", after)]
        extra["triggersapp", name] = migration
        MigrationRecorder(connection).record_applied("triggersapp", name)

    return applied


def test_operations_of_applied_migrations_are_expected(applied_operation: Any) -> None:
    """A legacy table that lost both triggers is missed, until a migration took them off."""
    make_table("legacy")
    install("legacy", strict=True)
    nested = migrations.SeparateDatabaseAndState(
        database_operations=[InstallAuditTriggers("legacy", strict=True)]
    )
    applied_operation("0002_audit_legacy", "0001_initial", nested)
    assert differences(connection) == []
    for name in (INSERT, UPDATE):
        execute(f'DROP TRIGGER "{name}" ON legacy')
    assert [(found.table, found.kind) for found in differences(connection)] == [
        ("public.legacy", "missing")
    ] * 2
    repair(connection)
    act_as("7")
    execute("INSERT INTO legacy (id, created_by) VALUES (1, 'x')")
    assert people_of("legacy") == ("7", "7")
    for name in (INSERT, UPDATE):
        execute(f'DROP TRIGGER "{name}" ON legacy')
    applied_operation("0003_unaudit", "0002_audit_legacy", RemoveAuditTriggers("legacy"))
    assert differences(connection) == []


def test_partitions_that_were_switched_off_are_found() -> None:
    """A partition's copy of a trigger can be disabled by itself; repair enables it there."""
    make_table("parted", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    install("parted")
    execute(f'ALTER TABLE parted_1 DISABLE TRIGGER "{INSERT}"')
    assert [str(found) for found in differences(connection)] == [
        f"public.parted: trigger {INSERT} is disabled on partition public.parted_1"
    ]
    repair(connection)
    assert differences(connection) == []
    act_as("7")
    execute("INSERT INTO parted (id) VALUES (1)")
    assert people_of("parted") == ("7", "7")


def make_tenant(schema: str) -> None:
    execute(f"CREATE SCHEMA {schema}")
    execute(f"SET LOCAL search_path TO {schema}, public")
    with connection.schema_editor() as editor:
        editor.create_model(Note)
    execute("SET LOCAL search_path TO public")


def test_each_tenant_has_functions_of_its_own() -> None:
    """Two schemas with the same tables: found whatever the search path, repaired where they are."""
    make_tenant("one")
    make_tenant("two")
    for schema in ("one", "two"):
        assert audit_functions(schema) == ["audit_fields_stamp"]
    for path in ("public", "one, public", "two", "''"):
        execute(f"SET LOCAL search_path TO {path}")
        labels = {entry.table.label: entry.status for entry in coverage(connection)}
        assert labels["one.triggersapp_note"] == labels["two.triggersapp_note"] == "ok"
        execute(f'DROP TRIGGER "{INSERT}" ON two.{NOTE}')
        execute(f'DROP TRIGGER "{UPDATE}" ON two.{NOTE}')
        assert {found.table for found in differences(connection)} == {f"two.{NOTE}"}
        repair(connection)
        assert differences(connection) == []
        execute("SET LOCAL search_path TO public")
    execute(
        "CREATE OR REPLACE FUNCTION two.audit_fields_stamp() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RAISE NULL_VALUE_NOT_ALLOWED; END'"
    )
    act_as("7")
    execute(f"INSERT INTO one.{NOTE} (text) VALUES ('x')")
    assert row(f"SELECT created_by FROM one.{NOTE}") == ("7",)
    execute("DROP SCHEMA two CASCADE")
    assert differences(connection) == []


def test_a_tenant_that_lost_every_trigger_is_found() -> None:
    """Its record of migrations and its defaults tell it from a backup, which has no such record."""
    item = Item._meta.db_table
    execute("CREATE SCHEMA one; SET LOCAL search_path TO one, public")
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    execute("SET LOCAL search_path TO public")
    execute(f"CREATE SCHEMA backup; CREATE TABLE backup.{item} (LIKE {item} INCLUDING DEFAULTS)")
    execute("CREATE TABLE one.django_migrations (LIKE django_migrations)")
    execute("DROP FUNCTION one.audit_fields_stamp() CASCADE")
    assert [str(found) for found in differences(connection)] == [
        f"one.{item}: trigger {name} is missing" for name in (INSERT, UPDATE)
    ]
    repair(connection)
    assert differences(connection) == []


@pytest.mark.parametrize("nobody", ["fallback", "session_user", "refuse"])
@pytest.mark.parametrize("strict", [False, True])
def test_columns_of_every_type_are_compared(nobody: str, strict: bool) -> None:
    """PostgreSQL shows a condition with casts of its own."""
    execute("CREATE DOMAIN person AS varchar(30); CREATE DOMAIN moment AS timestamptz(3)")
    for labels in ("text", "char(9)", "person", "varchar(9)"):
        for number, times in enumerate(("timestamp", "timestamp(0)", "moment")):
            name = f"typed_{labels[:4]}_{number}"
            types = {"created_at": times, "updated_at": "timestamptz"}
            make_table(name, types=types | {"created_by": labels, "updated_by": "text"})
            install(name, nobody=nobody, strict=strict)
    assert differences(connection) == []


#: A part of the condition, and what would let a row pass that it should not.
WEAKENINGS = {
    "(new.created_at = old.created_at)": "(new.created_at::date = old.created_at::date)",
    "(new.updated_by)::text": "(new.updated_by)::varchar(1)",
    "(new.updated_at > old.updated_at) AND": "(new.updated_at > old.updated_at) OR",
}


@pytest.mark.parametrize("part", WEAKENINGS)
def test_a_cast_in_the_condition_is_found(part: str) -> None:
    """What the cast cuts off would not be compared."""
    query = (
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = %s AND tgrelid = %s::regclass"
    )
    definition = row(query, [UPDATE, NOTE])[0]
    assert part in definition
    changed = definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER")
    execute(changed.replace(part, WEAKENINGS[part]))
    assert [found.kind for found in differences(connection)] == ["definition"]


def test_a_shared_function_is_repaired_through_whichever_table_can_be() -> None:
    """The first table has lost a column; the function is put right all the same."""
    for name in ("aaa", "bbb"):
        make_table(name)
    execute(
        "CREATE SCHEMA apart; ALTER TABLE aaa SET SCHEMA apart; ALTER TABLE bbb SET SCHEMA apart"
    )
    for name in ("aaa", "bbb"):
        install(f"apart.{name}", strict=True)
    execute(
        "CREATE OR REPLACE FUNCTION apart.audit_fields_stamp() RETURNS trigger LANGUAGE plpgsql "
        "AS '-- Put there by django_audit_fields;\nBEGIN RETURN NEW; END'"
    )
    execute("ALTER TABLE apart.aaa RENAME created_by TO creator")
    repair(connection)
    act_as("forger")
    execute("INSERT INTO apart.bbb (id, created_by, updated_by) VALUES (1, 'victim', 'victim')")
    assert people_of("apart.bbb") == ("forger", "forger")


def test_a_later_trigger_on_one_partition_is_named() -> None:
    """And so is the partition."""
    make_table("parted", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    install("parted")
    execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        'CREATE TRIGGER "~~~" BEFORE INSERT ON parted_1 FOR EACH ROW EXECUTE FUNCTION late()'
    )
    assert [str(found) for found in differences(connection)] == [
        "public.parted: trigger ~~~ on partition public.parted_1 fires after those of the package"
    ]
    (left,) = repair(connection)
    assert 'ON "public"."parted_1"' in str(left.cure)


@pytest.mark.parametrize("fallback", ["via EXECUTE FUNCTION x", "a FOR EACH ROW b", "x\\y 'z', 'ü"])
def test_a_fallback_may_read_like_a_definition(fallback: str) -> None:
    """Settings are compared, and kept by a release, whatever words they are made of."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": fallback}):
        make_table("worded")
        install("worded", columns={"created_by": "created_by", "updated_at": "updated_at"})
        assert [str(d) for d in differences(connection) if "worded" in d.table] == []
        execute(f'COMMENT ON TRIGGER "{INSERT}" ON worded IS NULL')
    reinstall(connection)
    execute("INSERT INTO worded (id) VALUES (1)")
    assert row("SELECT created_by FROM worded") == (fallback,)


def test_a_release_leaves_switched_off_what_somebody_switched_off() -> None:
    """A release is no reason for a trigger to fire again; `audit_triggers install` is."""
    make_table("parted", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    make_table("lone")
    for name in ("parted", "lone"):
        install(name)
        execute(f'COMMENT ON TRIGGER "{INSERT}" ON {name} IS NULL')
    execute(f'ALTER TABLE parted_1 DISABLE TRIGGER "{INSERT}"')
    execute(f'ALTER TABLE lone ENABLE REPLICA TRIGGER "{INSERT}"')
    execute(f'ALTER TABLE lone ENABLE ALWAYS TRIGGER "{UPDATE}"')
    query = (
        "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger "
        "WHERE tgrelid::regclass::text IN ('parted', 'parted_1', 'lone') ORDER BY 1, 2"
    )
    before = rows(query)
    assert {switch for *_, switch in before} == {"O", "D", "R", "A"}
    reinstall(connection)
    assert rows(query) == before
    assert {found.kind for found in differences(connection)} == {"disabled"}
    repair(connection)
    assert differences(connection) == []


@pytest.mark.parametrize("place", ["switched", "switched_1"])
@pytest.mark.parametrize("switch", ["DISABLE", "ENABLE REPLICA", "ENABLE ALWAYS"])
def test_a_trigger_that_was_switched_is_found_and_put_back(switch: str, place: str) -> None:
    """On the table and on one partition; ALWAYS would stamp rows that a publisher has stamped."""
    make_table("switched", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE switched_1 PARTITION OF switched FOR VALUES FROM (0) TO (10)")
    install("switched")
    assert differences(connection) == []
    execute(f'ALTER TABLE ONLY {place} {switch} TRIGGER "{INSERT}"')
    words = "is disabled" if switch == "DISABLE" else f"({switch})"
    found = [(entry.kind, words in str(entry)) for entry in differences(connection)]
    assert found == [("disabled", True)]
    repair(connection)
    assert differences(connection) == []
    switches = rows(
        "SELECT DISTINCT tgenabled FROM pg_trigger "
        "WHERE tgrelid::regclass::text IN ('switched', 'switched_1')"
    )
    assert switches == [("O",)]


def test_dropping_unused_functions_reaches_every_schema() -> None:
    """A tenant's functions go with its last table, the others' stay."""
    make_tenant("one")
    make_tenant("two")
    execute(f"DROP TABLE one.{NOTE}")
    call_command("migrate", verbosity=0)
    assert audit_functions("one") == []
    assert audit_functions("two") == ["audit_fields_stamp"]


def test_coverage_shows_tables_that_nothing_covers() -> None:
    """Legacy tables with a pair of the columns; neither partitions nor tables without."""
    make_table("uncovered", types={"created_by": "text", "updated_by": "text"})
    make_table("unrelated", types={"created_at": "timestamptz"})
    make_table("parted", suffix="PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    statuses = {entry.table.name: entry.status for entry in coverage(connection)}
    assert statuses["uncovered"] == "uncovered"
    assert statuses["parted"] == "uncovered"
    assert statuses[NOTE] == "ok"
    assert "unrelated" not in statuses
    assert "parted_1" not in statuses
    assert differences(connection) == []


def test_a_table_of_a_models_name_elsewhere_is_not_its_table() -> None:
    """A copy in a schema without a function of ours is nobody's; so is one without the columns."""
    execute("CREATE SCHEMA backup")
    execute(f"CREATE TABLE backup.{NOTE} AS SELECT * FROM {NOTE}")
    make_tenant("one")
    execute(f"DROP TABLE one.{NOTE}")
    execute(f"CREATE TABLE one.{NOTE} (created_at date, updated_at date)")
    assert differences(connection) == []


def test_parameters_may_be_bound_by_the_server() -> None:
    """The questions to the catalog are typed for `server_side_binding`, too."""
    with psycopg.connect(**plain_parameters()) as plain:
        queries = (FUNCTIONS_QUERY, TRIGGERS_QUERY, LATER_TRIGGERS_QUERY, COLUMNS_QUERY)
        for query in queries:
            plain.execute(
                query,
                {
                    "names": ["created_by"],
                    "prefix": "audit_fields_",
                    "mark": "x",
                    "ours": "x",
                    "tables": [1, 99999, 2**31],
                },
            )


def plain_parameters() -> dict[str, Any]:
    parameters = connection.get_connection_params()
    return {
        name: value
        for name, value in parameters.items()
        if name not in ("context", "cursor_factory")
    }


class NotMigratedHere:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "triggersapp"


@override_settings(DATABASE_ROUTERS=[NotMigratedHere()])
def test_nothing_is_expected_where_a_router_keeps_models_away() -> None:
    """Each alias is compared with the models that are migrated on it."""
    execute(f'DROP TRIGGER "{INSERT}" ON {NOTE}')
    execute(f'DROP TRIGGER "{UPDATE}" ON {NOTE}')
    assert differences(connection) == []
    with override_settings(DATABASE_ROUTERS=[]):
        assert {found.table for found in differences(connection)} == {f"public.{NOTE}"}


def test_a_thousand_tables_take_a_moment_and_as_many_queries_as_one() -> None:
    """Under two seconds, in a constant number of queries."""

    def measure() -> tuple[float, int]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            start = time.perf_counter()
            assert differences(connection) == []
            return time.perf_counter() - start, len(captured)

    _, few = measure()
    types = ", ".join(f"{name} {kind}" for name, kind in ROLE_TYPES.items())
    stamping = Stamping.of({role: role for role in ROLE_TYPES})
    with connection.cursor() as cursor:
        for number in range(1000):
            cursor.execute(f"CREATE TABLE many_{number} (id int, {types})")
            cursor.execute(install_sql(f"many_{number}", stamping))
    elapsed, many = measure()
    assert many == few
    assert elapsed < 2


def test_the_system_check_warns_of_what_differs() -> None:
    """Only for databases that are named; nothing where nothing differs."""
    assert run_checks(tags=[Tags.database], databases=["default"]) == []
    execute(f'DROP TRIGGER "{INSERT}" ON {NOTE}')
    assert run_checks(tags=[Tags.database], databases=["default"]) == [
        Warning(
            f"public.{NOTE}: trigger {INSERT} is missing.",
            hint="Run `manage.py audit_triggers install --database default`.",
            id="django_audit_fields.W010",
        )
    ]
    assert run_checks(tags=[Tags.database], databases=[]) == []
    assert set(triggers_on(NOTE)) == {UPDATE}


def test_the_system_check_names_what_people_have_to_do() -> None:
    """`audit_triggers install` cannot: a column that is gone, another trigger's name."""

    def hints() -> list[str]:
        return [
            str(found.hint) for found in run_checks(tags=[Tags.database], databases=["default"])
        ]

    make_table("legacy")
    install("legacy")
    execute("ALTER TABLE legacy RENAME created_by TO maker")
    assert hints() == [
        "Name the column again as it was, or have a migration remove the triggers and add them "
        "anew."
    ]
    execute("ALTER TABLE legacy RENAME maker TO created_by")
    execute(
        'CREATE TRIGGER "~~~" BEFORE UPDATE ON legacy FOR EACH ROW '
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    assert hints() == ["Triggers fire in the order of their names: ALTER TRIGGER … RENAME TO …"]
    execute('ALTER TRIGGER "~~~" ON legacy RENAME TO first')
    assert hints() == []


def test_a_server_that_takes_no_writes_is_compared_by_what_it_says() -> None:
    """A standby, say: without a table to try on, arguments and comments still tell of a change."""
    execute("SET TRANSACTION READ ONLY")
    assert differences(connection) == []
    with override_settings(AUDIT_FIELDS={"FALLBACK": "nobody"}):
        kinds = {found.kind for found in differences(connection) if NOTE in found.table}
    assert kinds == {"definition"}
