"""The statements that put triggers on a table and take them off; opens no cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.db.backends.ddl_references import Reference, Statement, Table

from .quoting import dollar_quote, fill, quote_identifier, quote_literal
from .rules import (
    EVENTS,
    FUNCTION_MARK,
    FUNCTION_PREFIX,
    INSERT_TRIGGER,
    MOVE_TRIGGER,
    TIME_ROLES,
    TRIGGER_NAMES,
    UPDATE_TRIGGER,
    Stamping,
)


class QuotedTable(Table):
    """A table's quoted name inside a string literal; follows renames while it is deferred."""

    def __str__(self) -> str:
        return quote_literal(super().__str__())


class AuditStatement(Statement):
    """Marks what is deferred for us, so that removing the constraint can call it back."""


#: One statement, so that it is all or nothing in a migration that is not atomic, too.
#: It finds the table's schema when it runs: the tenant's own, or the one that `db_table` names.
INSTALL_TEMPLATE: Final = """\
DO {block}
DECLARE
    audited pg_catalog.regclass := pg_catalog.to_regclass({table});
    home pg_catalog.text;
    is_partitioned pg_catalog.bool;
    body pg_catalog.text := {body};
{search_path}BEGIN
{own_search_path}    IF audited IS NULL THEN
        RAISE undefined_table USING
            MESSAGE = 'There is no table ' || {table} || '.',
            HINT = 'Name one that a migration before this has made; its schema is named apart.';
    END IF;
    SELECT quote_ident(nspname), relkind = 'p' OR relispartition INTO STRICT home, is_partitioned
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = audited;
{checks}\
    -- Left alone when it is there already: other tables use it, and its owner may be another role.
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc JOIN pg_catalog.pg_language ON pg_language.oid = prolang
        WHERE pronamespace = home::regnamespace AND proname = {function_name} AND pronargs = 0
            AND prosrc = body AND lanname = 'plpgsql' AND NOT prosecdef AND proconfig IS NULL
            AND obj_description(pg_proc.oid, 'pg_proc') = {function_comment}
    ) THEN
        EXECUTE 'CREATE OR REPLACE FUNCTION ' || home || {function} ||
            ' RETURNS trigger LANGUAGE plpgsql AS ' || quote_literal(body);
        EXECUTE 'COMMENT ON FUNCTION ' || home || {function} || ' IS ' ||
            quote_literal({function_comment});
    END IF;
{triggers}\
{callers_search_path}\
END
{block_end};"""

#: Only the table is looked for on the caller's search path: whoever may make functions there would
#: run them with the rights of whoever migrates. What fails takes this back by itself.
SEARCH_PATH: Final = {
    "search_path": (
        "    callers_path pg_catalog.text := pg_catalog.current_setting('search_path');\n"
    ),
    "own_search_path": (
        "    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);\n"
    ),
    "callers_search_path": (
        "    PERFORM pg_catalog.set_config('search_path', callers_path, true);\n"
    ),
}

TRIGGER_TEMPLATE: Final = """\
    EXECUTE {create} || audited || {definition} ||
        ' EXECUTE FUNCTION ' || home || CASE WHEN is_partitioned THEN {moving_call} ELSE {call} END;
    EXECUTE {comment_on} || audited || ' IS ' || quote_literal({comment});
"""

MOVE_TEMPLATE: Final = """\
    IF is_partitioned THEN
{trigger}\
    ELSIF EXISTS (
        SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = audited AND tgname = {name}
    ) THEN
        EXECUTE {drop} || audited;
    END IF;
"""

COLUMN_CHECK_TEMPLATE: Final = """\
    DECLARE
        role record;
        kind record;
    BEGIN
        FOR role IN SELECT * FROM (VALUES {columns}) AS roles(role, name, holds) LOOP
            SELECT pg_type.oid, typcategory, typbasetype, format_type(atttypid, atttypmod) AS label
            INTO kind
            FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
            WHERE attrelid = audited AND attname = role.name AND attnum > 0 AND NOT attisdropped;
            IF NOT FOUND THEN
                RAISE undefined_column USING
                    MESSAGE =
                        'Table ' || audited || ' has no column ' || quote_ident(role.name) || '.',
                    HINT = 'Name the column that it has, or none: ' || role.role || '=None.';
            END IF;
            WHILE kind.typbasetype <> 0 LOOP
                SELECT oid, typcategory, typbasetype, kind.label AS label INTO kind
                FROM pg_catalog.pg_type WHERE oid = kind.typbasetype;
            END LOOP;
            IF (role.holds = 'time' AND
                    kind.oid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype))
                OR (role.holds = 'label' AND
                    (kind.typcategory <> 'S' OR kind.oid IN ('"char"'::regtype, 'name'::regtype)))
            THEN
                RAISE datatype_mismatch USING
                    MESSAGE =
                        'Column ' || quote_ident(role.name) || ' of table ' || audited ||
                        ' is of type ' || kind.label ||
                        ', which cannot hold a ' || role.holds || '.',
                    HINT = 'Name another column, or none: ' || role.role || '=None.';
            END IF;
        END LOOP;
    END;
"""

REMOVE_TEMPLATE: Final = """\
DO {block}
DECLARE
    audited pg_catalog.regclass := pg_catalog.to_regclass({table});
    home pg_catalog.oid;
    installed pg_catalog.name;
    unused record;
{search_path}\
BEGIN
    IF audited IS NULL THEN
        RETURN;
    END IF;
{own_search_path}\
    home := (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = audited);
    FOR installed IN
        SELECT tgname FROM pg_catalog.pg_trigger
        WHERE tgrelid = audited AND tgname IN ({names}) AND tgparentid = 0
    LOOP
        EXECUTE 'DROP TRIGGER ' || quote_ident(installed) || ' ON ' || audited;
    END LOOP;
{defaults}\
{sweep}\
{callers_search_path}\
END
{block};"""

