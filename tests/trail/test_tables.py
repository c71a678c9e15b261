"""Tables that no model owns, tables with partitions, and another tenant's."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, NotSupportedError, ProgrammingError, connection, transaction
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter

from django_audit_fields.operations import InstallAuditTrail, RemoveAuditTrail
from django_audit_fields.trail import maintain, trail_differences
from tests.trail.recorded import Recorded, execute
from tests.trail.trailapp.models import Gauge, Reading

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def run(operation, *, backwards=False):
    state = ProjectState()
    with connection.schema_editor() as editor:
        move = operation.database_backwards if backwards else operation.database_forwards
        move("trailapp", editor, state, state)


def triggers_of(table):
    return [
        name
        for (name,) in execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass"
            " AND tgname LIKE '!audit%%' ORDER BY 1",
            [table],
        )
    ]


@pytest.fixture
def legacy(db):
    execute('CREATE TABLE legacy ("the key" int PRIMARY KEY, note text, "pass%word" text)')


def test_an_operation_records_a_table_and_stops_it(legacy):
    operation = InstallAuditTrail("legacy", exclude=["note"], mask=["pass%word"])
    run(operation)
    recorded = Recorded()
    execute("INSERT INTO legacy VALUES (1, 'x', 'secret')")
    [event] = recorded()
    assert event.told == ("insert", "1")
    assert event.after == {"the key": 1, "pass%word": "***"}
    run(operation, backwards=True)
    assert triggers_of("legacy") == []
    execute("DELETE FROM legacy")
    assert len(recorded()) == 1


def test_an_operation_takes_the_key_that_it_is_told(db):
    execute("CREATE TABLE legacy (a int NOT NULL, b text NOT NULL)")
    run(InstallAuditTrail("legacy", key=["b", "a"], level="statement"))
    recorded = Recorded()
    execute("INSERT INTO legacy VALUES (1, 'x')")
    assert recorded.told == [("insert", '["x", 1]')]


def test_the_other_level_is_replaced(legacy):
    run(InstallAuditTrail("legacy"))
    run(InstallAuditTrail("legacy", level="statement"))
    recorded = Recorded()
    execute("INSERT INTO legacy VALUES (1, 'x', 'secret')")
    assert len(recorded()) == 1
    assert triggers_of("legacy") == [
        "!audit_trail_delete",
        "!audit_trail_insert",
        "!audit_trail_truncate",
        "!audit_trail_update",
    ]
    run(RemoveAuditTrail("legacy", level="statement"))
    assert triggers_of("legacy") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "nowhere"}, "no table nowhere"),
        ({"table": "keyless"}, "no primary key"),
        ({"table": "keyless", "key": "a"}, "may be NULL"),
        ({"table": "keyless", "key": "z"}, "no column z"),
        ({"table": "legacy", "exclude": ["z"]}, "no column z"),
        ({"table": "legacy", "mask": ["z"]}, "no column z"),
        ({"table": "legacy", "mask": ["the key"]}, "the key is of the key"),
    ],
)
def test_what_a_table_cannot_have_is_refused(legacy, arguments, message):
    execute("CREATE TABLE keyless (a int)")
    with pytest.raises(ProgrammingError, match=message):
        run(InstallAuditTrail(**arguments))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"table": ""}, TypeError),
        ({"table": 5}, TypeError),
        ({"table": "t", "schema": ""}, TypeError),
        ({"table": "t", "key": []}, ValueError),
        ({"table": "t", "key": [5]}, TypeError),
        ({"table": "t", "exclude": "text"}, TypeError),
        ({"table": "t", "mask": "text"}, TypeError),
        ({"table": "t", "reason": "yes"}, TypeError),
        ({"table": "t", "level": "table"}, ValueError),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, error):
    with pytest.raises(error):
        InstallAuditTrail(**arguments)


def test_an_operation_says_in_a_migration_what_it_was_given():
    operation = InstallAuditTrail("legacy", schema="s", key=["a"], reason=True)
    text, imports = OperationWriter(operation, indentation=0).serialize()
    assert imports == {"import django_audit_fields.operations"}
    assert "django_audit_fields.operations.InstallAuditTrail(" in text
    name, arguments, said = operation.deconstruct()
    assert (name, arguments) == ("InstallAuditTrail", ())
    assert said == {"table": "legacy", "schema": "s", "key": ("a",), "reason": True}
    assert InstallAuditTrail(**said).deconstruct() == operation.deconstruct()


def test_virtual_columns_are_left_out(db):
    if connection.pg_version < 180000:
        pytest.skip("PostgreSQL 18 has them")
    execute(
        "CREATE TABLE legacy (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)"
    )
    run(InstallAuditTrail("legacy"))
    recorded = Recorded()
    execute("INSERT INTO legacy VALUES (1)")
    assert recorded()[0].after == {"id": 1}


@pytest.fixture
def parted(db):
    execute("CREATE TABLE parted (id int PRIMARY KEY, note text) PARTITION BY RANGE (id)")
    execute("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100)")
    execute(
        "CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (200)"
        " PARTITION BY RANGE (id)"
    )
    execute("CREATE TABLE parted_top PARTITION OF parted_high FOR VALUES FROM (150) TO (200)")
    run(InstallAuditTrail("parted"))


def test_partitions_are_told_as_their_table(parted):
    recorded = Recorded()
    execute("INSERT INTO parted VALUES (1, 'a')")
    execute("INSERT INTO parted_low VALUES (2, 'b')")
    execute("UPDATE parted SET note = 'c' WHERE id = 1")
    execute("DELETE FROM parted_low WHERE id = 1")
    assert {event.table_name for event in recorded()} == {"parted"}
    assert recorded.told == [("insert", "1"), ("insert", "2"), ("update", "1"), ("delete", "1")]


def test_a_move_between_partitions_is_a_delete_and_an_insert(parted):
    """As PostgreSQL does it; here the key changes as well."""
    execute("INSERT INTO parted VALUES (1, 'a')")
    recorded = Recorded()
    execute("UPDATE parted SET id = 160")
    assert recorded.told == [("delete", "1"), ("insert", "160")]


def test_truncating_a_partition_is_recorded_once_it_is_kept(parted):
    """Django cannot know of partitions; `migrate` and `audit_trail maintain` look for them."""
    assert maintain(connection) == [
        "public.parted_high: trigger !audit_trail_truncate made",
        "public.parted_low: trigger !audit_trail_truncate made",
        "public.parted_top: trigger !audit_trail_truncate made",
    ]
    assert maintain(connection) == []
    recorded = Recorded()
    execute("TRUNCATE parted_low")
    [event] = recorded()
    assert (event.table_name, event.told) == ("parted", ("truncate", None))
    assert event.before == {"partition": "public.parted_low"}
    execute("TRUNCATE parted")
    assert len(recorded()) == 5
    assert [event.before for event in recorded()].count(None) == 1


def test_partitions_are_let_go_with_their_table(parted):
    maintain(connection)
    execute("ALTER TABLE parted DETACH PARTITION parted_low")
    run(RemoveAuditTrail("parted"))
    assert len(maintain(connection)) == 3
    assert [triggers_of(name) for name in ("parted", "parted_low", "parted_top")] == [[], [], []]


@pytest.mark.parametrize("table", ["parted", "parted_low"])
def test_statement_level_is_refused_on_partitions(parted, table):
    with pytest.raises(NotSupportedError, match="level='row'"):
        run(InstallAuditTrail(table, level="statement"))


@pytest.mark.parametrize("model", [Gauge, Reading])
def test_tenants_share_the_trail_and_are_told_apart(model):
    execute("CREATE SCHEMA tenant")
    execute("SET LOCAL search_path TO tenant")
    with connection.schema_editor() as editor:
        editor.create_model(model)
    recorded = Recorded()
    model.objects.create(meter=3)
    [event] = recorded()
    assert (event.table_schema, event.table_name) == ("tenant", model._meta.db_table)
    assert trail_differences(connection) == []


def test_a_table_with_an_odd_name_has_a_trail():
    execute('CREATE SCHEMA "odd % schema"')
    execute('CREATE TABLE "odd % schema"."a ""table"" of \'ours\'" ("i%d" int PRIMARY KEY)')
    operation = InstallAuditTrail("a \"table\" of 'ours'", schema="odd % schema")
    run(operation)
    recorded = Recorded()
    execute('INSERT INTO "odd % schema"."a ""table"" of \'ours\'" VALUES (5)')
    [event] = recorded()
    assert event.table_schema == "odd % schema"
    assert event.table_name == "a \"table\" of 'ours'"
    assert event.after == {"i%d": 5}
    run(operation, backwards=True)


NAMES = (
    *("r", "keys", "hidden", "masked", "image", "past", "key", "action", "who", "told", "sent"),
    *("acting", "nobody", "o", "n", "e", "m", "k", "place", "images", "changed", "old_rows"),
    *("new_rows", "row_key", "before", "after", "name", "masks", "has_key", "recorded", "value"),
)
INSERT = f"INSERT INTO legacy VALUES (%s, {', '.join(['%s'] * len(NAMES))})"


@pytest.mark.parametrize("level", ["row", "statement"])
def test_columns_may_be_called_what_the_functions_call_theirs(level):
    columns = ", ".join(f'"{name}" text' for name in NAMES)
    execute(f"CREATE TABLE legacy (id int PRIMARY KEY, {columns})")
    execute(INSERT, [0, *["a"] * len(NAMES)])
    run(InstallAuditTrail("legacy", level=level))
    recorded = Recorded()
    execute(INSERT, [1, *["a"] * len(NAMES)])
    execute("UPDATE legacy SET r = 'b', keys = 'c' WHERE id = 1")
    execute("DELETE FROM legacy WHERE id = 1")
    call_command("audit_trail", "baseline", "legacy", stdout=StringIO(), stderr=StringIO())
    insert, update, delete, baseline = recorded()
    assert insert.after == {"id": 1, **dict.fromkeys(NAMES, "a")}
    assert update.before == {"r": "a", "keys": "a"}
    assert delete.before == update.after == {**insert.after, "r": "b", "keys": "c"}
    assert baseline.after == {"id": 0, **dict.fromkeys(NAMES, "a")}


@pytest.mark.parametrize("level", ["row", "statement"])
def test_whoever_may_write_a_table_needs_no_right_in_the_trail(legacy, level):
    """And gets none: it can neither read the trail nor write an event of its own."""
    run(InstallAuditTrail("legacy", level=level))
    execute("CREATE ROLE trail_writer")
    execute("GRANT INSERT, SELECT, UPDATE ON legacy TO trail_writer")
    recorded = Recorded()
    execute("SET LOCAL ROLE trail_writer")
    execute("INSERT INTO legacy VALUES (1, 'x', 'y')")
    execute("UPDATE legacy SET note = 'z'")
    for forbidden in (
        "SELECT FROM audit_trail.event",
        "INSERT INTO audit_trail.event DEFAULT VALUES",
        "SELECT audit_trail.mask('{}', '{}')",
        "CREATE TEMP TABLE mine (id int); CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW"
        " EXECUTE FUNCTION audit_trail.record('{id}', '{}', '{}', '', 'fallback', 'x')",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            execute(forbidden)
    execute("RESET ROLE")
    assert recorded.told == [("insert", "1"), ("update", "1")]


@pytest.mark.parametrize("level", ["row", "statement"])
@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("numeric", "1.0", "1.00"),
        ("jsonb", "5", '"5"'),
        ("jsonb", "true", '"true"'),
        ("jsonb", '"null"', None),
        ("jsonb", '{"a": 1}', '{"a": 1.0}'),
        ("text", "", None),
        ("text", "a", "a "),
        ("timestamptz", "2026-10-25 02:30+02", "2026-10-25 02:30+01"),
    ],
)
def test_values_that_only_look_alike_are_a_change(level, kind, first, second):
    """What compares as equal need not be the same."""
    execute(f"CREATE TABLE legacy (id int PRIMARY KEY, value {kind})")
    execute("INSERT INTO legacy VALUES (1, %s)", [first])
    run(InstallAuditTrail("legacy", level=level))
    recorded = Recorded()
    execute("UPDATE legacy SET value = %s", [second])
    [event] = recorded()
    assert event.before.keys() == {"value"}
    execute("UPDATE legacy SET value = %s", [second])
    assert len(recorded()) == 1


@pytest.mark.parametrize("level", ["row", "statement"])
def test_a_row_without_a_key_is_never_recorded(level):
    """The key of a trail was NOT NULL, and may be let go afterwards."""
    execute("CREATE TABLE legacy (id int NOT NULL, note text)")
    run(InstallAuditTrail("legacy", key="id", level=level))
    execute("ALTER TABLE legacy ALTER COLUMN id DROP NOT NULL")
    recorded = Recorded()
    with pytest.raises(DatabaseError, match="cannot say which row"), transaction.atomic():
        execute("INSERT INTO legacy VALUES (1, 'x'), (NULL, 'y')")
    assert recorded() == []
    execute("INSERT INTO legacy VALUES (1, 'x')")
    assert recorded.told == [("insert", "1")]
