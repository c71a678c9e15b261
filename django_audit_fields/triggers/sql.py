"""The statements that put triggers on a table and take them off; opens no cursor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db.backends.ddl_references import Statement

from .quoting import dollar_quote, quote_identifier, quote_literal
from .rules import EVENTS, OBSOLETE_TRIGGERS, TRIGGER_NAMES, Stamping


class AuditStatement(Statement):
    """Marks what is deferred for us, so that removing the constraint can call it back."""


def function_sql(stamping: Stamping, schema: str | None) -> str:
    """`schema` is a name, None the first of the search path."""
    name = qualified(stamping.function_name, schema)
    body = dollar_quote(stamping.function_body, "stamp")
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {body};\n"
        f"COMMENT ON FUNCTION {name}() IS {quote_literal(stamping.function_comment)};"
    )


def trigger_sql(name: str, table: str, stamping: Stamping, schema: str | None) -> str:
    """One trigger of a table, whose quoted name is given."""
    trigger = quote_identifier(name)
    arguments = ", ".join(map(quote_literal, stamping.arguments))
    function = f"{qualified(stamping.function_name, schema)}({arguments})"
    event = EVENTS[name]
    return (
        f"CREATE OR REPLACE TRIGGER {trigger} BEFORE {event} ON {table}\n"
        f"    {stamping.definition(event)}\n"
        f"    EXECUTE FUNCTION {function};\n"
        f"COMMENT ON TRIGGER {trigger} ON {table} IS {quote_literal(stamping.comment)};"
    )


def install_sql(
    table: str,
    stamping: Stamping,
    *,
    schema: str | None = None,
    defaults: Mapping[str, str] | None = None,
    has_function: bool = False,
) -> str:
    """Create or replace the function and the triggers of a table, whose quoted name is given.

    `schema` is where the function goes, None the first of the search path. With `has_function` it
    is there already, and may be another role's.
    `defaults` are expressions by column, to be set along with the triggers.
    """
    triggers = (trigger_sql(name, table, stamping, schema) for name in TRIGGER_NAMES)
    function = [] if has_function else [function_sql(stamping, schema)]
    return "\n".join([*function, *triggers, *set_defaults_sql(table, defaults or {})])


def set_defaults_sql(table: str, defaults: Mapping[str, str]) -> Iterable[str]:
    for column, default in defaults.items():
        yield f"ALTER TABLE {table} ALTER COLUMN {quote_identifier(column)} SET DEFAULT {default};"


def remove_sql(
    table: str,
    defaults: Mapping[str, str] | None = None,
    triggers: Iterable[str] = TRIGGER_NAMES,
) -> str:
    """Drop the triggers. `defaults` are expressions by column, to be set again.

    Functions that nothing uses any more go after `migrate`.
    """
    return "\n".join([*drop_sql(table, triggers), *set_defaults_sql(table, defaults or {})])


def drop_sql(table: str, triggers: Iterable[str] = OBSOLETE_TRIGGERS) -> Iterable[str]:
    for trigger in triggers:
        yield f"DROP TRIGGER IF EXISTS {quote_identifier(trigger)} ON {table};"


def qualified(name: str, schema: str | None) -> str:
    quoted = quote_identifier(name)
    return quoted if schema is None else f"{quote_identifier(schema)}.{quoted}"
