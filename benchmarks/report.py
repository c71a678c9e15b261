"""Tables in Markdown, with the bar of each row and whether it was met."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
from pathlib import Path

#: (lane or table, kind of work) -> seconds for one save, row or request, round by round.
Times = dict[tuple[str, str], list[float]]

#: Kinds of work and what they are called.
WORKS: dict[str, str] = {
    "insert": "`save()`, INSERT, autocommit",
    "insert_in_transaction": "`save()`, INSERT, 100 in a transaction",
    "insert_each_in_transaction": "`save()`, INSERT, each in a transaction of its own",
    "update": "`save()`, UPDATE, autocommit",
    "update_in_transaction": "`save()`, UPDATE, 100 in a transaction",
    "update_fields": "`save(update_fields=…)`, autocommit",
    "update_fields_in_transaction": "`save(update_fields=…)`, 100 in a transaction",
    "bulk_create": "`bulk_create` of 10,000",
    "bulk_update": "`bulk_update` of 2,000 in one field",
    "update_queryset": "`QuerySet.update()` of 10,000",
    "select": "`.get(pk=…)`",
    "select_by_sql": '`cursor.execute("SELECT 1")`',
    "wsgi_request": "request that saves a row, WSGI",
    "asgi_request": "request that saves a row, ASGI",
    "asgi_request_async_view": "the same in an async view",
}
#: Measured in one process, with the package and without.
BESIDE = "_beside"
#: Measured in one lane only.
ALONE = {"update_queryset_twice_as_many": "trail_statement"}
#: A plain model where the package is installed, and without it.
SIDES = ("installed", "beside")
#: The bar of that ratio.
BARS: dict[str, float] = {
    "insert": 1.30,
    "insert_in_transaction": 1.15,
    "insert_each_in_transaction": 1.15,
    "update": 1.30,
    "update_in_transaction": 1.15,
    "update_fields": 1.30,
    "update_fields_in_transaction": 1.15,
    "bulk_create": 1.05,
    "bulk_update": 0.35,
    "update_queryset": 1.20,
    "select": 1.02,
    "select_by_sql": 1.02,
}
#: All that is measured, as a worker is asked for it.
NAMES = [*WORKS, *(work + BESIDE for work in BARS)]
LANES = {
    "bare": "bare model, µs",
    "package": "this package",
    "textbook": "textbook",
    "pghistory_lane": "pghistory",
    "auditlog_lane": "auditlog",
    "simple_history_lane": "simple-history",
    "model_utils_lane": "model-utils",
}
STEPS: dict[str, str] = {
    "insert_stamped": "INSERT … SELECT, fully stamped",
    "update_by_the_same": "UPDATE, stamped, by the user of the last change",
    "update_by_another": "UPDATE, stamped, by another user",
}
UNSTAMPED: dict[str, tuple[str, float]] = {
    "insert_unstamped": ("INSERT … SELECT that leaves the four columns out", 1.25),
    "copy_unstamped": ("COPY that leaves the four columns out", 1.25),
}


def ratio(times: Times, lane: str, work: str, base: str = "bare") -> tuple[float, float, float]:
    """Ratio of the medians, and the quartiles of the rounds' own ratios."""
    ours, theirs = times[lane, work], times[base, work]
    rounds = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else rounds * 3
    return statistics.median(ours) / statistics.median(theirs), low, high


def verdict(value: float, bar: float) -> tuple[str, str]:
    # Compared as printed.
    return f"≤ {bar:.2f}", "met" if round(value, 2) <= bar else "**missed**"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB of memory, client and "
        f"server together; load average when it ended {load[0]:.1f}, {load[1]:.1f}, {load[2]:.1f}"
    )


def versions(*names: str) -> str:
    installed = []
    for name in names:
        try:
            installed.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(installed)


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def speed(
    times: Times,
    unseen: dict[str, list[str]],
    trips: dict[str, dict[str, int]],
    by_sql: Times,
    *,
    rounds: int,
    sql_rounds: int,
    sql_rows: int,
    server: str,
    settings: dict[str, str],
    elapsed: float,
) -> str:
    names = versions(
        *("django", "psycopg", "django-pghistory", "django-auditlog", "django-simple-history"),
        *("django-model-utils",),
    )
    parts = [
        f"Measured on {today()} in {elapsed / 60:.0f} minutes: Python {platform.python_version()}, "
        f"{names}, PostgreSQL {server}.\n\nMachine: {machine()}.\n\n"
        f"Server, the same for all: {', '.join(f'`{k}={v}`' for k, v in settings.items())}.",
        f"### In one process, {rounds} rounds\n\nRatio of an audited model to a plain one in the"
        " same project, and to the same with the package's wrapper and receiver taken away while"
        " the plain one is written; in brackets the middle half of the rounds' own ratios. The"
        " verdict is on the second.",
        bars(times),
        f"### Beside other packages, {rounds} rounds\n\nEach in a process of its own: ratio to the"
        " bare model's. † neither stamps nor records this kind of work.",
        neighbours(times, unseen),
        round_trips(trips),
    ]
    if by_sql:
        parts += sql_tables(by_sql, sql_rounds, sql_rows)
    return "\n\n".join(parts)


