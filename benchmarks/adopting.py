"""What adopting the package does to a large table: `make bench-adopting`.

A project in a folder of its own goes the way of docs/adopting.md on a real server. Each migration
reads its own locks from `pg_locks` before it ends, since it holds them until then; what is done in
batches is watched from another connection.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.own_server import OwnServer, own_server

from . import report

ROOT = Path(__file__).parents[1]
#: As a server is: it waits for its disk, and cleans up after itself.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
}
#: From the weakest to the strongest.
MODES = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
]
BATCH = 10_000

MODELS = """
from django.conf import settings
from django.db import models
from django_audit_fields.models import TimestampModel, TrailModel

def user(**options):
    return models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")


class Note({note}):
    number = models.IntegerField()
    author = user()


class Paper({paper}):
    number = models.IntegerField()
{columns}
"""
TIMES = """
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
"""
OLD_TIMES = TIMES.replace("created_at", "created").replace("updated_at", "modified")
PEOPLE = """
    created_by = user()
    updated_by = user()
"""
#: Around what makemigrations wrote, or what is written by hand.
MIGRATION = """
import json, time
from django.db import migrations, models
from django.db.models.functions import Cast
from django_audit_fields.operations import InstallAuditTriggers

def begin(apps, editor):
    editor.started = time.perf_counter()

def end(apps, editor):
    elapsed = time.perf_counter() - editor.started
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
            " WHERE pid = pg_backend_pid() AND granted AND relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        )
        print(json.dumps({"elapsed": elapsed, "locks": cursor.fetchall()}), flush=True)
"""
KEYS_ALONE = """
def keys_alone(apps, schema_editor):
    users = apps.get_model("auth", "User").objects.annotate(label=Cast("pk", models.CharField()))
    papers = apps.get_model("big", "Paper").objects
    for name in ("created_by", "updated_by"):
        papers.exclude(**{f"{name}__in": users.values("label")}).update(**{name: None})
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
"""
RENAMES = """
        migrations.RenameField("paper", "created", "created_at"),
        migrations.RenameField("paper", "modified", "updated_at"),
"""
LABELS = """
        migrations.AlterField("paper", "created_by", models.CharField(max_length=50, null=True)),
        migrations.AlterField("paper", "updated_by", models.CharField(max_length=50, null=True)),
        migrations.RunPython(migrations.RunPython.noop, keys_alone),
"""
FILL = """
    INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email,
        is_staff, is_active, date_joined)
    SELECT 'user' || n, '', false, '', '', '', false, true, now() FROM generate_series(1, 100) n;
    INSERT INTO big_note (number, author_id)
    SELECT n, 1 + n % 100 FROM generate_series(1, {rows}) n;
    INSERT INTO big_paper (number, created, modified, created_by_id, updated_by_id)
    SELECT n, now(), now(), 1 + n % 100, 1 + n % 90 FROM generate_series(1, {rows}) n;
