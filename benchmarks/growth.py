"""What grows with the table and with the number of models: `make bench-growth`."""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from . import report, sql
from .server import measured_server
from .speed import ROOT, command, surroundings

TABLES = {"bare": "bare_order", "package": "package_order"}
SINGLE = 2_000
PROJECT = """
import os, sys, time
start = time.perf_counter()
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="growth", USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={{"default": {{**{database!r}, "ENGINE": "django.db.backends.postgresql"}}}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", {package} "many"],
    MIDDLEWARE=[],
)
django.setup()
print("start-up", time.perf_counter() - start)
from django.core.management import call_command
for name, arguments, options in (
    ("makemigrations", ["many"], {{"verbosity": 0}}),
    ("makemigrations --check", ["many"], {{"verbosity": 0, "check_changes": True}}),
    ("migrate", [], {{"verbosity": 0}}),
    ("check", [], {{}}),
    ("check --database default", [], {{"databases": ["default"]}}),
):
    with open(os.devnull, "w") as nowhere:
        start = time.perf_counter()
        call_command(name.split()[0], *arguments, stdout=nowhere, stderr=nowhere, **options)
        print(name, time.perf_counter() - start)
"""


def fill(connection: Any, lane: str, rows: int) -> None:
    connection.execute(f"TRUNCATE {TABLES[lane]} RESTART IDENTITY")
    sql.insert_stamped(connection, lane, rows)
    connection.execute(f"VACUUM ANALYZE {TABLES[lane]}")


def single_updates(connection: Any, lane: str, rows: int) -> float:
    """Rows spread over the whole table, each by a statement of its own."""
    keys = random.Random(rows).sample(range(1, rows + 1), SINGLE)  # noqa: S311
    statement = (
        f"UPDATE {TABLES[lane]} SET amount = amount + 1, updated_at = statement_timestamp(),"
        " updated_by = '7' WHERE id = %s"
    )
    with connection.transaction():
        sql.carry(connection, "7")
        start = perf_counter()
        for key in keys:
            connection.execute(statement, [key])
        return (perf_counter() - start) / SINGLE


def single_inserts(connection: Any, lane: str, rows: int) -> float:
    statement = (
        f"INSERT INTO {TABLES[lane]} (name, amount, note, {sql.STAMPS})"
        " VALUES ('order', 1, 'as ordered', now(), now(), '7', '7')"
    )
    with connection.transaction():
        sql.carry(connection, "7")
        start = perf_counter()
        for _ in range(SINGLE):
            connection.execute(statement)
        return (perf_counter() - start) / SINGLE


def tables(sizes: list[int], rounds: int) -> list[list[str]]:
    lines = []
    with measured_server() as server:
        for lane in TABLES:
            subprocess.run(
                command("prepare"), check=True, **surroundings(lane, server.django_settings())
            )
        with server.connect() as connection:
            for size in sizes:
                for lane in TABLES:
                    fill(connection, lane, size)
                for title, work in (("INSERT", single_inserts), ("UPDATE", single_updates)):
                    times: report.Times = {}
                    for number in range(rounds + 1):
                        for lane in random.sample(list(TABLES), 2):
                            elapsed = work(connection, lane, size)
                            if number:
                                times.setdefault((lane, title), []).append(elapsed)
                    value, low, high = report.ratio(times, "package", title)
                    base = statistics.median(times["bare", title]) * 1e6
                    spread = f"{value:.2f} ({low:.2f} to {high:.2f})"
                    lines.append([f"{size:,}", f"{title} of one row", f"{base:.1f}", spread])
                print(f"tables: {size:,} rows", file=sys.stderr)
    return lines


@contextmanager
def project(models: int, base: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "many")
        (app / "migrations").mkdir(parents=True)
        for package in (app, app / "migrations"):
            (package / "__init__.py").touch()
        head = "from django.db import models\n"
        body = ""
        if base == "TimestampModel":
            head += "from django_audit_fields.models import TimestampModel\n"
            fields = ""
        else:
            base = "models.Model"
            fields = "".join(
                f"    {name} = models.DateTimeField()\n" for name in ("created_at", "updated_at")
            ) + "".join(
                f"    {name} = models.CharField(max_length=50)\n"
                for name in ("created_by", "updated_by")
            )
        for number in range(models):
            body += (
                f"\nclass Model{number}({base}):\n"
                f"    name = models.CharField(max_length=100)\n{fields}"
            )
        (app / "models.py").write_text(head + body, "utf-8")
        yield Path(folder)


def models(numbers: list[int], rounds: int) -> list[list[str]]:
    lines = []
    for number in numbers:
        times: dict[str, dict[str, list[float]]] = {}
        for _ in range(rounds):
            for base in random.sample(["plain", "TimestampModel"], 2):
                with measured_server() as server, project(number, base) as folder:
                    package = "'django_audit_fields'," if base == "TimestampModel" else ""
                    script = PROJECT.format(database=server.django_settings(), package=package)
                    finished = subprocess.run(
                        [sys.executable, "-c", script],
                        cwd=folder,
                        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
                        check=True,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                for line in finished.stdout.splitlines():
                    name, seconds = line.rsplit(" ", 1)
                    times.setdefault(name, {}).setdefault(base, []).append(float(seconds))
        for name, by_base in times.items():
            plain, ours = (statistics.median(by_base[b]) for b in ("plain", "TimestampModel"))
            lines.append([f"{number:,}", name, f"{plain:.2f} s", f"{ours:.2f} s"])
        print(f"models: {number:,}", file=sys.stderr)
    return lines


def asking() -> list[list[str]]:
    """Nanoseconds of `current_actor()`, in each situation."""
    import django
    from django.conf import settings

    settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"])
    django.setup()
    import crum
    from django.contrib.auth.models import User
    from django.test import RequestFactory

    from django_audit_fields import acting_as, current_actor
    from django_audit_fields.actors import impersonation
    from django_audit_fields.middleware import AuditMiddleware

    impersonation.connect()
    user = User(pk=7)
    lines = []

    def measure(title: str) -> None:
        times = timeit.repeat(current_actor, number=50_000, repeat=9)
        lines.append([title, f"{statistics.median(times) / 50_000 * 1e9:.0f} ns"])

    measure("nobody is acting")
    with acting_as("import:claims"):
        measure('inside `acting_as("import:claims")`')
    with acting_as(user):
        measure("inside `acting_as(user)`")
    with crum.impersonate(user):
        measure("inside `crum.impersonate(user)`")
    request = RequestFactory().get("/")
    request.user = user
    AuditMiddleware(lambda request: measure("in a request"))(request)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--models", type=int, nargs="*", default=[10, 1_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model-rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="put the tables into this file")
    options = parser.parse_args()
    start = perf_counter()
    by_size = tables(options.sizes, options.rounds)
    by_number = models(options.models, options.model_rounds)
    parts = [
        f"Measured on {report.today()}: {report.versions('django', 'psycopg')}. "
        f"Machine: {report.machine()}.",
        report.table(["rows", "statement", "bare table, µs", "ratio with the triggers"], by_size),
        report.table(["models", "command", "plain models", "audited models"], by_number),
        report.table(["`current_actor()`", ""], asking()),
        f"All of it took {(perf_counter() - start) / 60:.0f} minutes.",
    ]
    text = "\n\n".join(parts)
    print(text)
    if options.write:
        report.replace(options.write, "growth", text)


if __name__ == "__main__":
    main()
