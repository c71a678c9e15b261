"""Brings a database in line with the code, and an older release's triggers up to this one's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .catalog import CompiledDefaults, Coverage, coverage, stamped_defaults
from .installed import Catalog, Table
from .quoting import quote_identifier, quote_literal
from .rules import Stamping
from .trigger_sql import drop_unused_functions_sql, install_sql


def repair_sql(connection: BaseDatabaseWrapper, entry: Coverage) -> Iterator[str]:
    """The statements that make a table what the code would install."""
    table = entry.table
    if entry.missing_columns:
        return  # for a person to decide: which column is meant, or whether the triggers are
    for trigger in table.triggers.values():
        if trigger.name not in table.trigger_names:
            yield f"DROP TRIGGER {quote_identifier(trigger.name)} ON {table.sql}"
    if entry.stamping is not None:
        yield str(install_sql(quote_literal(table.sql), entry.stamping))
    for trigger in table.triggers.values():
        places = [table.sql] if not trigger.is_enabled else []
        places += [".".join(map(quote_identifier, place)) for place in trigger.disabled_on]
        if trigger.name in table.trigger_names:
            for place in places:
                yield f"ALTER TABLE {place} ENABLE TRIGGER {quote_identifier(trigger.name)}"
    for column, default in stamped_defaults(table, entry, CompiledDefaults(connection)).items():
        yield (
            f"ALTER TABLE {table.sql} ALTER COLUMN {quote_identifier(column)} SET DEFAULT {default}"
        )


def repair(connection: BaseDatabaseWrapper) -> list[Coverage]:
    """Bring every table in line, and answer those that were not."""
    repaired = [entry for entry in coverage(connection) if entry.differences]
    for entry in repaired:
        # Table by table, so that no lock is held longer than its repair takes.
        with connection.schema_editor() as editor:
            for statement in repair_sql(connection, entry):
                editor.execute(statement, params=None)
    return repaired


def reinstall(connection: BaseDatabaseWrapper) -> None:
    """Bring what an older release installed to this one's text, and change no rule.

    For the package's own migrations: rules come from the catalog, and no model or setting is read.
    Functions and tables of another owner are left to that owner.
    """
    if connection.vendor != "postgresql":
        return
    catalog = Catalog(connection)
    for table in catalog.tables.values():
        stamping = catalog.present_stamping(table) if table.triggers else None
        if stamping is None or not is_outdated(catalog, table, stamping):
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class "
                "WHERE oid = pg_catalog.to_regclass(%s)",
                [table.sql],
            )
            if cursor.fetchone() == (True,):
                cursor.execute(str(install_sql(quote_literal(table.sql), stamping)))


def is_outdated(catalog: Catalog, table: Table, stamping: Stamping) -> bool:
    functions = [catalog.functions.get(trigger.function) for trigger in table.triggers.values()]
    if any(function is None or not function.is_owned for function in functions):
        return False
    return any(
        function is not None
        and (function.body, function.comment) != (stamping.function_body, stamping.function_comment)
        for function in functions
    ) or any(
        name not in table.triggers or table.triggers[name].comment != stamping.comment
        for name in table.trigger_names
    )


def drop_unused_functions(*, using: str, **kwargs: Any) -> None:
    """After `migrate`: dropping a table takes its triggers along and leaves their functions."""
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(drop_unused_functions_sql())
