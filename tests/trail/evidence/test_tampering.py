"""What is changed behind the triggers' back is found, in the range where it was."""

import json
import random

import pytest
from django.db import connection, transaction

from django_audit_fields.trail.evidence.verifying import Finding, verify
from tests.trail.evidence.trail import broken, one, sealed_invoices, tampering
from tests.trail.recorded import COLUMNS, execute
from tests.trail.trailapp.models import Invoice

pytestmark = pytest.mark.usefixtures("trail")

RANGES = (12, 1, 20, 7, 15)
#: Each column, and another value that it may hold.
EDITS = {
    "id": "id + 1000000",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "action": "CASE action WHEN 'delete' THEN 'insert' ELSE 'delete' END",
    "table_schema": "table_schema || 'x'",
    "table_name": "upper(table_name)",
    "row_key": "row_key || ' '",
    "actor": "actor || '2'",
    "context": """coalesce(context, '{}') || '{"reason": "another"}'""",
    "db_role": "db_role || 'x'",
    "application_name": "application_name || ' '",
    "client_addr": "'10.0.0.1'",
    "transaction_id": "transaction_id + 1000000",
    "before": """coalesce(before, '{}') || '{"amount": 1}'""",
    "after": "after || '{\"amount\": 80.00}'",
}


def test_every_column_has_an_edit():
    assert set(EDITS) == set(COLUMNS.split(", "))


@pytest.mark.parametrize("column", EDITS)
def test_an_edit_of_each_column_is_found(column):
    sealed_invoices(3, 3)
    with tampering():
        execute(
            f"UPDATE audit_trail.event SET {column} = {EDITS[column]}"
            " WHERE id = (SELECT min(id) FROM audit_trail.event)"
        )
    [(number, problem)] = broken()
    assert number == 1
    assert ("deleted" if column == "transaction_id" else "altered") in problem


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC"])
def test_a_time_that_is_none_is_found(moment):
    """It does not keep the seals from being verified, nor the next one from being made."""
    sealed_invoices(3)
    with tampering():
        execute(
            "UPDATE audit_trail.event SET recorded_at = %s"
            " WHERE id = (SELECT min(id) FROM audit_trail.event)",
            [moment],
        )
    assert {number for number, _ in broken()} == {1}
    sealed_invoices(1)
    assert {number for number, _ in broken()} == {1}


def tamper(kind, ids, number, choice):
    """Do it to the range of seal `number`; answers the seals that have to be found."""
    own = ids[number]
    others = [other for other in ids if other != number]
    event = choice.choice(own)
    if kind == "edit":
        column = choice.choice([name for name in EDITS if name != "transaction_id"])
        execute(f"UPDATE audit_trail.event SET {column} = {EDITS[column]} WHERE id = %s", [event])
    elif kind == "delete":
        execute("DELETE FROM audit_trail.event WHERE id = %s", [event])
    elif kind == "insert":
        names = COLUMNS.removeprefix("id, ")
        execute(
            f"INSERT INTO audit_trail.event ({names})"
            f" SELECT {names} FROM audit_trail.event WHERE id = %s",
            [event],
        )
    elif kind == "swap":
        if len(own) == 1:
            return tamper("edit", ids, number, choice)
        other = choice.choice([each for each in own if each != event])
        execute(
            "UPDATE audit_trail.event AS e SET row_key = o.row_key, after = o.after"
            " FROM audit_trail.event AS o WHERE (e.id, o.id) IN ((%s, %s), (%s, %s))",
            [event, other, other, event],
        )
    elif kind == "move":
        target = choice.choice(others)
        execute(
            "UPDATE audit_trail.event SET transaction_id ="
            " (SELECT transaction_id FROM audit_trail.event WHERE id = %s) WHERE id = %s",
            [ids[target][0], event],
        )
        return {number, target}
    elif kind == "drop":
        # All that the range has.
        execute("DELETE FROM audit_trail.event WHERE id = ANY (%s)", [own])
    return {number}


def test_a_thousand_tamperings():
    """All are found, and in the ranges that they touched."""
    seals = sealed_invoices(*RANGES)
    every = [id for (id,) in execute("SELECT id FROM audit_trail.event ORDER BY id")]
    ids = {}
    for made in seals:
        ids[made.number] = [every.pop(0) for _ in range(made.events)]
    choice = random.Random(16)  # noqa: S311  # the same ones each time
    kinds = ["edit", "delete", "insert", "swap", "move", "drop"]
    with tampering():
        assert broken() == []
        for number in range(1000):
            kind = kinds[number % len(kinds)]
            target = choice.choice(list(ids))
            with transaction.atomic():
                expected = tamper(kind, ids, target, choice)
                found = {seal for seal, _ in broken()}
                transaction.set_rollback(True)
            assert found == expected, f"{number}: {kind} in seal {target}"
        assert broken() == []


