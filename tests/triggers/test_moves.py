"""UPDATEs that move a row to another partition."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction

from django_audit_fields.drift.catalog import differences
from django_audit_fields.drift.repairs import drop_unused_functions, repair
from django_audit_fields.operations import InstallAuditTriggers
from django_audit_fields.triggers.rules import ROLES, Stamping
from django_audit_fields.triggers.sql import install_sql
from tests.triggers.audited_tables import (
    ROLE_TYPES,
    act_as,
    columns_sql,
    execute,
    install,
    people_of,
    row,
    rows,
    stamps_of,
    triggers_on,
)

pytestmark = pytest.mark.django_db

LONG_AGO = dt.datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=dt.UTC)


@pytest.fixture
def partitioned() -> str:
    """Three partitions, one of which has its columns in another order, one a level deeper."""
    execute(
        f"CREATE TABLE moving (id integer, body text, region text, {columns_sql()}) "
        "PARTITION BY LIST (region)"
    )
    execute("CREATE TABLE moving_north PARTITION OF moving FOR VALUES IN ('north')")
    backwards = dict(reversed(ROLE_TYPES.items()))
    execute(f"CREATE TABLE moving_south ({columns_sql(backwards)}, region text, body text, id int)")
    execute("ALTER TABLE moving ATTACH PARTITION moving_south FOR VALUES IN ('south')")
    execute(
        "CREATE TABLE moving_west PARTITION OF moving FOR VALUES IN ('west', 'far west') "
        "PARTITION BY LIST (region)"
    )
    execute("CREATE TABLE moving_near PARTITION OF moving_west FOR VALUES IN ('west')")
    execute("CREATE TABLE moving_far PARTITION OF moving_west FOR VALUES IN ('far west')")
    return "moving"


@pytest.mark.parametrize("nobody", ["fallback", "session_user", "refuse"])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("region", ["south", "west", "far west"])
@pytest.mark.parametrize("stamps", ["", ", updated_at = '2999-01-01', updated_by = 'mover'"])
def test_a_row_that_moves_to_another_partition_keeps_who_created_it(
    partitioned: str, strict: bool, nobody: str, region: str, stamps: str
) -> None:
    """The INSERT trigger of the other partition leaves created_* alone; updated_by is the mover.

    Also when the UPDATE carries all stamps, so that its own trigger has nothing to do.
    """
    install(partitioned, strict=strict, nobody=nobody)
    act_as("maker")
    execute("INSERT INTO moving (id, region) VALUES (1, 'north')")
    before = stamps_of("moving")
    assert (before["created_by"], before["updated_by"]) == ("maker", "maker")
    act_as("mover")
    execute(f"UPDATE moving SET region = %s{stamps}", [region])
    after = stamps_of("moving")
    assert row("SELECT region FROM moving") == (region,)
    assert after["created_at"] == before["created_at"]
    assert (after["created_by"], after["updated_by"]) == ("maker", "mover")
    assert after["updated_at"] > before["updated_at"]


@pytest.mark.parametrize("strict", [False, True])
def test_many_rows_of_many_makers_move_in_one_statement(partitioned: str, strict: bool) -> None:
    """Each row keeps its own maker."""
    install(partitioned, strict=strict)
    for number in range(20):
        act_as(f"maker {number % 7}")
        execute("INSERT INTO moving (id, region) VALUES (%s, 'north')", [number])
    act_as("maker 3")
    execute("UPDATE moving SET region = CASE WHEN id %% 3 = 0 THEN 'south' ELSE 'west' END", [])
    assert rows("SELECT created_by, updated_by FROM moving ORDER BY id") == [
        (f"maker {number % 7}", "maker 3") for number in range(20)
    ]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("created_by", [None, ""])
@pytest.mark.parametrize("created_at", [None, LONG_AGO])
@pytest.mark.parametrize("stamps", ["", ", updated_at = '2999-01-01', updated_by = 'mover'"])
def test_a_legacy_row_without_a_maker_gets_none_by_moving(
    partitioned: str,
    strict: bool,
    created_by: str | None,
    created_at: dt.datetime | None,
    stamps: str,
) -> None:
    """Nobody becomes the maker of a row by moving it."""
    execute(
        "INSERT INTO moving (id, region, created_at, created_by, updated_at, updated_by) "
        "VALUES (1, 'north', %s, %s, '2001-01-01', 'somebody')",
        [created_at, created_by],
    )
    install(partitioned, strict=strict)
    act_as("mover")
    execute(f"UPDATE moving SET region = 'south'{stamps}")
    after = stamps_of("moving")
    assert (after["created_at"], after["created_by"]) == (created_at, created_by)
    assert after["updated_by"] == "mover"


def test_a_row_without_an_updater_keeps_its_maker_when_it_moves() -> None:
    """STRICT, and a table that has no `updated_by` in which the mover could stand."""
    execute(
        "CREATE TABLE moved (k int, created_by text) PARTITION BY LIST (k);"
        "CREATE TABLE moved_1 PARTITION OF moved FOR VALUES IN (1);"
        "CREATE TABLE moved_2 PARTITION OF moved FOR VALUES IN (2)"
    )
    operation = InstallAuditTriggers(
        "moved", created_at=None, updated_at=None, updated_by=None, strict=True
    )
    with connection.schema_editor() as editor:
        operation.database_forwards("triggersapp", editor, None, None)
    act_as("maker")
    execute("INSERT INTO moved (k) VALUES (1)")
    act_as("mover")
    execute("UPDATE moved SET k = 2")
    assert row("SELECT created_by FROM moved") == ("maker",)


MERGE_FORGERIES = {
    "merge": "MERGE INTO moving USING (SELECT 1 AS id, created_at AS a, created_by AS b "
    "FROM moving WHERE id = 1 UNION ALL SELECT 2, created_at, created_by FROM moving WHERE id = 1"
    ") AS source ON moving.id = source.id WHEN MATCHED THEN UPDATE SET body = 'x' "
    "WHEN NOT MATCHED THEN INSERT (id, region, created_at, created_by) VALUES (2, 'south', a, b)",
    "merge that deletes": "MERGE INTO moving USING (SELECT 1 AS id, created_at AS a, created_by "
    "AS b FROM moving WHERE id = 1 UNION ALL SELECT 2, created_at, created_by FROM moving "
    "WHERE id = 1) AS source ON moving.id = source.id WHEN MATCHED THEN DELETE "
    "WHEN NOT MATCHED THEN INSERT (id, region, created_at, created_by) VALUES (2, 'south', a, b)",
    "merge that moves": "MERGE INTO moving USING (SELECT 1 AS id, created_at AS a, created_by "
    "AS b FROM moving WHERE id = 1 UNION ALL SELECT 2, created_at, created_by FROM moving "
    "WHERE id = 1) AS source ON moving.id = source.id "
    "WHEN MATCHED THEN UPDATE SET region = 'far west' "
    "WHEN NOT MATCHED THEN INSERT (id, region, created_at, created_by) VALUES (2, 'south', a, b)",
}


def forge(partitioned: str, sql: str) -> None:
    execute(f"CREATE UNIQUE INDEX ON {partitioned} (id, region)")
    execute(sql)


@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize("trigger", ["a BEFORE INSERT", "~~~ BEFORE UPDATE"])
def test_a_row_that_other_triggers_change_on_its_way_keeps_its_maker(
    partitioned: str, has_key: bool, trigger: str
) -> None:
    """What they change is not what identifies the row; with a key, no other row passes for it."""
    if has_key:
        execute("ALTER TABLE moving ADD PRIMARY KEY (id, region)")
    install(partitioned, strict=True)
    execute(
        "CREATE FUNCTION write_body() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.body := clock_timestamp()::text; RETURN NEW; END$$"
    )
    name, _, event = trigger.partition(" ")
    execute(f'CREATE TRIGGER "{name}" {event} ON moving FOR EACH ROW EXECUTE FUNCTION write_body()')
    act_as("victim")
    execute("INSERT INTO moving (id, region) VALUES (1, 'north')")
    act_as("mover")
    execute("UPDATE moving SET region = 'west'")
    assert people_of("moving", 1) == ("victim", "mover")


def test_strict_a_row_with_json_that_jsonb_refuses_moves(partitioned: str) -> None:
    """What travels with the word is text: PostgreSQL's `json` holds what its `jsonb` cannot."""
    execute('ALTER TABLE moving ADD facts json DEFAULT \'{"a": "\\u0000"}\'')
    install(partitioned, strict=True)
    act_as("maker")
    execute("INSERT INTO moving (id, region) VALUES (1, 'north')")
    act_as("mover")
    execute("UPDATE moving SET region = 'west'")
    assert people_of("moving", 1) == ("maker", "mover")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("nobody", ["fallback", "refuse"])
