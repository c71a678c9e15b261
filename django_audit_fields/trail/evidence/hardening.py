"""Takes the trail out of the hands of the roles that the application has, and gives it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...triggers import quote_identifier, quote_literal
from ..recording import (
    APPEND_ONLY,
    HELPERS,
    RECORDERS,
    SCHEMA,
    SEAL_FUNCTIONS,
    current_role,
    installed_triggers,
    rows,
    sql_of,
)

OWNERS_QUERY: Final = """
    SELECT pg_catalog.pg_get_userbyid(nspowner)::text, pg_catalog.pg_get_userbyid(proowner)::text
    FROM pg_catalog.pg_namespace
    JOIN pg_catalog.pg_proc ON pronamespace = pg_namespace.oid AND proname = 'record'
    WHERE nspname = 'audit_trail'
"""
TABLES_QUERY: Final = """
    SELECT relname::text FROM pg_catalog.pg_class
    WHERE relnamespace = 'audit_trail'::pg_catalog.regnamespace AND relkind IN ('r', 'p')
    ORDER BY relname
"""
ROLE_QUERY: Final = "SELECT rolcanlogin OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s"

FUNCTIONS_QUERY: Final = """
    SELECT proname::text, pg_proc.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc
    WHERE pronamespace = 'audit_trail'::pg_catalog.regnamespace ORDER BY 2
"""

#: What records belongs to the writer: it runs with the rights of who owns it.
RECORDING: Final = frozenset(RECORDERS) | set(HELPERS) - {"refuse"}


def harden_sql(connection: BaseDatabaseWrapper, *, owner: str, writer: str) -> str:
    """What a DBA runs. Raises ValueError for a role that cannot be one of the two."""
    role = current_role(connection)
    [(owned_by, _)] = rows(connection, OWNERS_QUERY)
    if owner == writer:
        raise ValueError(f"Owner and writer are two roles, not both {owner!r}.")
    missing = []
    for name in (owner, writer):
        found = rows(connection, ROLE_QUERY, name)
        if found == [(True,)]:
            raise ValueError(f"Role {name!r} can log in or is a superuser: name another, or none.")
        if not found:
            missing.append(name)
    to_owner, to_writer = quote_identifier(owner), quote_identifier(writer)
    readers = ", ".join(quote_identifier(name) for name in sorted({role, owned_by} - {owner}))
    tables = [name for (name,) in rows(connection, TABLES_QUERY)]
    functions = rows(connection, FUNCTIONS_QUERY)
    recording = [full for name, full in functions if name in RECORDING]
    others = [full for name, full in functions if name not in RECORDING]
    return "\n".join(
        [
            *(f"CREATE ROLE {quote_identifier(name)} NOLOGIN;" for name in missing),
            "-- To hand over what one has, one has to be a member of the role that gets it.",
            f"GRANT {to_owner}, {to_writer} TO CURRENT_USER;",
            f"ALTER SCHEMA {SCHEMA} OWNER TO {to_owner};",
            *(f"ALTER TABLE {SCHEMA}.{quote_identifier(t)} OWNER TO {to_owner};" for t in tables),
            *(f"ALTER FUNCTION {name} OWNER TO {to_owner};" for name in others),
            f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {to_writer};",
            *(f"ALTER FUNCTION {name} OWNER TO {to_writer};" for name in recording),
            f"REVOKE CREATE ON SCHEMA {SCHEMA} FROM {to_writer};",
            f"GRANT INSERT ON {SCHEMA}.event TO {to_writer};",
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO {readers};",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {readers};",
            *(
                f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{name} TO {readers};"
                for name in (*(f"{name}()" for name in RECORDERS), *SEAL_FUNCTIONS)
            ),
            "-- ALWAYS: also where session_replication_role says that other triggers do not fire.",
            *trigger_sql(connection, tables, "ENABLE ALWAYS"),
            chain_sql("harden", owner, writer),
            f"REVOKE {to_owner}, {to_writer} FROM CURRENT_USER;",
            "",
        ]
    )


def soften_sql(connection: BaseDatabaseWrapper) -> str:
    """Gives everything to the role that this connection has."""
    role = current_role(connection)
    [(owner, writer)] = rows(connection, OWNERS_QUERY)
    if owner == writer:
        raise ValueError("The trail is not hardened.")
    to_role = quote_identifier(role)
    roles = f"{quote_identifier(owner)}, {quote_identifier(writer)}"
    tables = [name for (name,) in rows(connection, TABLES_QUERY)]
    return "\n".join(
        [
            f"GRANT {roles} TO CURRENT_USER;",
            "-- First, while nobody but the owner can have written it.",
            chain_sql("soften", owner, writer),
            f"GRANT CREATE ON SCHEMA {SCHEMA} TO {to_role};",
            *trigger_sql(connection, tables, "ENABLE"),
            *(f"ALTER TABLE {SCHEMA}.{quote_identifier(t)} OWNER TO {to_role};" for t in tables),
            *(
                f"ALTER FUNCTION {name} OWNER TO {to_role};"
                for _, name in rows(connection, FUNCTIONS_QUERY)
            ),
            f"ALTER SCHEMA {SCHEMA} OWNER TO {to_role};",
            f"REVOKE ALL ON {SCHEMA}.event FROM {quote_identifier(writer)};",
            f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {quote_identifier(writer)};",
            f"REVOKE {roles} FROM CURRENT_USER;",
            "",
        ]
    )


def chain_sql(kind: str, owner: str, writer: str) -> str:
    roles = f"'owner', {quote_literal(owner)}::text, 'writer', {quote_literal(writer)}::text"
    detail = f"pg_catalog.jsonb_build_object({roles})"
    return f"SELECT {SCHEMA}.chain({quote_literal(kind)}, {detail});"


def trigger_sql(connection: BaseDatabaseWrapper, tables: list[str], state: str) -> Iterator[str]:
    """Those that guard the trail, and those that record, on tables and their partitions."""
    for table in tables:
        name = f"{SCHEMA}.{quote_identifier(table)}"
        yield f"ALTER TABLE ONLY {name} {state} TRIGGER {quote_identifier(APPEND_ONLY)};"
    for place, triggers in installed_triggers(connection).items():
        for name in triggers:
            yield f"ALTER TABLE ONLY {sql_of(place)} {state} TRIGGER {quote_identifier(name)};"


def run_sql(connection: BaseDatabaseWrapper, sql: str) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(sql)


def is_superuser(connection: BaseDatabaseWrapper) -> bool:
    """Whether the connection's role passes every lock there is."""
    answer: list[Any] = rows(
        connection, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    )
    return answer == [(True,)]