def bars(times: Times) -> str:
    rows = []
    for work, bar in BARS.items():
        name = work + BESIDE
        if ("package", name) not in times:
            continue
        base = statistics.median(times["beside", name]) * 1e6
        row = [WORKS[work], f"{base:.1f}"]
        values = []
        for side in SIDES:
            if (side, name) not in times:
                row.append("")
                continue
            value, low, high = ratio(times, "package", name, base=side)
            row.append(f"{value:.2f} ({low:.2f} to {high:.2f})")
            values.append(value)
        rows.append([*row, *verdict(values[-1], bar)])
    head = ["work", "plain model without the package, µs", "to a plain model beside it"]
    return table([*head, "to that without the package", "bar", ""], rows)


def neighbours(times: Times, unseen: dict[str, list[str]]) -> str:
    rows = []
    for work, title in WORKS.items():
        if ("package", work) not in times:
            continue
        row = [title, f"{statistics.median(times['bare', work]) * 1e6:.1f}"]
        for lane in list(LANES)[1:]:
            value, low, high = ratio(times, lane, work)
            spread = f" ({low:.2f} to {high:.2f})" if lane == "package" else ""
            row.append(f"{value:.2f}{spread}" + ("†" if work in unseen[lane] else ""))
        rows.append(row)
    return table(["work", *LANES.values()], rows)


def round_trips(trips: dict[str, dict[str, int]]) -> str:
    rows = []
    for work, bare in trips["bare"].items():
        others = [str(trips[lane][work]) for lane in list(LANES)[2:]]
        ours = trips["package"][work]
        # The design promises it for autocommit.
        met = "" if "autocommit" not in work else "met" if ours <= bare else "**missed**"
        rows.append([work, str(bare), str(ours), met, *others])
    names = ["bare model", "this package", "no more", *list(LANES.values())[2:]]
    return "Round trips, counted between client and server:\n\n" + table(["work", *names], rows)


def sql_tables(times: Times, rounds: int, rows_each: int) -> list[str]:
    parts = [
        f"### SQL, {rows_each:,} rows, {rounds} rounds\n\nMicroseconds that the triggers add to a"
        " row, beyond the same statement on a table without any; in brackets the middle half of"
        " the rounds. The bar is what PostgreSQL's own C triggers add, `moddatetime` and"
        " `insert_username`. (pghistory writes a second row; its table has no four columns.)"
    ]
    rows = []
    for step, title in STEPS.items():
        added = {}
        for lane in ("package", "contrib", "textbook", "pghistory_lane"):
            rounds_added = [
                (a - b) * 1e6 for a, b in zip(times[lane, step], times["bare", step], strict=True)
            ]
            medians = [statistics.median(times[name, step]) for name in (lane, "bare")]
            low, _, high = (
                statistics.quantiles(rounds_added, n=4) if rounds > 1 else rounds_added * 3
            )
            added[lane] = (medians[0] - medians[1]) * 1e6, f" ({low:.2f} to {high:.2f})"
        met = round(added["package"][0], 2) <= round(added["contrib"][0], 2)
        base = statistics.median(times["bare", step]) * 1e6
        cells = [f"{value:+.2f}{spread}" for value, spread in added.values()]
        rows.append([title, f"{base:.2f}", *cells[:2], "met" if met else "**missed**", *cells[2:]])
    head = ["statement", "no trigger, µs", "this package", "C triggers (bar)", ""]
    parts.append(table([*head, "textbook", "pghistory"], rows))
    parts.append(
        "Rows that leave the four columns out, as a ratio to a table without triggers that is"
        " given all four:"
    )
    rows = []
    for step, (title, bar) in UNSTAMPED.items():
        value, low, high = ratio(times, "package", step)
        textbook = ratio(times, "textbook", step)[0]
        base = statistics.median(times["bare", step]) * 1e6
        cells = [f"{value:.2f} ({low:.2f} to {high:.2f})", *verdict(value, bar), f"{textbook:.2f}"]
        rows.append([title, f"{base:.2f}", *cells])
    head = ["statement", "no trigger, µs", "this package", "bar", "", "textbook"]
    parts.append(table(head, rows))
    return parts


def replace(path: Path, name: str, text: str) -> None:
    """Put `text` between the comments that mark its place in `path`."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    whole = path.read_text("utf-8")
    before, _, rest = whole.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path} has no place for {name!r}: it needs {begin} and {end}.")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")
