"""Whether a table can be stamped, and what of it is: asked of the database before a change."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper

from .rules import OBSOLETE_TRIGGERS, ROLES, TIME_ROLES, TRIGGER_NAMES

#: What a name stands for, and whether this role may give it triggers. 'r': table, 'p': partitioned.
RELATION_QUERY: Final = """
    SELECT nspname, relkind, relkind = 'p' OR relispartition,
        pg_catalog.pg_has_role(relowner, 'USAGE'),
        pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(relowner)),
        pg_catalog.quote_ident(current_user)
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = pg_catalog.to_regclass(%s)
"""

#: Columns with the type that stands behind a domain, however many lie between.
COLUMNS_QUERY: Final = """
    WITH RECURSIVE kinds AS (
        SELECT attname, pg_catalog.format_type(atttypid, atttypmod) AS label, typcategory,
            typbasetype, typname
        FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
        WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT attname, label, pg_type.typcategory, pg_type.typbasetype, pg_type.typname
        FROM kinds JOIN pg_catalog.pg_type ON pg_type.oid = kinds.typbasetype
    )
    SELECT attname, label, typcategory = 'S' AND typname NOT IN ('char', 'name'),
        typname IN ('timestamptz', 'timestamp')
    FROM kinds WHERE typbasetype = 0
"""
#: Views, materialized views.
VIEWS: Final = ("v", "m")


def examine_table(
    connection: BaseDatabaseWrapper, table: str, columns: Mapping[str, str]
) -> tuple[str, bool]:
    """The schema of a table, whose quoted name is given, and whether it has partitions or is one.

    `columns` is role to column. Raises ProgrammingError for a table that cannot be stamped.
    """
    with connection.cursor() as cursor:
        cursor.execute(RELATION_QUERY, [table])
        relation = cursor.fetchone()
        cursor.execute(COLUMNS_QUERY, [table])
        found = {name: facts for name, *facts in cursor.fetchall()}
    if relation is None:
        raise ProgrammingError(
            f"There is no table {table}. Name one that a migration before this has made; its "
            "schema is named apart."
        )
    schema, kind, is_partitioned, may_alter, owner, role = relation
    if kind in VIEWS:
        raise ProgrammingError(
            f"{table} is a view, and PostgreSQL gives none a trigger like ours. "
            "Name the table that it shows."
        )
    if not may_alter:
        raise ProgrammingError(
            f"{table} belongs to {owner}, and {role} may not give it triggers. "
            f"Migrate as {owner}, or after GRANT {owner} TO {role}."
        )
    for argument, column in columns.items():
        if column not in found:
            raise ProgrammingError(
                f"Table {table} has no column {column}. "
                f"Name the column that it has, or none: {argument}=None."
            )
        label, holds_label, holds_time = found[column]
        holds, is_held = ("time", holds_time) if argument in TIME_ROLES else ("label", holds_label)
        if not is_held:
            raise ProgrammingError(
                f"Column {column} of table {table} is of type {label}, which cannot hold a "
                f"{holds}. Name another column, or none: {argument}=None."
            )
    return schema, is_partitioned


#: A table's own triggers; what a partition has from its table goes with that.
OWN_TRIGGERS_QUERY: Final = """
    SELECT tgname FROM pg_catalog.pg_trigger
    WHERE tgrelid = pg_catalog.to_regclass(%s) AND tgparentid = 0 AND tgname = ANY(%s)
    ORDER BY tgname
"""


def own_triggers(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    with connection.cursor() as cursor:
        names = [*TRIGGER_NAMES, *OBSOLETE_TRIGGERS]
        cursor.execute(OWN_TRIGGERS_QUERY, [table, names])
        return [name for (name,) in cursor.fetchall()]


def comment_facts(comment: str | None) -> dict[str, Any] | None:
    """What the comment of a trigger says: `version`, `columns` by role. None: it says nothing."""
    mark, _, text = (comment or "").partition(" ")
    if mark != "django_audit_fields":
        return None
    try:
        facts = json.loads(text)
    except ValueError:
        return None
    if not isinstance(facts, dict):
        return None
    columns = facts.get("columns")
    # A comment that somebody else wrote, or changed, tells nothing.
    is_readable = isinstance(columns, dict) and columns and set(columns) <= set(ROLES)
    return facts if is_readable else None


COMMENTS_QUERY: Final = """
    SELECT pg_catalog.obj_description(oid, 'pg_trigger') FROM pg_catalog.pg_trigger
    WHERE tgrelid = pg_catalog.to_regclass(%s) AND tgname = ANY(%s)
"""


def stamped_columns(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    """What the triggers on a table, whose quoted name is given, fill; whatever it is called."""
    with connection.cursor() as cursor:
        cursor.execute(COMMENTS_QUERY, [table, list(TRIGGER_NAMES)])
        facts = [comment_facts(comment) for (comment,) in cursor.fetchall()]
    return {column for each in facts if each for column in each["columns"].values()}


#: Of quoted names, those that name a table (or a foreign one) without these triggers: its own, or
#: those that a partition has from its table.
WITHOUT_TRIGGER_QUERY: Final = """
    SELECT given.name FROM pg_catalog.unnest(%s::text[]) AS given (name)
    JOIN pg_catalog.pg_class ON pg_class.oid = pg_catalog.to_regclass(given.name)
    WHERE relkind IN ('r', 'p', 'f') AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger
        WHERE tgrelid = pg_class.oid AND tgname = ANY(%s))
"""


def tables_without_trigger(
    connection: BaseDatabaseWrapper, tables: Collection[str], triggers: Collection[str]
) -> set[str]:
    """Of quoted names, those of tables that have none of these triggers."""
    if not tables:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(WITHOUT_TRIGGER_QUERY, [list(tables), list(triggers)])
        return {name for (name,) in cursor.fetchall()}
