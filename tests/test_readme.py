"""The README's code, run as printed in a new project, does what the README says."""

import re
import tomllib
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from .database import client_program
from .printed import PROJECT, Reader, drop_database, server_environment, steps_of

README = PROJECT / "README.md"
OTHER_TABLES = PROJECT / "docs" / "how-to" / "other-tables.md"
REMOVE = PROJECT / "docs" / "how-to" / "remove.md"
DATABASE = "readme_project"
SITE = "https://django-pg-audit-fields.readthedocs.io/en/latest/"
FILES = "https://github.com/django-audit-fields/django-audit-fields/blob/main/"
RAW_FILES = "https://raw.githubusercontent.com/django-audit-fields/django-audit-fields/main/"


@pytest.fixture
def server(django_db_blocker):
    """A database of its own on the server under test, as psycopg's parameters."""
    with django_db_blocker.unblock():
        given = connection.get_connection_params()
    parameters = {key: given[key] for key in ("host", "port", "user", "password") if given.get(key)}
    drop_database(parameters, DATABASE)
    with psycopg.connect(**parameters, dbname="postgres", autocommit=True) as maintenance:
        maintenance.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    yield {**parameters, "dbname": DATABASE}
    drop_database(parameters, DATABASE)


@pytest.fixture
def reader(tmp_path, server, django_db_blocker):
    """Somebody with a new project, an app of no models yet, and the database."""
    environment = server_environment(server)
    with django_db_blocker.unblock():
        environment["PATH"] = f"{Path(client_program('psql')).parent}:{environment['PATH']}"
    reader = Reader(tmp_path, {**environment, "PGDATABASE": DATABASE}, {})
    reader.type("django-admin startproject config .", "", "test")
    reader.type("python manage.py startapp billing", "", "test")
    with (tmp_path / "config" / "settings.py").open("a") as settings:
        name = f'"ENGINE": "django.db.backends.postgresql", "NAME": "{DATABASE}"'
        settings.write(f'\nDATABASES = {{"default": {{{name}}}}}\n')
    return reader


def test_readme_does_what_it_prints(reader):
    """Settings, model, three commands, a few writes: the row and its history are those printed."""
    reader.follow(README)
    reader.type("python manage.py makemigrations --check", "No changes detected\n", "test")


def test_old_table_is_stamped_after_the_printed_migration(reader, server):
    """The migration in the guide runs forwards and backwards, and its table is stamped."""
    for step in steps_of(README):
        if step.name in ("config/settings.py", "billing/models.py"):
            reader.do(step)
    reader.type("python manage.py makemigrations billing", "…\n", "test")
    with psycopg.connect(**server, autocommit=True) as plain:
        plain.execute("CREATE TABLE old_charge (code text, entered_by text, changed_by text)")
        reader.follow(OTHER_TABLES)
        reader.type("python manage.py migrate", "…\nApplying sessions.0001_initial... OK\n", "test")
        plain.execute("INSERT INTO old_charge (code) VALUES ('a')")
        plain.execute("SELECT set_config('app.current_user', 'dba:vera', false)")
        plain.execute("UPDATE old_charge SET code = 'b'")
        assert plain.execute("SELECT * FROM old_charge").fetchall() == [("b", "system", "dba:vera")]
        reader.type("python manage.py migrate billing zero", "…\n", "test")
        plain.execute("INSERT INTO old_charge (code) VALUES ('c')")
        last = plain.execute("SELECT * FROM old_charge WHERE code = 'c'").fetchone()
        assert last == ("c", None, None)


def test_removed_as_the_guide_says(reader, server):
    """The columns stay as plain data, and nothing of the package is left on the table."""
    reader.follow(README)
    reader.follow(REMOVE)
    with psycopg.connect(**server, autocommit=True) as plain:
        [row] = plain.execute("SELECT created_by, updated_by FROM billing_invoice").fetchall()
        assert row == ("import:march", "system")
        triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'billing_invoice'::regclass"
        assert plain.execute(triggers).fetchall() == []
        functions = "SELECT proname FROM pg_proc WHERE proname LIKE 'audit_fields_%'"
        assert plain.execute(functions).fetchall() == []
        defaults = (
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'billing_invoice' AND column_default IS NOT NULL"
        )
        assert plain.execute(defaults).fetchall() == []
    reader.type("python manage.py makemigrations --check", "No changes detected\n", "test")


def test_links_lead_somewhere():
    """Every link is absolute, for the package index, and names a page or a file that is here."""
    text = README.read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    for link in links:
        for start, place, ending in ((SITE, "docs/", ".md"), (FILES, "", ""), (RAW_FILES, "", "")):
            if link.startswith(start):
                file = PROJECT / f"{place}{link.removeprefix(start).removesuffix('.html')}{ending}"
                assert file.exists(), link


def test_addresses_are_those_of_the_project():
    """pyproject.toml is the one place that names repository and site; the README follows it."""
    urls = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert urls["Repository"] in FILES
    assert urls["Documentation"] in SITE
    addresses = re.findall(
        r"https://[\w./-]*(?:django-pg-audit|django-audit)[\w./-]*", README.read_text("utf-8")
    )
    other = "https://pypi.org/project/django-audit-fields/"
    assert {a for a in addresses if not a.startswith((SITE, FILES, RAW_FILES))} == {other}


def test_costs_are_those_of_the_measurement():
    """The ratios in the README are the measured ones."""
    measured = (PROJECT / "docs" / "performance.md").read_text("utf-8")
    costs = re.findall(r"^\| (.+) \| (\d\.\d\d) \|$", README.read_text("utf-8"), re.M)
    assert len(costs) == 3
    for work, ratio in costs:
        (line,) = re.findall(rf"^\| {re.escape(work)} \|.*\| ≤ .*$", measured, re.M)
        assert f"| {ratio} (" in line, work