#: Other tables may use a function still, in ways that pg_trigger does not show.
SWEEP_TEMPLATE: Final = """\
    FOR unused IN
        SELECT pg_proc.oid::regprocedure AS name FROM pg_catalog.pg_proc
        WHERE {condition} AND pronargs = 0 AND starts_with(proname, {prefix})
            AND strpos(prosrc, {mark}) > 0 AND pg_has_role(proowner, 'USAGE')
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgfoid = pg_proc.oid)
    LOOP
        BEGIN
            EXECUTE 'DROP FUNCTION ' || unused.name;
        -- Or another sweep, of a migration that runs at the same time, was faster.
        EXCEPTION WHEN dependent_objects_still_exist OR undefined_function THEN
            NULL;
        END;
    END LOOP;
"""

SWEEP_ALL_TEMPLATE: Final = """\
DO $audit$
DECLARE
    unused record;
{search_path}\
BEGIN
{own_search_path}\
{sweep}\
{callers_search_path}\
END
$audit$;"""


def sweep_sql(condition: str) -> str:
    return fill(
        SWEEP_TEMPLATE,
        {
            "condition": condition,
            "prefix": quote_literal(FUNCTION_PREFIX),
            "mark": quote_literal(FUNCTION_MARK),
        },
    )


def drop_unused_functions_sql() -> str:
    """Drop each function of ours, in whatever schema, that no trigger uses."""
    return fill(SWEEP_ALL_TEMPLATE, {"sweep": sweep_sql("true"), **SEARCH_PATH})


def trigger_sql(name: str, stamping: Stamping) -> str:
    """The part of the block that creates or replaces one trigger."""
    event = EVENTS[name]

    def call(*, is_partitioned: bool) -> str:
        arguments = map(quote_literal, stamping.arguments(is_partitioned=is_partitioned))
        return quote_literal(f".{quote_identifier(stamping.function_name)}({', '.join(arguments)})")

    return fill(
        TRIGGER_TEMPLATE,
        {
            "create": quote_literal(
                f"CREATE OR REPLACE TRIGGER {quote_identifier(name)} BEFORE {event} ON "
            ),
            "definition": dollar_quote(f" {stamping.definition(event)}", "definition"),
            "call": call(is_partitioned=False),
            "moving_call": call(is_partitioned=True),
            "comment_on": quote_literal(f"COMMENT ON TRIGGER {quote_identifier(name)} ON "),
            "comment": quote_literal(stamping.comment),
        },
    )


def block_tag(*parts: str) -> str:
    """The quote of a block, which none of its parts holds."""
    tag = "audit"
    while any(f"${tag}$" in part for part in parts):
        tag += "_"
    return f"${tag}$"


def install_sql(
    table: Reference | str,
    stamping: Stamping,
    *,
    checks_columns: bool = False,
    defaults: Mapping[str, str] | None = None,
) -> AuditStatement:
    """Create or replace the function and the triggers.

    `table` is a literal of the table's quoted name, or a reference that reads as one.
    `defaults` are expressions by column, to be set along with the triggers.
    """
    function = f".{quote_identifier(stamping.function_name)}()"
    triggers = "".join(trigger_sql(name, stamping) for name in (INSERT_TRIGGER, UPDATE_TRIGGER))
    triggers += fill(
        MOVE_TEMPLATE,
        {
            "trigger": trigger_sql(MOVE_TRIGGER, stamping),
            "name": quote_literal(MOVE_TRIGGER),
            "drop": quote_literal(f"DROP TRIGGER {quote_identifier(MOVE_TRIGGER)} ON "),
        },
    )
    triggers += set_defaults_sql(defaults or {})
    checks = ""
    if checks_columns:
        columns = ", ".join(
            "({}, {}, {})".format(
                *map(quote_literal, (role, column, "time" if role in TIME_ROLES else "label"))
            )
            for role, column in stamping.columns
        )
        checks = fill(COLUMN_CHECK_TEMPLATE, {"columns": columns})
    inner = {
        "body": dollar_quote(stamping.function_body, "function"),
        "checks": checks,
        "function_name": quote_literal(stamping.function_name),
        "function_comment": quote_literal(stamping.function_comment),
        "function": quote_literal(function),
        "triggers": triggers,
    }
    tag = block_tag(*inner.values(), str(table))
    template = fill(
        INSTALL_TEMPLATE,
        # The statement fills in the table last, when it runs, and reads `%` as its own.
        {
            **{name: text.replace("%", "%%") for name, text in inner.items()},
            **SEARCH_PATH,
            "table": "%(table)s",
            "block": tag,
            "block_end": tag,
        },
    )
    return AuditStatement(template, table=table)


def set_defaults_sql(defaults: Mapping[str, str]) -> str:
    """The part of a block that gives columns these defaults."""
    return "".join(
        f"    EXECUTE 'ALTER TABLE ' || audited || "
        f"{quote_literal(f' ALTER COLUMN {quote_identifier(column)} SET DEFAULT {default}')};\n"
        for column, default in defaults.items()
    )


def remove_sql(table: str, defaults: Mapping[str, str] | None = None) -> str:
    """Drop the triggers, and the functions of the table's schema that nothing uses any more.

    `defaults` are expressions by column, to be set again.
    """
    inner = {
        "table": table,
        "names": ", ".join(map(quote_literal, TRIGGER_NAMES)),
        "defaults": set_defaults_sql(defaults or {}),
        "sweep": sweep_sql("pronamespace = home"),
        **SEARCH_PATH,
    }
    return fill(REMOVE_TEMPLATE, {**inner, "block": block_tag(*inner.values())})