"""


class Project:
    """A Django project in a folder, with a table of each kind."""

    def __init__(self, folder: Path, server: OwnServer) -> None:
        self.folder = folder
        self.server = server
        self.number = 0
        (folder / "big").mkdir()
        (folder / "big" / "__init__.py").touch()
        database = {**server.django_settings(), "ENGINE": "django.db.backends.postgresql"}
        (folder / "project.py").write_text(
            f"DATABASES = {{'default': {json.dumps(database)}}}\n"
            "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes',\n"
            "                  'django_audit_fields', 'big']\n"
            "USE_TZ = True\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
            "SILENCED_SYSTEM_CHECKS = ['django_audit_fields.W001']\n"
        )

    def models(self, note: str, paper: str, columns: str) -> None:
        text = MODELS.format(note=note, paper=paper, columns=columns)
        (self.folder / "big" / "models.py").write_text(text)

    def manage(self, *arguments: str) -> str:
        paths = os.pathsep.join([str(self.folder), str(ROOT)])
        finished = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=self.folder,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "project", "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what the checks say of migrations that are still to come
            text=True,
            check=True,
        )
        return finished.stdout

    def write(self, operations: str | None = None) -> str:
        """The next migration: what makemigrations writes, or these operations."""
        self.number += 1
        name = f"{self.number:04}_step"
        file = self.folder / "big" / "migrations" / f"{name}.py"
        if operations is None:
            self.manage("makemigrations", "big", "--name=step", "--verbosity=0")
            head, body = file.read_text().split("    operations = [", 1)
        else:
            head = (
                f"{KEYS_ALONE}\n\nclass Migration(migrations.Migration):\n"
                f"    dependencies = [('big', '{self.number - 1:04}_step')]\n"
            )
            body = f"{operations}\n    ]\n"
        middle, _, _ = body.rpartition("    ]")
        file.write_text(
            f"{MIGRATION}{head}    operations = [\n        migrations.RunPython(begin, end),"
            f"{middle}\n        migrations.RunPython(end, begin),\n    ]\n"
        )
        return name

    def migrate(self, target: str) -> dict[str, Any]:
        output = self.manage("migrate", "big", target, "--verbosity=0", "--skip-checks")
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return found


def strongest(locks: list[list[str]], *, table: str) -> str:
    modes = [mode for name, mode in locks if name == table]
    if not modes:
        return "none"
    mode = max(modes, key=MODES.index).removesuffix("Lock")
    return "".join(f" {c}" if c.isupper() else c.upper() for c in mode).strip()


@contextmanager
def watched(server: OwnServer, table: str) -> Iterator[list[list[str]]]:
    """The locks that others hold on a table, asked for every few milliseconds."""
    found: list[list[str]] = []
    is_over = threading.Event()

    def watch() -> None:
        query = (
            "SELECT DISTINCT mode FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE granted AND locktype = 'relation' AND relation = %s::regclass"
            " AND backend_type = 'client backend'"  # autovacuum has locks of its own
        )
        with server.connect() as connection:
            while not is_over.wait(0.005):
                found.extend([table, mode] for (mode,) in connection.execute(query, [table]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


def fill_in_batches(connection: psycopg.Connection[Any], rows: int) -> list[float]:
    """As the page says, each batch a transaction; how long each took."""
    durations = []
    for first in range(1, rows + 1, BATCH):
        start = time.perf_counter()
        with connection.transaction():
            connection.execute("SET LOCAL app.audit_preserve TO 'on'")
            connection.execute(
                "UPDATE big_note SET created_by = author_id::text WHERE id BETWEEN %s AND %s",
                [first, first + BATCH - 1],
            )
        durations.append(time.perf_counter() - start)
    return durations


def measure(project: Project, rows: int) -> Iterator[tuple[str, str, float, str]]:
    """Step, strongest lock on the table, seconds, a note."""

    def step(name: str, table: str, *, to: str | None = None) -> tuple[str, str, float, str]:
        found = project.migrate(to or project.write())
        others = strongest(found["locks"], table="auth_user")
        note = "" if others in ("none", "ACCESS SHARE") else f"{others} on the users' table"
        return name, strongest(found["locks"], table=table), found["elapsed"], note

    server = project.server
    project.models("models.Model", "models.Model", OLD_TIMES + PEOPLE)
    (project.folder / "big" / "migrations").mkdir()
    (project.folder / "big" / "migrations" / "__init__.py").touch()
    project.migrate(project.write())
    project.manage("migrate", "--verbosity=0")
    with server.connect() as connection:
        connection.execute(FILL.format(rows=rows))
        connection.execute("VACUUM ANALYZE")

    project.models("TimestampModel", "models.Model", OLD_TIMES + PEOPLE)
    yield step("four columns and triggers", "big_note")
    with server.connect() as connection:
        with watched(server, "big_note") as locks:
            durations = fill_in_batches(connection, rows)
        note = f"batches of {BATCH:,}: {sorted(durations)[len(durations) // 2] * 1000:.0f} ms each"
        note += f", longest {max(durations) * 1000:.0f} ms"
        yield "backfill in batches", strongest(locks, table="big_note"), sum(durations), note
        connection.execute("VACUUM ANALYZE big_note")
        with watched(server, "big_note") as locks:
            start = time.perf_counter()
            with connection.transaction():
                connection.execute("SET LOCAL app.audit_preserve TO 'on'")
                connection.execute("UPDATE big_note SET created_by = author_id::text")
            elapsed = time.perf_counter() - start
        yield "backfill in one UPDATE", strongest(locks, table="big_note"), elapsed, ""
        connection.execute("VACUUM ANALYZE big_note")

    project.models("TrailModel", "models.Model", OLD_TIMES + PEOPLE)
    yield step("trail", "big_note")
    with watched(server, "big_note") as locks:
        start = time.perf_counter()
        project.manage("audit_trail", "--verbosity=0", "baseline", "big_note")
        elapsed = time.perf_counter() - start
    yield "baseline", strongest(locks, table="big_note"), elapsed, "batches of 5,000"

    install = project.write("        InstallAuditTriggers('big_note'),")
    yield step("the triggers alone", "big_note", to=install)
    yield step("RenameField, two", "big_paper", to=project.write(RENAMES))
    project.models("TrailModel", "models.Model", TIMES + PEOPLE)
    keys = project.write(LABELS)
    before = f"{project.number - 1:04}_step"
    yield step("two foreign keys become text", "big_paper", to=keys)
    project.models("TrailModel", "TimestampModel", "")
    yield step("… NOT NULL, times, triggers", "big_paper")
    project.migrate(keys)
    yield step("… and back to foreign keys", "big_paper", to=before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    with own_server(**SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        print(f"{rows:,} rows; {report.machine()}")
        project = Project(Path(folder), server)
        for name, lock, elapsed, note in measure(project, rows):
            print(f"| {name} | {lock} | {elapsed:.3f} s | {note} |", flush=True)


if __name__ == "__main__":
    main()
