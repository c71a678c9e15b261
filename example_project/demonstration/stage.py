"""What the scenarios share: the people, the rows' archive, psql, and the outcomes so far."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psycopg
from django.db import DatabaseError

from embedded_database import ServerError, server_programs

from .evidence import LEDGER, Archive, Stamp
from .report import Expectation, Outcome, judge


@dataclasses.dataclass(frozen=True)
class Scene:
    """Before anything is written: the time, and the rows that will change."""

    table: str
    start: datetime.datetime
    before: Mapping[str, Stamp]


class Stage:
    def __init__(self, archive: Archive, dsn: str, password: str | None) -> None:
        self.archive = archive
        self.outcomes: list[Outcome] = []
        self._dsn = dsn
        self._password = password
        self._people: dict[str, Any] = {}
        self._failure: str | None = None

    def meet(self, user: Any) -> None:
        self._people[user.get_username()] = user

    def person(self, username: str) -> Any:
        return self._people[username]

    def names(self) -> dict[str, str]:
        """Which person a label is."""
        return {str(user.pk): username for username, user in self._people.items()}

    def scene(self, table: str = LEDGER, *, changes: Iterable[str] = ()) -> Scene:
        before = self.archive.stamps(table, changes)
        return Scene(table, self.archive.now(), before)

    def judge(
        self,
        scene: Scene,
        keys: Iterable[str],
        scenario: str,
        how: str,
        *,
        by: str | None,
        changed_by: str | None = None,
        rows: int = 1,
        python: str | None = None,
    ) -> None:
        """Compare the rows with who must be in them: a username or a label.

        `python`: what filled the names, when the statement came from a model of ours.
        """
        created_by, updated_by = (
            str(self._people[who].pk) if who in self._people else who
            for who in (by, changed_by or by)
        )
        expected = Expectation(
            scenario=scenario,
            how=how,
            created_by=created_by,
            updated_by=updated_by,
            python=python,
            start=scene.start,
            end=self.archive.now(),
            before=scene.before,
            rows=rows,
        )
        outcome = judge(expected, self.archive.evidence(scene.table, keys))
        if self._failure is not None:
            outcome.faults.insert(0, self._failure)
            self._failure = None
        self.outcomes.append(outcome)
        say(f"  {'ok  ' if outcome.passed else 'FAIL'}  {how}")

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Inside it, a write that fails is a fault of the row to be judged next."""
        try:
            yield
        except DatabaseError as error:
            self._failure = " ".join(str(error).split())

    def new_code(self) -> str:
        """The key of a new charge, also when earlier runs left theirs."""
        return f"NEW-{secrets.token_hex(4)}"

    def newest_entry(self) -> int:
        row = self.archive.connection.execute(
            "SELECT coalesce(max(entry_number), 0) AS newest FROM invoices_arsubledger"
        ).fetchone()
        assert row is not None
        newest: int = row["newest"]
        return newest

    def entries_after(self, newest: int) -> list[str]:
        return self.archive.keys_where(LEDGER, "entry_number > %s", [newest])

    def plain_connection(self) -> psycopg.Connection[Any]:
        """A connection that has never heard of Django."""
        return psycopg.connect(self._dsn, autocommit=True, password=self._password)

    def psql(self, script: str) -> list[str]:
        """Run the script and answer the values that it printed.

        A write that PostgreSQL refuses is a fault of the row to be judged next.
        """
        environment = {**os.environ, **({"PGPASSWORD": self._password} if self._password else {})}
        finished = subprocess.run(
            [find_psql(), "--no-psqlrc", "-qtA", "-v", "ON_ERROR_STOP=1", self._dsn],
            input=script,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if finished.returncode != 0:
            self._failure = " ".join(finished.stderr.split())
        return finished.stdout.split()


def find_psql() -> str:
    """The embedded server's, else the machine's."""
    try:
        program = server_programs() / "psql"
    except ServerError:
        program = None
    if program is not None and program.exists():
        return str(program)
    if found := shutil.which("psql"):
        return found
    raise RuntimeError("The demo needs psql: install PostgreSQL's client.")


def say(text: str) -> None:
    """Progress, seen at once also when the output goes to a file."""
    print(text, flush=True)
