"""Tables to put triggers on, and questions to ask of pg_catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection

from django_audit_fields.triggers.quoting import quote_identifier
from django_audit_fields.triggers.rules import ROLES, TIME_ROLES, Stamping
from django_audit_fields.triggers.sql import install_sql

ROLE_TYPES = {role: "timestamptz" if role in TIME_ROLES else "varchar(50)" for role in ROLES}


def execute(sql: str, parameters: Any = None, using: Any = connection) -> None:
    with using.cursor() as cursor:
        cursor.execute(sql, parameters)


def rows(sql: str, parameters: Any = None, using: Any = connection) -> list[tuple[Any, ...]]:
    with using.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def row(sql: str, parameters: Any = None, using: Any = connection) -> tuple[Any, ...]:
    (found,) = rows(sql, parameters, using)
    return found


def columns_sql(types: Mapping[str, str] = ROLE_TYPES) -> str:
    return ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in types.items())


def make_table(name: str, *, suffix: str = "", types: Mapping[str, str] = ROLE_TYPES) -> None:
    """`name` as SQL writes it; with an id, a body and the audit columns."""
    execute(f"CREATE TABLE {name} (id integer, body text, {columns_sql(types)}) {suffix}")


def install(name: str, *, columns: Mapping[str, str] | None = None, **rules: Any) -> None:
    """As a migration would, and what comes after it; `name` as SQL writes it."""
    stamping = Stamping.of(columns or {role: role for role in ROLES}, **rules)
    execute(install_sql_of(name, stamping))


def install_sql_of(name: str, stamping: Stamping, using: Any = connection) -> str:
    schema, partitions = row(
        "SELECT nspname, relkind = 'p' OR relispartition FROM pg_class "
        "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = %s::regclass",
        [name],
        using,
    )
    return install_sql(name, stamping.for_partitions(partitions), schema=schema)


def act_as(label: str | None, *, preserve: bool = False) -> None:
    """For the rest of the transaction; None is nobody."""
    execute("SELECT set_config('app.current_user', %s, true)", [label or ""])
    execute("SELECT set_config('app.audit_preserve', %s, true)", ["on" if preserve else ""])


def stamps_of(name: str, key: int = 1) -> dict[str, Any]:
    found = row(f"SELECT {', '.join(ROLES)} FROM {name} WHERE id = %s", [key])
    return dict(zip(ROLES, found, strict=True))


def people_of(name: str, key: int = 1) -> tuple[str, str]:
    stamps = stamps_of(name, key)
    return stamps["created_by"], stamps["updated_by"]


def triggers_on(name: str) -> dict[str, str]:
    """Trigger to function, of those that users see on a table."""
    return dict(
        rows(
            "SELECT tgname, proname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
            "WHERE tgrelid = %s::regclass AND NOT tgisinternal",
            [name],
        )
    )


def audit_functions(schema: str | None = None) -> list[str]:
    """The functions of ours, by name."""
    return [
        name
        for (name,) in rows(
            "SELECT proname FROM pg_proc WHERE proname LIKE 'audit\\_fields\\_%%' "
            "AND (%(schema)s::text IS NULL OR pronamespace = %(schema)s::regnamespace) ORDER BY 1",
            {"schema": schema},
        )
    ]
