"""Mixed traffic against real servers: `make load`.

gunicorn with threads and uvicorn, PgBouncer in transaction mode before PostgreSQL, 50 users. All of
it on this machine: the servers listen on the loopback interface, the databases on sockets of their
own folder, and everything ends with this process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import django

from benchmarks import report
from tests.own_server import OwnServer, own_server

from .clients import ABANDONED, Client, compare

ROOT = Path(__file__).parent.parent.parent
THREADS = 8
SERVERS = {
    "gunicorn": [
        *("gunicorn", "benchmarks.load.wsgi:application", "--worker-class", "gthread"),
        *("--threads", str(THREADS), "--bind", "fd://{fd}", "--log-level", "critical"),
    ],
    "uvicorn": [
        *("uvicorn", "benchmarks.load.asgi:application", "--fd", "{fd}"),
        *("--log-level", "critical", "--no-access-log"),
    ],
}
EVENTS = """
    SELECT coalesce(after, before) ->> 'mark', action, actor FROM audit_trail.event
    WHERE table_name = 'load_entry' ORDER BY id
"""
BOUNCER = """
[databases]
* = host='{host}' port=5432 user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 300
pidfile = {folder}/pid
logfile = {folder}/log
"""


def find_bouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def pooled(server: OwnServer) -> Iterator[dict[str, Any]]:
    """Settings of the database behind PgBouncer; without it, those of the server itself."""
    program = find_bouncer()
    if program is None:
        yield server.django_settings()
        return
    folder = server.folder / "bouncer"
    folder.mkdir(mode=0o700)
    (folder / "ini").write_text(BOUNCER.format(host=server.folder, folder=folder))
    arguments = [program, str(folder / "ini")]
    if server.account is not None:  # it refuses to run as root, too
        user = pwd.getpwnam(server.account)
        for path in (folder, folder / "ini"):
            os.chown(path, user.pw_uid, -1)
        arguments += ["-u", server.account]
    bouncer = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        wait_for(folder / ".s.PGSQL.6432")
        yield server.django_settings(HOST=str(folder), PORT="6432")
    finally:
        bouncer.terminate()
        bouncer.wait(20)


def wait_for(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        threading.Event().wait(0.05)
    raise RuntimeError(f"{path} does not appear.")


@contextlib.contextmanager
def serving(name: str, database: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """A server in processes of its own; yields its port and its process."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        fd = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=fd) for part in SERVERS[name])],
            pass_fds=[fd],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "benchmarks.load.settings",
                "LOAD_DATABASE": json.dumps(database),
                # uvicorn serves each request in a thread of its own, and gunicorn in one of eight.
                "LOAD_CONN_MAX_AGE": "60" if name == "gunicorn" else "0",
            },
        )
        try:
            yield listener.getsockname()[1], server.pid
        finally:
            server.terminate()
            server.wait(30)


def memory_of(process: int) -> int:
    """Bytes that the process and its children hold for themselves; 0 where /proc is missing."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(map(memory_of, map(int, (task / "children").read_text().split())))
    return total


def prepare(database: dict[str, Any], users: int) -> dict[str, str]:
    """Migrate; answer the cookie of each user's session."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.load.settings"
    os.environ["LOAD_DATABASE"] = json.dumps(database)
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client as DjangoClient

    call_command("migrate", run_syncdb=True, verbosity=0)
    cookies = {}
    for user in User.objects.bulk_create([User(username=f"user {n}") for n in range(users)]):
        client = DjangoClient()
        client.force_login(user)
        cookies[str(user.pk)] = f"sessionid={client.cookies['sessionid'].value}"
    connection.close()
    return cookies


