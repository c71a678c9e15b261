"""Brings a database in line with the code, and an older release's triggers up to this one's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors

from ..triggers import (
    FUNCTION_MARK,
    FUNCTION_PREFIX,
    PARTITIONS_ENDING,
    TRIGGER_NAMES,
    Stamping,
    drop_sql,
    install_sql,
    quote_identifier,
)
from .catalog import Coverage, Difference, coverage
from .installed import Catalog
from .tables import Table


def repair_sql(entry: Coverage) -> Iterator[str]:
    """The statements that make a table what the code would install."""
    table = entry.table
    for trigger in table.triggers.values():
        if trigger.name not in TRIGGER_NAMES:
            yield f"DROP TRIGGER {quote_identifier(trigger.name)} ON {table.sql}"
    if entry.stamping is not None:
        yield install_sql(
            table.sql,
            entry.stamping,
            schema=table.schema,
            defaults=entry.defaults,
            has_function=entry.has_function,
        )
    for trigger in table.triggers.values():
        places = [table.sql] if trigger.firing != "O" else []
        places += [".".join(map(quote_identifier, place)) for place, _ in trigger.switched_on]
        if trigger.name in TRIGGER_NAMES:
            for place in places:
                yield f"ALTER TABLE {place} ENABLE TRIGGER {quote_identifier(trigger.name)}"


@dataclass(frozen=True, slots=True)
class Repair:
    """A table that was not in line, and what became of it."""

    entry: Coverage
    #: Why it is as it was before, and what to do about it; None when it is in line now.
    fault: str | None = None
    cure: str | None = None


def repair(connection: BaseDatabaseWrapper) -> list[Repair]:
    """Bring every table in line that can be, each wholly or not at all."""
    repairs = []
    for entry in coverage(connection):
        if entry.missing_columns:
            fault = f"no column {', '.join(entry.missing_columns)}"
            repairs.append(Repair(entry, fault, MISSING_COLUMNS_CURE))
        elif entry.differences and entry.stamping is None:
            fault = "nothing says which columns its triggers fill"
            repairs.append(Repair(entry, fault, UNTOLD_CURE))
        elif entry.differences:
            repairs.append(repair_table(connection, entry))
    return repairs


def repair_table(connection: BaseDatabaseWrapper, entry: Coverage) -> Repair:
    try:
        # Table by table, so that no lock is held longer than its repair takes.
        with connection.schema_editor() as editor:
            for statement in repair_sql(entry):
                editor.execute(statement, params=None)
    except DatabaseError as error:
        # Another table may be another role's, or free of locks; a lost connection is lost for all.
        if not connection.is_usable():
            raise
        cause = error.__cause__
        fault = str(error).partition("\n")[0]
        if isinstance(cause, errors.InsufficientPrivilege):
            return Repair(entry, fault, ownership_cure(connection, entry.table))
        if isinstance(cause, (errors.LockNotAvailable, errors.DeadlockDetected)):
            return Repair(entry, fault, "Run it again when others have let go of the table.")
        return Repair(entry, fault, "Put right what PostgreSQL names, and run it again.")
    for place, name in entry.table.later_triggers:
        where = ".".join(map(quote_identifier, place))
        rename = RENAME_CURE.replace("…", f"{quote_identifier(name)} ON {where}", 1)
        fault = f"trigger {name} fires after those of the package"
        return Repair(entry, fault, rename)
    return Repair(entry)


def cure_by_hand(entry: Coverage, difference: Difference) -> str | None:
    """What people have to do about a difference; None where `repair` does it."""
    if entry.missing_columns:
        return MISSING_COLUMNS_CURE
    if entry.stamping is None:
        return UNTOLD_CURE
    return RENAME_CURE if difference.kind == "order" else None


MISSING_COLUMNS_CURE: Final = (
    "Name the column again as it was, or have a migration remove the triggers and add them anew."
)
UNTOLD_CURE: Final = "Drop them, and have a migration add them anew."
RENAME_CURE: Final = "Triggers fire in the order of their names: ALTER TRIGGER … RENAME TO …"

OWNERS_QUERY: Final = """
    SELECT DISTINCT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(owner))
    FROM (
        SELECT relowner FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%(table)s)
        UNION ALL
        SELECT proowner FROM pg_catalog.pg_proc
        JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
        WHERE nspname = %(schema)s AND pg_catalog.starts_with(proname, %(prefix)s)
            AND pronargs = 0 AND pg_catalog.strpos(prosrc, %(mark)s) > 0
    ) AS owners (owner)
    WHERE NOT pg_catalog.pg_has_role(owner, 'USAGE')
    ORDER BY 1
