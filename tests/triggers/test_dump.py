"""pg_dump and back: rows come back as they were, triggers as the code would install them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from django_audit_fields.drift.catalog import differences
from django_audit_fields.triggers.rules import ROLES, Stamping
from tests.database import client_program
from tests.triggers.audited_tables import columns_sql, install_sql_of

SCHEMA = "dumped"
TABLES = {
    "usual": {},
    "strictly": {"strict": True},
    "refusing": {"nobody": "refuse"},
    "by_role": {"nobody": "session_user", "strict": True},
    "parted": {"strict": True},
}


def run(name: str, *arguments: str, text: str = "") -> str:
    parameters = connection.get_connection_params()
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    environment = {
        variable: str(parameters[key]) for key, variable in names.items() if parameters.get(key)
    }
    environment["PGDATABASE"] = parameters["dbname"]
    done = subprocess.run(
        [client_program(name), *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def plain(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """Tables of each mode in a schema of their own, in autocommit, with rows of several people."""
    parameters = connection.get_connection_params()
    for name in ("context", "cursor_factory"):
        parameters.pop(name, None)
    with psycopg.connect(**parameters, autocommit=True) as plain:
        plain.execute(f"CREATE SCHEMA {SCHEMA}")
        try:
            for table, rules in TABLES.items():
                place = f"{SCHEMA}.{table}"
                suffix = "PARTITION BY RANGE (id)" if table == "parted" else ""
                plain.execute(
                    f"CREATE TABLE {place} (id int PRIMARY KEY, {columns_sql()}) {suffix}"
                )
                if suffix:
                    for number, (start, end) in enumerate(((0, 2), (2, 100))):
                        plain.execute(
                            f"CREATE TABLE {place}_{number} PARTITION OF {place} "
                            f"FOR VALUES FROM ({start}) TO ({end})"
                        )
                stamping = Stamping.of({role: role for role in ROLES}, **rules)
                plain.execute(install_sql_of(place, stamping, plain))
                for number, who in enumerate(("7", "o'brien", "import:claims")):
                    with plain.transaction():
                        plain.execute("SELECT set_config('app.current_user', %s, true)", [who])
                        plain.execute(f"INSERT INTO {place} (id) VALUES (%s)", [number])
                with plain.transaction():
                    plain.execute("SET LOCAL app.\"current_user\" TO 'changer'")
                    plain.execute(f"UPDATE {place} SET id = 10 WHERE id = 1")
            yield plain
        finally:
            plain.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def rows_of(plain: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    return {
        table: plain.execute(f"SELECT * FROM {SCHEMA}.{table} ORDER BY id").fetchall()
        for table in TABLES
    }


@pytest.mark.parametrize("form", ["--inserts", "--column-inserts", "--schema=dumped"])
def test_a_data_only_restore_stamps_nothing_again(
    plain: psycopg.Connection[Any], form: str
) -> None:
    """Nobody acts, the search path is empty, and every row comes back with its own people."""
    before = rows_of(plain)
    assert {row[3] for rows in before.values() for row in rows} == {"7", "o'brien", "import:claims"}
    dump = run("pg_dump", "--data-only", f"--schema={SCHEMA}", form)
    plain.execute(f"TRUNCATE {', '.join(f'{SCHEMA}.{table}' for table in TABLES)}")
    run("psql", "--quiet", "--set=ON_ERROR_STOP=1", text=dump)
    assert rows_of(plain) == before


def test_a_whole_restore_is_no_difference(plain: psycopg.Connection[Any]) -> None:
    """Triggers, functions and their comments are in the dump, and mean the same afterwards."""
    before = rows_of(plain)
    assert [found for found in differences(connection) if SCHEMA in found.table] == []
    dump = run("pg_dump", f"--schema={SCHEMA}")
    plain.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
    run("psql", "--quiet", "--set=ON_ERROR_STOP=1", text=dump)
    assert rows_of(plain) == before
    assert [found for found in differences(connection) if SCHEMA in found.table] == []
    plain.execute(f"INSERT INTO {SCHEMA}.usual (id) VALUES (99)")
    stored = plain.execute(f"SELECT created_by FROM {SCHEMA}.usual WHERE id = 99").fetchone()
    assert stored == ("system",)
