"""The example behind gunicorn, on a database of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from example_project.embedded_database import database_url

from .pages import EXAMPLE

# The example's modules find each other as its own programs do.
sys.path.insert(0, str(EXAMPLE))
from demonstration import web_server as gunicorn

SETTINGS = {"DJANGO_SETTINGS_MODULE": "config.settings"}


@contextlib.contextmanager
def clinic_database(name: str) -> Iterator[str]:
    """The address of a database with the clinic's people and ledger, which is dropped again."""
    server, name = database_url("postgres"), f"{name}_{os.getpid()}"
    address = urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        for command in (["migrate", "--verbosity=0"], ["set_up_clinic"]):
            subprocess.run(
                [sys.executable, EXAMPLE / "manage.py", *command],
                env={**os.environ, **SETTINGS, "DATABASE_URL": address},
                stdout=subprocess.DEVNULL,
                check=True,
            )
        yield address
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


@contextlib.contextmanager
def web_server(database: str) -> Iterator[gunicorn.Site]:
    """gunicorn inherits the environment, which names the settings of these tests."""
    before = os.environ.get("DJANGO_SETTINGS_MODULE")
    os.environ.update(SETTINGS)
    try:
        with gunicorn.web_server(database) as site:
            yield site
    finally:
        if before is not None:
            os.environ["DJANGO_SETTINGS_MODULE"] = before