@pytest.mark.parametrize("actor", [None, "7"])
@pytest.mark.parametrize("column", ROLE_TYPES)
def test_under_preserve_a_row_moves_as_it_is(
    partitioned: str, strict: bool, nobody: str, actor: str | None, column: str
) -> None:
    """An UPDATE fills NULL with the old value; where that is NULL as well, moving fills nothing."""
    whole = dict(zip(ROLE_TYPES, (LONG_AGO, LONG_AGO, "maker", "changer"), strict=True))
    lacking = {**whole, column: None}
    for number, values in ((1, whole), (2, lacking)):
        execute(
            f"INSERT INTO moving (id, region, {', '.join(values)}) "
            "VALUES (%s, 'north', %s, %s, %s, %s)",
            [number, *values.values()],
        )
    install(partitioned, strict=strict, nobody=nobody)
    act_as(actor, preserve=True)
    execute(f"UPDATE moving SET region = 'south', {column} = NULL")
    assert stamps_of("moving", 1) == whole
    assert stamps_of("moving", 2) == lacking
    act_as("7", preserve=True)
    execute("INSERT INTO moving (id, region) VALUES (3, 'west')")
    assert people_of("moving", 3) == ("7", "7")


def test_what_other_triggers_do_meanwhile_comes_not_between(partitioned: str) -> None:
    """STRICT: neighbours that move, change and insert rows of the same table while a row moves."""
    install(partitioned, strict=True)
    act_as("victim")
    execute("INSERT INTO moving (id, region) VALUES (1, 'north'), (10, 'north'), (20, 'south')")
    execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF pg_trigger_depth() = 1 THEN "
        "UPDATE moving SET region = CASE region WHEN 'west' THEN 'north' ELSE 'west' END "
        "WHERE id = 10; "
        "UPDATE moving SET body = 'y' WHERE id = 20; "
        "INSERT INTO moving (id, region) VALUES (30, 'south'); "
        "END IF; RETURN COALESCE(NEW, OLD); END $$"
    )
    for event in ("UPDATE", "DELETE", "INSERT"):
        execute(
            f"CREATE TRIGGER meddle_{event} BEFORE {event} ON moving "
            "FOR EACH ROW EXECUTE FUNCTION meddle()"
        )
    act_as("mover")
    execute("UPDATE moving SET region = 'far west' WHERE id = 1")
    assert row("SELECT region FROM moving WHERE id = 1") == ("far west",)
    assert people_of("moving", 1) == ("victim", "mover")
    assert people_of("moving", 10) == people_of("moving", 20) == ("victim", "mover")
    assert rows("SELECT created_by FROM moving WHERE id = 30") == [("mover",)] * 3


