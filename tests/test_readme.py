"""The README's code, run as printed in a new project, does what the README says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from psycopg import sql

README = Path(__file__).parent.parent / "README.md"
DATABASE = "readme_project"
SETTINGS = """
SECRET_KEY = "readme"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {{"default": {database!r}}}
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "billing"
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
"""


def marked_blocks(kind):
    """The code blocks after a comment such as `<!-- file: settings -->`, as (name, code) pairs."""
    pattern = rf"^( *)<!-- {kind}(?:: (\S+))? -->\n *```\w+\n(.*?)\n *```$"
    found = re.findall(pattern, README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [(name, re.sub(rf"^{indent}", "", code, flags=re.M)) for indent, name, code in found]


def rows_of(table):
    """The cells of a table as psql prints it."""
    lines = [line for line in table.splitlines() if "|" in line]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.fixture
def parameters(django_db_blocker):
    """A database of its own on the server under test, as Django's connection parameters."""
    with django_db_blocker.unblock():
        given = connection.get_connection_params()
    server = {name: given[name] for name in ("host", "port", "user", "password") if given.get(name)}
    database = sql.Identifier(DATABASE)
    with psycopg.connect(**server, dbname="postgres", autocommit=True) as maintenance:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
        maintenance.execute(drop)
        maintenance.execute(sql.SQL("CREATE DATABASE {}").format(database))
        yield {**server, "dbname": DATABASE}
        maintenance.execute(drop)


@pytest.fixture
def run(tmp_path, parameters):
    """Writes the README's files into a project and answers how to run Django's commands there."""
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE}
    database |= {theirs: parameters[ours] for theirs, ours in names.items() if ours in parameters}
    [(_, settings)] = [block for block in marked_blocks("file") if block[0] == "settings"]
    (tmp_path / "readme_settings.py").write_text(SETTINGS.format(database=database) + settings)
    app = tmp_path / "billing"
    (app / "migrations").mkdir(parents=True)
    (app / "__init__.py").touch()
    (app / "migrations" / "__init__.py").touch()
    files = {name: code for name, code in marked_blocks("file") if name != "settings"}
    assert sorted(files) == ["billing/migrations/0002_old_charges.py", "billing/models.py"]
    (tmp_path / "billing/models.py").write_text(files["billing/models.py"])

    def run_command(*arguments):
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "readme_settings"}
        finished = subprocess.run(
            [sys.executable, "-W", "error", "-m", "django", *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{README.parent}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    return run_command


def test_first_screen_does_what_it_prints(run, parameters):
    """Model, two commands, a few writes: the rows are those in the README, but for the clock."""
    commands = re.findall(r"^\$ python manage.py (.*)$", README.read_text("utf-8"), re.M)[:2]
    assert commands == ["makemigrations billing", "migrate"]
    for command in commands:
        run(*command.split())
    run("makemigrations", "--check", "--dry-run")
    [(_, program)] = [block for block in marked_blocks("run") if block[0] == "python"]
    run("shell", "-c", program)

    scripts = [code for name, code in marked_blocks("run") if name == "sql"]
    [(_, printed)] = marked_blocks("rows")
    header, *expected = rows_of(printed)
    with psycopg.connect(**parameters, autocommit=True) as plain:
        *statements, query = [part for part in scripts[0].split(";") if part.strip()]
        for statement in statements:
            plain.execute(statement)
        cursor = plain.execute(query)
        assert [column.name for column in cursor.description] == header
        actual = [dict(zip(header, row, strict=True)) for row in cursor]
        plain.execute(scripts[1])
        [(label,)] = plain.execute("SELECT updated_by FROM billing_invoice WHERE amount = 121")
    assert label == "dba:vera"

    unclocked = [name for name in header if not name.endswith("_at")]
    printed_rows = [dict(zip(header, row, strict=True)) for row in expected]
    assert [[str(row[name]) for name in unclocked] for row in actual] == [
        [row[name] for name in unclocked] for row in printed_rows
    ]
    # Even the clock's order is as printed: which rows were changed after they were made.
    assert [row["updated_at"] > row["created_at"] for row in actual] == [
        row["updated_at"] > row["created_at"] for row in printed_rows
    ]


def test_old_table_is_stamped_after_the_printed_migration(tmp_path, run, parameters):
    """The migration in the README runs forwards and backwards, and its table is stamped."""
    run("makemigrations", "billing")
    [code] = [code for name, code in marked_blocks("file") if name.endswith("_old_charges.py")]
    (tmp_path / "billing/migrations/0002_old_charges.py").write_text(code)
    run("migrate")
    with psycopg.connect(**parameters, autocommit=True) as plain:
        plain.execute("INSERT INTO old_charge (code) VALUES ('a')")
        assert plain.execute("SELECT * FROM old_charge").fetchall() == [("a", "system", "system")]
    run("migrate", "billing", "zero")
    run("makemigrations", "--check", "--dry-run")


def test_links_lead_somewhere():
    """Every relative link of the README names a file of the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text("utf-8"))
    assert [link for link in links if not (README.parent / link).exists()] == []