def load(seconds: float, users: int) -> dict[str, Any]:
    """Everything found, as numbers and lists; `failures` is empty when all is well."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(own_server(max_connections="100", timezone="UTC"))
        cookies = prepare(server.django_settings(), users)
        database = stack.enter_context(pooled(server))
        servers = {name: stack.enter_context(serving(name, database)) for name in SERVERS}
        ports = [port for port, _ in servers.values()]
        clients = [Client(key, cookie, ports, list(cookies)) for key, cookie in cookies.items()]
        start = monotonic()
        over, samples = threading.Event(), []

        def is_over() -> bool:
            return monotonic() - start >= seconds

        def watch() -> None:
            while not over.wait(min(5, seconds / 20)):
                held = {name: memory_of(process) for name, (_, process) in servers.items()}
                samples.append((monotonic() - start, held))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with ThreadPoolExecutor(users) as executor:
                list(executor.map(lambda client: client.run(is_over, over), clients))
        finally:
            over.set()
            watcher.join()
        elapsed = monotonic() - start
        settle(server)
        with server.connect() as connection:
            rows = connection.execute(
                "SELECT mark, created_by, updated_by FROM load_entry"
            ).fetchall()
            events = defaultdict(list)
            for mark, action, actor in connection.execute(EVENTS):
                events[mark].append((action, actor))
            version = connection.info.parameter_status("server_version")
    verdict = compare(
        [client.journal for client in clients],
        rows,
        {mark: tuple(found) for mark, found in events.items()},
    )
    unexpected = [line for client in clients for line in client.unexpected]
    memory = {name: flatness(samples, name, elapsed) for name in SERVERS}
    return {
        "seconds": elapsed,
        "users": users,
        "requests": sum(client.requests for client in clients),
        "abandoned": sum(client.abandoned for client in clients),
        "promised": sum(
            entry.promise == "kept" for client in clients for entry in client.journal.values()
        ),
        "undone": sum(
            entry.promise == "gone" for client in clients for entry in client.journal.values()
        ),
        "verdict": verdict,
        "unexpected": unexpected,
        "memory": memory,
        "version": version,
        "pooled": find_bouncer() is not None,
    }


def settle(server: OwnServer) -> None:
    """Wait until the requests that nobody waits for have ended, too."""
    with server.connect() as connection:
        quiet = 0
        while quiet < 10:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() AND state <> 'idle'"
            ).fetchone()
            quiet = 0 if row and row[0] else quiet + 1
            threading.Event().wait(0.1)


def flatness(samples: list[Any], name: str, elapsed: float) -> tuple[float, float]:
    """Megabytes halfway and at the end: the largest of the fifth around, and of the last fifth."""
    held = [(at / elapsed, memory[name] / 2**20) for at, memory in samples]
    halfway = max((size for at, size in held if 0.4 <= at < 0.6), default=0.0)
    end = max((size for at, size in held if at >= 0.8), default=0.0)
    return halfway, end


def failures(result: dict[str, Any]) -> list[str]:
    verdict = result["verdict"]
    found = [
        *(f"wrong name: {line}" for line in verdict.wrong),
        *(f"lost: {line}" for line in verdict.lost),
        *(f"not wanted: {line}" for line in verdict.unwanted),
        *(f"unexpected: {line}" for line in result["unexpected"]),
    ]
    for name, (halfway, end) in result["memory"].items():
        # Room for fragmentation, a tenth of what a leak of 100 bytes per request would take.
        if end > halfway * 1.1 + 4:
            found.append(f"memory of {name}: {halfway:.1f} MB halfway, {end:.1f} MB at the end")
    if not result["promised"]:
        found.append("nothing was written")
    return found


def described(result: dict[str, Any]) -> str:
    verdict = result["verdict"]
    rows = [
        ["length, users", f"{result['seconds']:.0f} s, {result['users']}"],
        ["requests", f"{result['requests']:,}"],
        [
            f"left by the client before the answer (1 in {ABANDONED})",
            f"{result['abandoned']:,}",
        ],
        ["rows that were promised", f"{result['promised']:,}"],
        ["rows that were undone again", f"{result['undone']:,}"],
        ["rows found", f"{verdict.rows:,}"],
        ["events in the trail", f"{verdict.events:,}"],
        ["**wrong names or events**", f"**{len(verdict.wrong)}**"],
        ["**promised and lost**", f"**{len(verdict.lost)}**"],
        ["undone and found", str(len(verdict.unwanted))],
        ["answers other than expected", str(len(result["unexpected"]))],
    ]
    rows += [
        [f"memory of {name}, halfway and at the end", f"{halfway:.1f} MB, {end:.1f} MB"]
        for name, (halfway, end) in result["memory"].items()
    ]
    between = "through PgBouncer in transaction mode" if result["pooled"] else "without PgBouncer"
    names = report.versions("django", "psycopg", "gunicorn", "uvicorn")
    return (
        f"Run on {report.today()}: {names}, PostgreSQL {result['version']} {between}. "
        f"Machine: {report.machine()}.\n\n" + report.table(["", ""], rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--write", type=Path, help="put the table into this file")
    options = parser.parse_args()
    result = load(options.seconds, options.users)
    text = described(result)
    print(text)
    if options.write:
        report.replace(options.write, "load", text)
    if found := failures(result):
        print("\n".join(found[:20]), file=sys.stderr)
        sys.exit(f"{len(found)} failures")


if __name__ == "__main__":
    main()