@pytest.fixture
def partitions_elsewhere(partitioned: str) -> str:
    """The table's triggers, and then a partition of another schema and one that was a table."""
    install(partitioned, strict=True)
    execute("CREATE SCHEMA elsewhere")
    execute("CREATE TABLE elsewhere.moving_east PARTITION OF moving FOR VALUES IN ('east')")
    execute("CREATE TABLE once_plain (LIKE moving)")
    execute("ALTER TABLE moving ATTACH PARTITION once_plain FOR VALUES IN ('plain')")
    return partitioned


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (start, end)
        for start in ("east", "plain", "north")
        for end in ("east", "plain", "far west")
        if start != end
    ],
)
def test_partitions_made_later_pass_rows_on(
    partitions_elsewhere: str, start: str, end: str
) -> None:
    """From and to each of them; nothing differs from the code."""
    act_as("victim")
    execute("INSERT INTO moving (id, region) VALUES (1, %s)", [start])
    act_as("mover")
    execute("UPDATE moving SET region = %s", [end])
    assert people_of("moving", 1) == ("victim", "mover")
    assert differences(connection) == []


def test_migrate_gives_partitioned_tables_their_function(partitioned: str) -> None:
    """A model's migration cannot know of partitions; rows that move keep their maker."""
    stamping = Stamping.of({role: role for role in ROLES}, strict=True)
    execute(install_sql(partitioned, stamping))
    assert set(triggers_on(partitioned).values()) == {"audit_fields_stamp"}
    call_command("migrate", verbosity=0)
    assert set(triggers_on(partitioned).values()) == {"audit_fields_stamp_partitions"}
    assert differences(connection) == []
    act_as("maker")
    execute("INSERT INTO moving (id, region) VALUES (1, 'north')")
    act_as("mover")
    execute("UPDATE moving SET region = 'south'")
    assert people_of("moving", 1) == ("maker", "mover")


