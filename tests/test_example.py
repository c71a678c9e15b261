"""The example project works: its own tests, its demo, and how both are started."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connections

PROJECT = Path(__file__).parent.parent
EXAMPLE = PROJECT / "example_project"


def run(*command, timeout=120, **environment):
    return subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(PROJECT),
            **environment,
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def server(django_db_blocker):
    """What to set for the demo: with DATABASE_URL, a database of its own on that server."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        yield {}
        return
    name = "demo_of_tests"
    with django_db_blocker.unblock(), connections["default"]._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")
        yield {"DATABASE_URL": urlsplit(url)._replace(path=f"/{name}").geturl()}
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_example_passes_its_own_tests():
    """Login, list, forms, admin, import and the old table, with the example's own settings."""
    finished = run(sys.executable, EXAMPLE / "manage.py", "test", "--noinput", "invoices")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"Ran \d{2,} tests", finished.stderr)


def test_the_example_has_no_change_without_a_migration():
    """What `makemigrations` wrote is what the models say, triggers included."""
    finished = run(sys.executable, EXAMPLE / "manage.py", "makemigrations", "--check", "--dry-run")
    assert (finished.returncode, finished.stdout) == (0, "No changes detected\n")


def test_the_demo_stamps_every_row_right(server):
    """The four scenarios on a real web server: all pass, and each is in the table."""
    finished = run(sys.executable, EXAMPLE / "demo.py", **server)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    table = [line for line in finished.stdout.splitlines() if re.match(r"[1-4] ", line)]
    assert {line[0] for line in table} == {"1", "2", "3", "4"}
    assert len(table) >= 18
    assert all(line.endswith("  pass") for line in table)


def test_the_demo_fails_when_a_layer_is_missing(server):
    """Its judgement is worth something: without the triggers it ends with 1 and says which row."""
    finished = run(sys.executable, EXAMPLE / "demo.py", "--without-triggers", **server)
    assert finished.returncode == 1
    assert re.search(r"^3 direct SQL .* FAIL$", finished.stdout, re.MULTILINE)
    assert re.search(r"^1 ORM, in a request .* pass$", finished.stdout, re.MULTILINE)


def test_the_ledger_file_is_what_its_command_makes(tmp_path):
    """The seed is kept: the same command writes the same rows again."""
    again = tmp_path / "ledger.csv"
    finished = run(sys.executable, EXAMPLE / "manage.py", "make_ledger", "--output", again)
    assert finished.returncode == 0, finished.stderr
    assert again.read_bytes() == (EXAMPLE / "data" / "ledger.csv").read_bytes()
    assert len(again.read_text().splitlines()) > 1000


@pytest.mark.parametrize("missing", ["nothing", "python3 -> 3.9"])
def test_a_missing_or_old_python_is_said_in_one_line(tmp_path, missing):
    """No traceback and no half-made environment: what is needed, what was found, what to do."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "cksum", "rm", "env"):
        found = next(p for p in (Path("/bin"), Path("/usr/bin")) if (p / name).exists())
        (tools / name).symlink_to(found / name)
    if missing != "nothing":
        (tools / "python3").write_text(
            "#!/bin/sh\ncase $2 in *print*) echo 3.9;; *suits*) exit 1;; *) exit 1;; esac\n"
        )
        (tools / "python3").chmod(0o755)
    environment = tmp_path / "environment"
    finished = subprocess.run(
        ["sh", ".ci/environment", str(environment), "test"],
        cwd=PROJECT,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stdout == ""
    [line] = finished.stderr.splitlines()
    found = "python3 is 3.9" if missing != "nothing" else "none"
    assert line.startswith("This needs Python 3.11 or later")
    assert found in line
    assert "make PYTHON=" in line
    assert not environment.exists()
