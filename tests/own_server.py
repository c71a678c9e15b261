"""A PostgreSQL server for one test or one measurement, to be killed, stopped, promoted or tuned."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg

from example_project.embedded_database import (
    PORT,
    SUPERUSER,
    ServerError,
    run,
    runnable_programs,
    server_programs,
    temporary_folder,
    unprivileged_account,
)

DURABLE_ENOUGH = {
    "listen_addresses": "",
    "max_connections": "60",
    "fsync": "off",
    "synchronous_commit": "off",
}


class OwnServer:
    """Its data are in a folder of their own and go with it; only the folder's socket listens."""

    def __init__(self, **settings: str) -> None:
        self.account = unprivileged_account()
        self.programs = runnable_programs(server_programs(), self.account)
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=temporary_folder(self.account)))
        if self.account is not None:
            os.chown(self.folder, pwd.getpwnam(self.account).pw_uid, -1)
        self.data = self.folder / "data"
        self.settings = {**DURABLE_ENOUGH, **settings}

    def initialise(self) -> Self:
        arguments = ["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", *arguments, "--wal-segsize=1", "-D", self.data)
        return self

    def copy(self) -> OwnServer:
        """Another server with what this one, which has to be stopped, holds by now."""
        copy = OwnServer(**self.settings)
        finished = run("/bin/cp", ["-R", self.data, copy.data], self.account)
        if finished.returncode != 0:
            raise ServerError(f"{self.data} cannot be copied.\n{finished.stdout}")
        return copy

    def start(self, largest_file: int | None = None) -> Self:
        """Start, with `largest_file` as the most bytes that the server may write to one file."""
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        options += [f"-cunix_socket_directories={self.folder}", f"-cport={PORT}"]
        log = self.folder / "log"
        arguments = ["start", "-w", "-t60", "-D", self.data, "-l", log, "-o", shlex.join(options)]
        if largest_file is None:
            self._run("pg_ctl", *arguments)
        else:  # what a shell limits, its children inherit; in blocks of 512 bytes
            script = f'ulimit -f {largest_file // 512} && exec "$0" "$@"'
            started = run(
                "/bin/sh", ["-c", script, self.programs / "pg_ctl", *arguments], self.account
            )
            self._check("pg_ctl", started)
        return self

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", f"-m{mode}", "-D", self.data)

    def standby(self) -> OwnServer:
        """A streaming copy of this server; it takes writes once it is promoted."""
        copy = OwnServer(**self.settings)
        self._run(
            *("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", copy.data),
            *("-h", self.folder, "-p", str(PORT), "-U", SUPERUSER),
        )
        return copy.start()

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-w", "-D", self.data)

    def connect(self, name: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        options = {"autocommit": True, **options}
        return psycopg.connect(
            host=str(self.folder), port=PORT, user=SUPERUSER, dbname=name, **options
        )

    def django_settings(self, name: str = "postgres", **further: Any) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": SUPERUSER,
            "HOST": str(self.folder),
            "PORT": str(PORT),
            **further,
        }

    def remove(self) -> None:
        with contextlib.suppress(ServerError):  # it may be stopped already
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str | Path) -> None:
        self._check(program, run(self.programs / program, arguments, self.account))

    def _check(self, program: str, finished: subprocess.CompletedProcess[str]) -> None:
        if finished.returncode != 0:
            log = self.folder / "log"
            reason = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
            raise ServerError(f"{program} failed in {self.folder}.\n{finished.stdout}{reason}")


@contextlib.contextmanager
def own_server(**settings: str) -> Iterator[OwnServer]:
    server = OwnServer(**settings)
    try:
        yield server.initialise().start()
    finally:
        server.remove()
