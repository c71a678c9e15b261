"""Runs what a page of the documentation prints, in its order, and compares the outputs.

What is done with a code block is said by the comment before it, or by its language:

    <!-- file: clinic/models.py -->       the block is a file of the project
    <!-- end of: config/settings.py -->   the block is added to a file
    <!-- by hand: add_visit -->           what the text asks the reader to click: a function does it
    <!-- not run -->                      the block is left out
    ```console                            each line after `$` is run by a shell, and prints the rest
    ```pycon                              is typed into `manage.py shell`

A line `…` of an output stands for any number of lines. Times and digests are not compared.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

PROJECT = Path(__file__).parent.parent
MARK = r"^(?P<indent> *)<!-- (?P<kind>file|end of|by hand|not run)(?:: (?P<name>\S+))? -->$"
BLOCK = r"^(?P<fence_indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$"
PIECE = re.compile(rf"{MARK}|{BLOCK}", re.MULTILINE | re.DOTALL)
#: What differs from one run to the next.
VARIABLE = [
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{32,64}\b|\b[0-9a-f]{6,}…"), "<digest>"),
    (re.compile(r"-{2,}"), "--"),
]
SHELL = """
import doctest, pathlib, sys
text = pathlib.Path({file!r}).read_text("utf-8")
test = doctest.DocTestParser().get_doctest(text, {{}}, "page", "page", 0)
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
runner.run(test)
sys.exit(1 if runner.failures else 0)
"""


@dataclass(frozen=True)
class Step:
    """One thing that a page has its reader do."""

    kind: str
    name: str
    code: str
    #: Page and line.
    place: str


def steps_of(page: Path) -> Iterator[Step]:
    text = page.read_text("utf-8")
    mark: tuple[str, str] | None = None
    for piece in PIECE.finditer(text):
        place = f"{page.name}:{text[: piece.start()].count(chr(10)) + 1}"
        if (kind := piece["kind"]) is not None:
            assert mark is None, f"{place}: a mark without a block"
            mark = (kind, piece["name"] or "")
            if kind == "by hand":
                yield Step(kind, mark[1], "", place)
                mark = None
            continue
        code = textwrap.dedent(piece["code"])
        if mark is not None:
            kind, name = mark
            mark = None
            if kind != "not run":
                yield Step(kind, name, code, place)
        elif piece["language"] in ("console", "pycon"):
            yield Step(piece["language"], "", code, place)


def plain(line: str) -> str:
    """A line without what differs from run to run, nor the widths of a table's columns."""
    for pattern, word in VARIABLE:
        line = pattern.sub(word, line)
    return " ".join(line.split())


def lines_of(output: str) -> list[str]:
    lines = [plain(line) for line in output.splitlines()]
    return [line for line in lines if line]


def is_printed(actual: list[str], expected: list[str]) -> bool:
    """Whether `actual` is `expected`, in which a line `…` stands for any number of lines."""
    if not expected:
        return not actual
    if expected[0] == "…":
        return any(is_printed(actual[start:], expected[1:]) for start in range(len(actual) + 1))
    return bool(actual) and actual[0] == expected[0] and is_printed(actual[1:], expected[1:])


def commands_of(code: str) -> Iterator[tuple[str, str]]:
    """Each command of a console, and what it prints."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            further, _, output = output.partition("\n")
            command = f"{command[:-1]}{further.strip()}"
        yield command, output


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        by_hand: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.folder = folder
        self.by_hand = by_hand
        kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        self.environment = {**kept, **environment, "PATH": path, "PYTHONPATH": str(PROJECT)}
        self.environment |= {"PYTHONWARNINGS": "error", "PGTZ": "UTC", "COLUMNS": "200"}

    def follow(self, page: Path) -> None:
        for step in steps_of(page):
            self.do(step)

    def do(self, step: Step) -> None:
        file = self.folder / step.name
        if step.kind == "file":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step.code, "utf-8")
        elif step.kind == "end of":
            with file.open("a", encoding="utf-8") as settings:
                settings.write("\n" + step.code)
        elif step.kind == "by hand":
            self.by_hand[step.name](self)
        elif step.kind == "console":
            for command, output in commands_of(step.code):
                self.type(command, output, step.place)
        else:
            self.type_python(step.code, step.place)

    def type(self, command: str, output: str, place: str) -> None:
        finished = self.run(command)
        actual, expected = lines_of(finished.stdout), lines_of(output)
        assert is_printed(actual, expected), (
            f"{place}: $ {command}\nprinted\n{finished.stdout}\nand not\n{output}"
        )

    def type_python(self, code: str, place: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".pycon", encoding="utf-8") as file:
            file.write(code)
            file.flush()
            finished = self.python(SHELL.format(file=file.name))
        assert finished.returncode == 0, f"{place}:\n{finished.stdout}"

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        return self.start([sys.executable, "manage.py", "shell", "-v0", "-c", program])

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return self.start(["/bin/sh", "-c", command])

    def start(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def server_environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What PostgreSQL's own programs, and psycopg, read of the server under test."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    found = {name: str(parameters[key]) for key, name in names.items() if parameters.get(key)}
    return {**found, "PATH": os.environ.get("PATH", "")}


def drop_database(parameters: Mapping[str, Any], name: str) -> None:
    server = {
        key: parameters[key] for key in ("host", "port", "user", "password") if parameters.get(key)
    }
    with psycopg.connect(**server, dbname="postgres", autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)
