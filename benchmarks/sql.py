"""What triggers cost SQL: the package's, none, PostgreSQL's own C triggers, the textbook's."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import psycopg

from tests.own_server import OwnServer

Connection = psycopg.Connection[Any]

# What the lanes' migrations made, and PostgreSQL's contrib modules beside it.
TABLES = {
    "bare": "bare_order",
    "package": "package_order",
    "contrib": "contrib_order",
    "textbook": "textbook_order",
    "pghistory_lane": "pghistory_lane_order",
}
CONTRIB = """
CREATE EXTENSION IF NOT EXISTS moddatetime;
CREATE EXTENSION IF NOT EXISTS insert_username;
CREATE TABLE contrib_order (LIKE bare_order INCLUDING ALL);
ALTER TABLE contrib_order ALTER updated_by TYPE text;
CREATE TRIGGER stamp_time BEFORE UPDATE ON contrib_order
    FOR EACH ROW EXECUTE FUNCTION moddatetime(updated_at);
CREATE TRIGGER stamp_user BEFORE INSERT OR UPDATE ON contrib_order
    FOR EACH ROW EXECUTE FUNCTION insert_username(updated_by);
"""
STAMPS = "created_at, updated_at, created_by, updated_by"
#: The lane whose table has none of the four columns.
WITHOUT_STAMPS = "pghistory_lane"


def carry(connection: Connection, label: str) -> None:
    connection.execute("SELECT set_config('app.current_user', %s, true)", [label])


def insert_stamped(connection: Connection, lane: str, rows: int) -> float:
    columns, values = "name, amount, note", "'order ' || n, n, 'as ordered'"
    if lane != WITHOUT_STAMPS:
        columns, values = f"{columns}, {STAMPS}", f"{values}, now(), now(), '7', '7'"
    return timed(
        connection,
        f"INSERT INTO {TABLES[lane]} ({columns}) SELECT {values} FROM generate_series(1, {rows}) n",
    )


def update_stamped(connection: Connection, lane: str, rows: int, label: str) -> float:
    stamps = "" if lane == WITHOUT_STAMPS else f", updated_at = now(), updated_by = '{label}'"
    return timed(connection, f"UPDATE {TABLES[lane]} SET amount = amount + 1{stamps}", label=label)


def update_by_the_same(connection: Connection, lane: str, rows: int) -> float:
    return update_stamped(connection, lane, rows, "7")


def update_by_another(connection: Connection, lane: str, rows: int) -> float:
    return update_stamped(connection, lane, rows, "8")


def insert_unstamped(connection: Connection, lane: str, rows: int) -> float:
    """The bare table, which has no defaults, is given all four."""
    if lane == "bare":
        return insert_stamped(connection, lane, rows)
    return timed(
        connection,
        f"INSERT INTO {TABLES[lane]} (name, amount, note)"
        f" SELECT 'order ' || n, n, 'as ordered' FROM generate_series(1, {rows}) n",
    )


def copy_unstamped(connection: Connection, lane: str, rows: int) -> float:
    columns, end = "name, amount, note", ""
    if lane == "bare":
        columns, end = (
            f"{columns}, {STAMPS}",
            "\t2026-01-01 12:00:00+00\t2026-01-01 12:00:00+00\t7\t7",
        )
    data = "".join(f"order {n}\t{n}\tas ordered{end}\n" for n in range(rows))
    with connection.transaction(), connection.cursor() as cursor:
        carry(connection, "7")
        start = perf_counter()
        with cursor.copy(f"COPY {TABLES[lane]} ({columns}) FROM STDIN") as copy:
            copy.write(data)
        return perf_counter() - start


def timed(connection: Connection, statement: str, label: str = "7") -> float:
    with connection.transaction():
        carry(connection, label)
        start = perf_counter()
        connection.execute(statement)
        return perf_counter() - start


#: In the order in which they find the table: empty, filled, filled, empty, empty.
STEPS: list[tuple[str, Callable[[Connection, str, int], float], bool]] = [
    ("insert_stamped", insert_stamped, True),
    ("update_by_the_same", update_by_the_same, False),
    ("update_by_another", update_by_another, False),
    ("insert_unstamped", insert_unstamped, True),
    ("copy_unstamped", copy_unstamped, True),
]
#: Tables that take rows without the four columns.
UNSTAMPED = ("bare", "package", "textbook")


def measure(server: OwnServer, rounds: int, rows: int) -> dict[tuple[str, str], list[float]]:
    """Seconds per row for each (table, step), round by round."""
    times: dict[tuple[str, str], list[float]] = {}
    with server.connect() as connection:
        connection.execute(CONTRIB)
        for number in range(rounds + 1):
            for step, work, on_empty in STEPS:
                lanes = [n for n in TABLES if n in UNSTAMPED or not step.endswith("_unstamped")]
                for lane in random.sample(lanes, len(lanes)):
                    table = TABLES[lane]
                    if on_empty:
                        connection.execute(f"TRUNCATE {table} CASCADE")
                    if lane == "pghistory_lane":
                        connection.execute("TRUNCATE pghistory_lane_orderevent CASCADE")
                    elapsed = work(connection, lane, rows) / rows
                    connection.execute(f"VACUUM ANALYZE {table}")
                    if number:  # the first round makes the files
                        times.setdefault((lane, step), []).append(elapsed)
            print(f"SQL: {number} of {rounds} rounds", file=sys.stderr)
    return times