def test_a_dropped_partition_is_named():
    [made] = sealed_invoices(3)
    [partition] = made.partitions
    with transaction.atomic():
        execute(f"DROP TABLE audit_trail.{partition}")
        assert broken() == [(1, f"{partition} is gone, with 3 events")]
        transaction.set_rollback(True)


def test_a_moved_event_is_no_alteration():
    """What waited in the DEFAULT partition goes to its own year's and is as it was."""
    [made] = sealed_invoices(3)
    [partition] = made.partitions
    with transaction.atomic():
        execute(f"ALTER TABLE audit_trail.event DETACH PARTITION audit_trail.{partition}")
        execute(
            "INSERT INTO audit_trail.event OVERRIDING SYSTEM VALUE"
            f" SELECT * FROM audit_trail.{partition}"
        )
        assert one("SELECT count(*) FROM audit_trail.event_default") == 3
        assert broken() == []
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit_trail.seal SET events = 1 WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET sealed_by = 'me' WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET detail = '{\"a\": 1}' WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET sealed_at = now() WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET partitions = '{}' WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET kind = 'harden' WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET last_id = 0 WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET system_identifier = 0 WHERE number = 2", [(2, "altered")]),
        ("UPDATE audit_trail.seal SET boundary = 1000000 WHERE number = 3", [(3, "altered")]),
        (
            "UPDATE audit_trail.seal SET digest = '\\x00' WHERE number = 2",
            [(2, "altered"), (3, "does not follow")],
        ),
        ("DELETE FROM audit_trail.seal WHERE number = 2", [(3, "from 2 to 2 are missing")]),
        ("DELETE FROM audit_trail.seal WHERE number < 3", [(3, "from 1 to 2 are missing")]),
        (
            "UPDATE audit_trail.seal AS s SET events = 9, digest = audit_trail.seal_digest("
            "(s.number, s.kind, s.sealed_at, s.sealed_by, s.snapshot, s.system_identifier,"
            " s.last_id, s.boundary, 9, s.partitions, s.detail, s.previous, s.digest))"
            " WHERE number = 2",
            [(3, "does not follow")],
        ),
    ],
)
def test_a_changed_seal_is_found(statement, expected):
    sealed_invoices(2, 3, 4)
    with tampering():
        execute(statement)
    found = broken()
    assert [number for number, _ in found] == [number for number, _ in expected]
    for (_, problem), (_, words) in zip(found, expected, strict=True):
        assert words in problem


def test_anchors_show_what_a_chain_cannot():
    """The newest seals together with their events, or a rewrite of everything."""
    first, second = sealed_invoices(2, 2)
    assert verify(connection, anchors=[first.anchor, second.anchor]) == []
    with tampering():
        execute(
            "DELETE FROM audit_trail.event WHERE id >"
            " (SELECT last_id FROM audit_trail.seal WHERE number = 1)"
        )
        execute("DELETE FROM audit_trail.seal WHERE number = 2")
    assert verify(connection) == []
    assert verify(connection, anchors=[first.anchor, second.anchor.upper()]) == [
        Finding("it was exported, and is gone", seal=2)
    ]
    [again] = sealed_invoices(1)
    assert verify(connection) == []
    assert verify(connection, anchors=[again.anchor, second.anchor]) == [
        Finding("it is not the one that was exported", seal=2)
    ]


@pytest.mark.parametrize("anchor", ["", "7", "x:" + "0" * 64, "1:" + "0" * 63, "1:" + "g" * 64])
def test_an_anchor_is_a_number_and_a_digest(anchor):
    with pytest.raises(ValueError, match="An anchor is"):
        verify(connection, anchors=[anchor])


def test_a_replaced_function_is_found():
    """One that finds nothing would be the easiest tampering of all."""
    sealed_invoices(1)
    with transaction.atomic():
        execute(
            "CREATE OR REPLACE FUNCTION audit_trail.problems(of_number bigint) RETURNS SETOF text"
            " LANGUAGE sql STABLE AS 'SELECT NULL::text WHERE false'"
        )
        [finding] = verify(connection)
        transaction.set_rollback(True)
    assert "audit_trail.problems()" in str(finding)
    assert verify(connection) == []


def test_progress_is_told():
    sealed_invoices(2, 3)
    told = []
    verify(connection, progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (5, 5)]


def test_a_forged_event_of_an_old_transaction_is_found():
    """It has a new id, and would be in no range at all."""
    Invoice.objects.create()
    [made] = sealed_invoices(1)
    with tampering():
        execute(
            "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name, row_key,"
            " actor, db_role, transaction_id, after)"
            " SELECT now(), 'insert', 's', 't', '1', '7', 'r', min(transaction_id) - 5, %s"
            " FROM audit_trail.event",
            [json.dumps({})],
        )
    [(number, problem)] = broken()
    assert (number, "inserted" in problem) == (made.number, True)