def test_a_table_that_became_a_partition_by_itself(partitioned: str) -> None:
    """Each partition with triggers of its own: rows keep their maker; check asks for the
    function of partitions."""
    for name in ("moving_north", "moving_south"):
        execute(f"ALTER TABLE moving DETACH PARTITION {name}")
        install(name, strict=True)
    assert differences(connection) == []
    execute("ALTER TABLE moving ATTACH PARTITION moving_north FOR VALUES IN ('north')")
    execute("ALTER TABLE moving ATTACH PARTITION moving_south FOR VALUES IN ('south')")
    found = {(found.table, found.kind) for found in differences(connection)}
    assert found == {
        (f"public.{name}", kind)
        for name in ("moving_north", "moving_south")
        for kind in ("definition",)
    }
    act_as("victim")
    execute("INSERT INTO moving (id, region) VALUES (1, 'north')")
    repair(connection)
    assert differences(connection) == []
    act_as("mover")
    execute("UPDATE moving SET region = 'south'")
    assert people_of("moving", 1) == ("victim", "mover")
    execute("ALTER TABLE moving DETACH PARTITION moving_north")
    assert {found.table for found in differences(connection)} == {"public.moving_north"}
    repair(connection)
    assert differences(connection) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("isolation", "expected"),
    [
        ("READ COMMITTED", ("south", "victim", "second")),
        ("REPEATABLE READ", ("north", "victim", "first")),
    ],
)
def test_a_row_that_waited_for_another_change_moves_with_its_maker(
    isolation: str, expected: tuple[str, str, str]
) -> None:
    """STRICT: the version that leaves is the one that the other transaction left, or none does."""
    parameters = connection.get_connection_params()
    for name in ("context", "cursor_factory"):
        parameters.pop(name, None)
    execute(
        f"CREATE TABLE moving (id int, region text, {columns_sql()}) PARTITION BY LIST (region)"
    )
    try:
        for region in ("north", "south"):
            execute(f"CREATE TABLE moving_{region} PARTITION OF moving FOR VALUES IN ('{region}')")
        install("moving", strict=True)
        with transaction.atomic():
            act_as("victim")
            execute("INSERT INTO moving (id, region) VALUES (1, 'north')")
        with (
            psycopg.connect(**parameters) as first,
            psycopg.connect(**parameters) as second,
            ThreadPoolExecutor(1) as pool,
        ):
            first.execute("SET LOCAL app.\"current_user\" TO 'first'")
            first.execute("UPDATE moving SET id = 2")
            second.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            second.execute("SET LOCAL app.\"current_user\" TO 'second'")
            waiting = pool.submit(second.execute, "UPDATE moving SET region = 'south'")
            wait_until_blocked(second.info.backend_pid)
            first.commit()
            if isolation == "REPEATABLE READ":
                with pytest.raises(psycopg.errors.SerializationFailure):
                    waiting.result()
                second.rollback()
            else:
                waiting.result()
                second.commit()
        found = row("SELECT region, created_by, updated_by FROM moving WHERE id = 2")
        assert found == expected
    finally:
        execute("DROP TABLE moving")
        drop_unused_functions(connection)


def wait_until_blocked(process: int) -> None:
    end = time.monotonic() + 20
    while row("SELECT cardinality(pg_blocking_pids(%s))", [process]) == (0,):
        assert time.monotonic() < end, "the second transaction never waited for the first"