"""


def ownership_cure(connection: BaseDatabaseWrapper, table: Table) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.quote_ident(current_user)")
        (role,) = cursor.fetchone()
        parameters = {"prefix": FUNCTION_PREFIX, "mark": FUNCTION_MARK}
        cursor.execute(OWNERS_QUERY, {"table": table.sql, "schema": table.schema, **parameters})
        owners = ", ".join(owner for (owner,) in cursor.fetchall())
    if not owners:
        grant = f"GRANT CREATE ON SCHEMA {quote_identifier(table.schema)} TO {role}"
        return f"Run it as a role that may, perhaps after {grant}."
    return f"Run it as {owners}, or after GRANT {owners} TO {role}."


#: Triggers of ours, on a table and its partitions, that do not fire as they were made to.
SWITCHES_QUERY: Final = """
    SELECT pg_catalog.format('%%I.%%I', nspname, relname), tgname, tgenabled
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE tgname = ANY(%(names)s) AND tgenabled <> 'O' AND (
        tgrelid = pg_catalog.to_regclass(%(table)s) OR tgrelid IN (
            SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(table)s))))
"""
SWITCHES: Final = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


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
        if not {column for _, column in stamping.columns} <= set(table.columns):
            continue  # renamed past the triggers: for people to put right, and no reason to stop
        reinstall_table(catalog, table, stamping)


def reinstall_table(catalog: Catalog, table: Table, stamping: Stamping) -> None:
    """Make the triggers anew, and have them fire as they did. Another owner's are left alone."""
    connection, has_function = catalog.connection, catalog.has_function(table, stamping)
    install = install_sql(table.sql, stamping, schema=table.schema, has_function=has_function)
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(SWITCHES_QUERY, {"table": table.sql, "names": list(TRIGGER_NAMES)})
            switches = list(cursor.fetchall())
            cursor.execute("\n".join(drop_sql(table.sql)))
            cursor.execute(install)
            for place, name, switch in switches:
                trigger = quote_identifier(name)
                cursor.execute(f"ALTER TABLE ONLY {place} {SWITCHES[switch]} TRIGGER {trigger}")
    except DatabaseError as error:
        if not isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise


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
        for name in TRIGGER_NAMES
    )


#: Functions of ours, in whatever schema, that no trigger uses.
UNUSED_QUERY: Final = """
    SELECT pg_proc.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc
    WHERE pronargs = 0 AND pg_catalog.starts_with(proname, %(prefix)s)
        AND pg_catalog.strpos(prosrc, %(mark)s) > 0 AND pg_catalog.pg_has_role(proowner, 'USAGE')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgfoid = pg_proc.oid)
"""


def finish_migrate(*, using: str, **kwargs: Any) -> None:
    """Receive `post_migrate`: what no single migration can know, or do."""
    connection = connections[using]
    if connection.vendor == "postgresql":
        give_partitions_their_function(connection)
        drop_unused_functions(connection)


def drop_unused_functions(connection: BaseDatabaseWrapper) -> None:
    """Dropping a table takes its triggers along and leaves their functions."""
    with connection.cursor() as cursor:
        cursor.execute(UNUSED_QUERY, {"prefix": FUNCTION_PREFIX, "mark": FUNCTION_MARK})
        for (function,) in cursor.fetchall():
            try:
                with transaction.atomic(using=connection.alias):
                    cursor.execute(f"DROP FUNCTION {function}")
            except DatabaseError as error:
                # Used in a way that pg_trigger does not show, or dropped by another migration.
                if not isinstance(error.__cause__, KEPT):
                    raise


KEPT: Final[tuple[type[Any], ...]] = (errors.DependentObjectsStillExist, errors.UndefinedFunction)

#: Tables that have partitions, or are one, and triggers of their own that take them for others;
#: and the other way round, once a partition was detached.
MISTAKEN_QUERY: Final = """
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_trigger
        JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
        JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
        WHERE tgparentid = 0 AND tgname = ANY(%(names)s)
            AND pg_catalog.starts_with(proname, %(prefix)s)
            AND (relkind = 'p' OR relispartition)
                <> (pg_catalog.strpos(proname, %(ending)s) > 0))
"""


def give_partitions_their_function(connection: BaseDatabaseWrapper) -> None:
    """A model's migration cannot know whether its table will be partitioned."""
    with connection.cursor() as cursor:
        parameters = {"prefix": FUNCTION_PREFIX, "ending": PARTITIONS_ENDING}
        cursor.execute(MISTAKEN_QUERY, {"names": list(TRIGGER_NAMES), **parameters})
        (is_mistaken,) = cursor.fetchone()
    if not is_mistaken:
        return
    catalog = Catalog(connection)
    for table in catalog.tables.values():
        stamping = catalog.present_stamping(table) if table.triggers else None
        functions = {
            catalog.functions[trigger.function].name
            for trigger in table.triggers.values()
            if trigger.function in catalog.functions
        }
        if stamping is not None and functions != {stamping.function_name}:
            reinstall_table(catalog, table, stamping)
