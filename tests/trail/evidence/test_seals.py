"""What a seal closes, and what it never counts twice."""

import json
import threading

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from django_audit_fields.trail.evidence.seals import export, seal
from tests.trail.evidence.trail import (
    another_connection,
    broken,
    one,
    seal_of_invoices,
    sealed_invoices,
)
from tests.trail.recorded import execute
from tests.trail.trailapp.models import Invoice

pytestmark = pytest.mark.usefixtures("trail")


INSERT = "INSERT INTO trailapp_invoice (number, amount) VALUES ('x', 1)"


def test_a_seal_closes_what_came_since_the_one_before():
    first, second, third = sealed_invoices(2, 0, 3)
    assert [made.events for made in (first, second, third)] == [2, 0, 3]
    assert [made.number for made in (first, second, third)] == [1, 2, 3]
    year = one("SELECT extract(year FROM now() AT TIME ZONE 'UTC')::int")
    assert list(first.partitions) == [f"event_{year}"]
    assert first.partitions[f"event_{year}"][0] == 2
    assert second.partitions == {}
    previous = execute("SELECT encode(previous, 'hex') FROM audit_trail.seal ORDER BY number")
    assert previous == [(None,), (first.digest,), (second.digest,)]
    assert broken() == []


def test_a_late_commit_falls_into_the_next_seal():
    """The seal does not wait for a transaction under way, nor lose what it has written."""
    with another_connection() as early, another_connection() as late:
        early.execute(INSERT)
        late.execute(INSERT)
        assert seal_of_invoices(1).events == 1
        early.commit()
        assert seal(connection).events == 1
        assert broken() == []
        late.commit()
        assert broken() == []
        assert seal_of_invoices(2).events == 3
    assert broken() == []


def test_what_is_rolled_back_is_in_no_seal():
    with another_connection() as other:
        other.execute(INSERT)
        assert seal(connection).events == 0
        other.rollback()
    assert seal(connection).events == 0
    assert broken() == []


def test_savepoints_count_as_their_transaction():
    with another_connection() as other:
        other.execute(INSERT)
        with other.transaction():
            other.execute(INSERT)
        assert seal(connection).events == 0
        other.execute(INSERT)
    assert seal(connection).events == 3
    assert broken() == []


def test_writers_do_not_wait_for_a_seal():
    """The table of events is locked as for reading."""
    Invoice.objects.create()
    with another_connection() as sealing, another_connection(autocommit=True) as writer:
        sealing.execute("SELECT audit_trail.seal()")
        writer.execute("SET lock_timeout TO '1s'")
        writer.execute(INSERT)
    assert seal(connection).events == 1
    assert broken() == []


def test_writers_and_sealers_at_once():
    """Eight write, one of them with long transactions; two seal: each event is in one seal."""
    done = threading.Event()

    def write(writer):
        with another_connection() as own:
            for number in range(25):
                for _ in range(1 + writer):
                    own.execute(INSERT)
                own.rollback() if number % 5 == 4 else own.commit()

    def seal_on():
        with another_connection(autocommit=True) as own:
            while not done.is_set():
                own.execute("SELECT audit_trail.seal()")

    sealers = [threading.Thread(target=seal_on) for _ in range(2)]
    writers = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in [*sealers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in sealers:
        thread.join()
    seal(connection)
    events = 20 * sum(range(1, 9))
    assert one("SELECT count(*) FROM audit_trail.event") == events
    assert one("SELECT sum(events)::int FROM audit_trail.seal") == events
    assert one("SELECT max(number) - count(*) FROM audit_trail.seal") == 0
    assert broken() == []


def test_a_seal_comes_first_in_its_transaction():
    """It would cover half of what its own transaction writes."""
    with transaction.atomic():
        Invoice.objects.create()
        with pytest.raises(DatabaseError, match="comes first"), transaction.atomic():
            seal(connection)
    with transaction.atomic():
        assert seal(connection).events == 1
        Invoice.objects.create()
    assert seal(connection).events == 1
    assert broken() == []


def test_a_seal_looks_at_what_is_committed_by_now():
    with another_connection() as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.errors.ActiveSqlTransaction, match="READ COMMITTED"):
            other.execute("SELECT audit_trail.seal()")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TimeZone", "Asia/Kathmandu"),
        ("DateStyle", "German"),
        ("IntervalStyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "-15"),
        ("client_encoding", "LATIN1"),
        ("search_path", "pg_temp"),
        ("lc_numeric", "C"),
    ],
)
def test_digests_do_not_depend_on_the_session(name, value):
    execute(
        "INSERT INTO trailapp_reading (meter, value, secret, hidden)"
        " VALUES (1, 0.1::float8 + 0.2, 'ä', '')"
    )
    seal_of_invoices(1)
    with transaction.atomic():
        execute("SELECT set_config(%s, %s, true)", [name, value])
        assert broken() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trail.seal SET events = 7",
        "DELETE FROM audit_trail.seal",
        "TRUNCATE audit_trail.seal",
    ],
)
def test_seals_are_only_added_to(statement):
    sealed_invoices(1)
    with pytest.raises(DatabaseError, match="only added to"):
        execute(statement)


def test_exports_add_up(tmp_path):
    """A line a seal; what the file has is kept."""
    file = tmp_path / "seals"
    made = sealed_invoices(1, 2)
    for one_seal in made:
        export(one_seal, file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["anchor"] for line in lines] == [each.anchor for each in made]
    assert lines[1]["events"] == 2
