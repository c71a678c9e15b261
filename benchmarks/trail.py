"""What a trail costs, beside other packages that keep one: `make bench-trail`."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from pathlib import Path
from time import monotonic, perf_counter

import psycopg

from . import report
from .server import measured_server
from .settings import RECORDING
from .speed import measure_lanes

WORKS = {
    "insert": "`create()`",
    "update": "`save()` of a loaded row",
    "delete": "`delete()` of one",
    "bulk_create": "`bulk_create` of 10,000",
    "update_queryset": "`update()` of 10,000",
    "delete_queryset": "`delete()` of 10,000",
}
TITLES = {
    "trail_row": "trail, row",
    "pghistory_row": "pghistory, row",
    "trail_statement": "trail, statement",
    "pghistory_statement": "pghistory, statement",
    "auditlog_lane": "auditlog",
    "simple_history_lane": "simple-history",
}
#: Twice as many rows, on a connection that has made one-row updates. Of the trail alone: where the
#: plan made for those is kept, this takes minutes.
MANY = "update_queryset_twice_as_many"
SINGLE = ("insert", "update", "delete")
#: Lane and kind of work, and the most that it may cost of what pghistory costs at row level.
BARS = {
    **{("trail_row", work): 1.0 for work in (*SINGLE, "bulk_create")},
    ("trail_row", "update_queryset"): 1.3,
    **{
        ("trail_statement", work): 0.5
        for work in ("bulk_create", "update_queryset", "delete_queryset")
    },
}

#: Rows with 20 events each, by 100 people in turn, over the last year.
FILL = """
    INSERT INTO audit_trail.event (
        recorded_at, action, table_schema, table_name, row_key, actor, db_role,
        transaction_id, before, after
    )
    SELECT now() - interval '1 year' * (1 - n / %(events)s::float8), 'update', 'public', 'orders',
        (n %% (%(events)s / 20))::text, (n / 97 %% %(people)s)::text, 'app', n + 1000,
        '{"amount": 1}', '{"id": 1, "amount": 2, "note": "as ordered", "status": "open"}'
    FROM generate_series(1, %(events)s) AS n
"""
READS = {
    "history of a row, 20 events": (
        "SELECT * FROM audit_trail.event WHERE table_schema = 'public' AND table_name = 'orders'"
        " AND row_key = %s ORDER BY id DESC",
        lambda number: [str(number * 37)],
        2.0,
    ),
    "a week of one person": (
        "SELECT * FROM audit_trail.event WHERE actor = %s"
        " AND recorded_at >= now() - make_interval(weeks => %s)"
        " AND recorded_at < now() - make_interval(weeks => %s) ORDER BY recorded_at DESC",
        lambda number: [str(number), number % 40 + 1, number % 40],
        10.0,
    ),
}


def measure_reads(connection: psycopg.Connection, events: int) -> str:
    # About 200 events of a person in a week.
    people = max(events // (200 * 52), 1)
    connection.execute("TRUNCATE audit_trail.event")
    connection.execute(FILL, {"events": events, "people": people})
    connection.execute("VACUUM ANALYZE audit_trail.event")
    rows = []
    for title, (query, parameters, bar) in READS.items():
        times, found = [], []
        for number in range(1, 41):
            start = perf_counter()
            found.append(len(connection.execute(query, parameters(number)).fetchall()))
            times.append((perf_counter() - start) * 1000)
        median = statistics.median(times)
        met = "met" if median <= bar else "**missed**"
        average = f"{statistics.mean(found):.0f}"
        rows.append([title, average, f"{median:.2f}", f"≤ {bar:.0f}", met])
    head = ["among all events", "events found", "ms", "bar", ""]
    return f"Among {events:,} events:\n\n{report.table(head, rows)}"


def costs(times: report.Times, unseen: dict[str, list[str]]) -> str:
    rows = []
    for work, title in WORKS.items():
        row = [title, f"{statistics.median(times['plain_record', work]) * 1e6:.1f}"]
        for lane in TITLES:
            value = report.ratio(times, lane, work, base="plain_record")[0]
            row.append(f"{value:.2f}" + ("†" if work in unseen[lane] else ""))
        rows.append(row)
    return report.table(["work", "plain table, µs", *TITLES.values()], rows)


def bars(times: report.Times) -> str:
    rows = []
    for (lane, work), bar in BARS.items():
        value, low, high = report.ratio(times, lane, work, base="pghistory_row")
        cells = [f"{value:.2f} ({low:.2f} to {high:.2f})", *report.verdict(value, bar)]
        rows.append([f"{TITLES[lane]}: {WORKS[work]}", *cells])
    few = "update_queryset"
    # Both are of one row.
    value = 2 * (
        statistics.median(times["trail_statement", MANY])
        / statistics.median(times["trail_statement", few])
    )
    cells = [f"{value:.2f}", *report.verdict(value, 2.4)]
    rows.append(["trail, statement: 20,000 rows in times of 10,000", *cells])
    return report.table(["work", "of pghistory at row level", "bar", ""], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="in each generation of processes")
    parser.add_argument("--generations", type=int, default=2)
    parser.add_argument("--events", type=int, default=10_000_000, help="to read among")
    parser.add_argument("--write", type=Path, help="put the tables into this file")
    options = parser.parse_args()
    start = monotonic()
    with measured_server() as server:
        times, unseen = measure_lanes(
            server.django_settings(),
            [*WORKS, MANY],
            options.rounds,
            options.generations,
            list(RECORDING),
        )
        with server.connect() as connection:
            connection.execute("SET session_replication_role = replica")
            reads = measure_reads(connection, options.events)
            version = connection.info.parameter_status("server_version")
    names = report.versions(
        *("django", "psycopg", "django-pghistory", "django-auditlog", "django-simple-history")
    )
    text = "\n\n".join(
        [
            f"Measured on {report.today()} in {(monotonic() - start) / 60:.0f} minutes: Python"
            f" {platform.python_version()}, {names}, PostgreSQL {version}. {os.cpu_count()} cores,"
            " client and server together.",
            "Times of a plain table. † is not recorded. The tables of auditlog and simple-history"
            " have four columns less.",
            costs(times, unseen),
            bars(times),
            reads,
        ]
    )
    print(text)
    if options.write:
        report.replace(options.write, "trail", text)


if __name__ == "__main__":
    main()
