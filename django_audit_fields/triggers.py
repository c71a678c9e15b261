"""AuditTrigger and the text of its functions: returns SQL, opens no cursor.

Migrations name `AuditTrigger` and its arguments, so neither its path nor their meaning may change.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Reference, Statement, Table
from django.db.models import BaseConstraint, Field, Model
from django.db.models.signals import class_prepared

from .conf import ACTOR_VARIABLE, NOBODY_MODES, audit_settings
from .expressions import ActorDefault

#: Stands in the comments of functions and triggers; raised when their text or meaning changes.
VERSION: Final = 2
#: Every function's name begins like this; a function is ours only if its text says so as well.
FUNCTION_PREFIX: Final = "audit_fields_"
#: It is the first sentence of `sql/stamp.sql`, in every release.
FUNCTION_MARK: Final = "Put there by django_audit_fields;"

#: BEFORE triggers fire in the order of their names, byte by byte; ours see what the others made.
INSERT_TRIGGER: Final = "~~audit_fields_insert"
UPDATE_TRIGGER: Final = "~~audit_fields_update"
#: On partitioned tables and partitions only: what leaves one may be on its way to another.
MOVE_TRIGGER: Final = "~~audit_fields_move"
TRIGGER_NAMES: Final = (INSERT_TRIGGER, UPDATE_TRIGGER, MOVE_TRIGGER)
EVENTS: Final[Mapping[str, str]] = {
    INSERT_TRIGGER: "INSERT",
    UPDATE_TRIGGER: "UPDATE",
    MOVE_TRIGGER: "DELETE",
}

ROLES: Final = ("created_at", "updated_at", "created_by", "updated_by")
TIME_ROLES: Final = ("created_at", "updated_at")
LABEL_ROLES: Final = ("created_by", "updated_by")

#: PostgreSQL cuts longer identifiers off, silently.
MAX_IDENTIFIER_BYTES: Final = 63

#: The functions of tables whose columns have our own names; any other table gets one of its own.
SHARED_FUNCTIONS: Final[Mapping[tuple[str, ...], str]] = {
    ROLES: "audit_fields_stamp",
    LABEL_ROLES: "audit_fields_track_user_changes",
    TIME_ROLES: "audit_fields_update_timestamp",
}


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    # The E form means the same whatever standard_conforming_strings says.
    return f"E{quoted}" if "\\" in text else quoted


def operator(symbol: str) -> str:
    """Whatever operators of that name the search path holds."""
    return f"OPERATOR(pg_catalog.{symbol})"


#: Labels are compared byte by byte, whatever their columns' collations take for the same.
BYTEWISE: Final = 'COLLATE pg_catalog."C"'


def as_text(label: str) -> str:
    return f"{label} {BYTEWISE}"


def journey_sql(depth: str) -> str:
    """The name of the variable in which triggers of that depth tell each other of a move."""
    return f"pg_catalog.concat('app.audit_moved_', {depth})"


def dollar_quote(text: str, tag: str) -> str:
    while f"${tag}$" in text:
        tag += "_"
    return f"${tag}${text}${tag}$"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def shorten(name: str) -> str:
    """`name` when PostgreSQL would keep it whole, else its beginning and a digest of it."""
    if len(name.encode()) <= MAX_IDENTIFIER_BYTES:
        return name
    ending = f"_{digest(name)}"
    kept = name.encode()[: MAX_IDENTIFIER_BYTES - len(ending.encode())]
    return kept.decode(errors="ignore") + ending


@dataclass(frozen=True, slots=True)
class Stamping:
    """What the triggers of one table do: in which columns, under which rules, settings resolved."""

    #: Role to column, in the order of `ROLES`; a role that the table lacks is absent.
    columns: tuple[tuple[str, str], ...]
    fallback: str
    nobody: str
    strict: bool
    #: What the model or operation says itself, None where it leaves that to the settings.
    own_nobody: str | None = None
    own_strict: bool | None = None

    @classmethod
    def of(
        cls, columns: Mapping[str, str], *, strict: bool | None = None, nobody: str | None = None
    ) -> Stamping:
        settings = audit_settings()
        return cls(
            columns=tuple((role, columns[role]) for role in ROLES if role in columns),
            fallback=settings.fallback,
            nobody=settings.nobody if nobody is None else nobody,
            strict=settings.strict if strict is None else strict,
            own_nobody=nobody,
            own_strict=strict,
        )

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(role for role, _ in self.columns)

    @property
    def function_name(self) -> str:
        if self.columns == tuple((role, role) for role in self.roles) and (
            shared := SHARED_FUNCTIONS.get(self.roles)
        ):
            return shared
        text = json.dumps(dict(self.columns))
        readable = "_".join(column for _, column in self.columns)
        ending = f"_{digest(text)}"
        kept = (FUNCTION_PREFIX + readable).encode()[: MAX_IDENTIFIER_BYTES - len(ending)]
        return kept.decode(errors="ignore") + ending

    def arguments(self, *, is_partitioned: bool) -> tuple[str, ...]:
        """What the function finds in TG_ARGV; a release may append to it, never rearrange."""
        arguments: tuple[str, ...] = ()
        if set(self.roles) & set(LABEL_ROLES):
            arguments = (self.fallback, self.nobody, "strict" if self.strict else "lenient")
        return (*arguments, "partitioned") if is_partitioned else arguments

    @property
    def comment(self) -> str:
        """What a later release needs to know and the triggers' definition does not say."""
        facts: dict[str, Any] = {"version": VERSION, "columns": dict(self.columns)}
        if self.own_strict is not None:
            facts["strict"] = self.own_strict
        if self.own_nobody is not None:
            facts["nobody"] = self.own_nobody
        return f"django_audit_fields {json.dumps(facts)}"

    @property
    def function_comment(self) -> str:
        return f"django_audit_fields {VERSION} {digest(self.function_body)}"

    @property
    def function_body(self) -> str:
        return function_body(self.columns)

    @property
    def actor_sql(self) -> str:
        """Who is acting as a condition sees it: what the function would call the label."""
        acting = f"NULLIF(pg_catalog.current_setting({quote_literal(ACTOR_VARIABLE)}, true), '')"
        match self.nobody:
            case "refuse":
                return acting
            case "session_user":
                return f"COALESCE({acting}, session_user)"
        return f"COALESCE({acting}, {quote_literal(self.fallback)})"

    def with_fallback(self) -> Stamping:
        return replace(self, nobody="fallback")

    def condition(self, event: str) -> str:
        """The `WHEN` that keeps PL/pgSQL away from rows that it would leave as they are.

        Few and short terms: each statement compiles it anew.
        """
        if event == "DELETE":
            journey = journey_sql(f"pg_catalog.pg_trigger_depth() {operator('+')} 1")
            return f"pg_catalog.current_setting({journey}, true) {operator('<>')} ''"
        terms = self.insert_terms() if event == "INSERT" else self.update_terms()
        return f"({' AND '.join(terms)}) IS NOT TRUE"

    def insert_terms(self) -> list[str]:
        new = {role: f"NEW.{quote_identifier(name)}" for role, name in self.columns}
        times = [new[role] for role in TIME_ROLES if role in new]
        labels = [new[role] for role in LABEL_ROLES if role in new]
        if len(times) == 2:
            # One comparison that is unknown when either is missing, too.
            terms = [f"{times[0]} {operator('<=')} {times[1]}"]
        else:
            terms = [f"{time} IS NOT NULL" for time in times]
        if not self.strict:
            return [*terms, *(f"{as_text(label)} {operator('<>')} ''" for label in labels)]
        # Asked once, since asking is dear.
        if len(labels) == 2:
            terms.append(f"{as_text(labels[0])} {operator('=')} {labels[1]}")
        by_actor = [f"{as_text(label)} {operator('=')} {self.actor_sql}" for label in labels[-1:]]
        return [*terms, *by_actor]

    def update_terms(self) -> list[str]:
        new = {role: f"NEW.{quote_identifier(name)}" for role, name in self.columns}
        old = {role: f"OLD.{quote_identifier(name)}" for role, name in self.columns}
        terms = []
        if "updated_at" in new:
            terms.append(f"{new['updated_at']} {operator('>')} {old['updated_at']}")
        if "created_at" in new:
            terms.append(f"{new['created_at']} {operator('=')} {old['created_at']}")
        if "created_by" in new:
            # An empty one is for the function, lest a move to another partition would fill it.
            creator = f"NULLIF({as_text(new['created_by'])}, '')"
            terms.append(f"{creator} {operator('=')} {old['created_by']}")
        if "updated_by" in new:
            updater = as_text(new["updated_by"])
            by_actor = f"{updater} {operator('=')} {self.actor_sql}"
            changed = f"NULLIF({updater}, '') {operator('<>')} {old['updated_by']}"
            terms.append(by_actor if self.strict else f"({changed} OR {by_actor})")
        if self.strict and "created_by" in new:
            # Whoever moves another's row to another partition has to say so to its INSERT trigger.
            mover = new.get("updated_by", self.actor_sql)
            terms.append(f"{as_text(new['created_by'])} {operator('=')} {mover}")
        return terms

    def definition(self, event: str) -> str:
        """The end of CREATE TRIGGER: everything after the table's name but the function's name."""
        return f"FOR EACH ROW WHEN ({self.condition(event)})"


@cache
def stamp_template() -> str:
    return (importlib.resources.files(__package__) / "sql" / "stamp.sql").read_text("utf-8")


@cache
def function_body(columns: tuple[tuple[str, str], ...]) -> str:
    """The text of the function that stamps these columns, from `sql/stamp.sql`.

    There a part between `--? role …` and `--.` is kept when the table has one of these roles.
    """
    column = {role: quote_identifier(name) for role, name in columns}
    new = {role: f"NEW.{name}" for role, name in column.items()}
    equals = f"{BYTEWISE} {operator('=')}"
    created = [new[role] for role in ("created_at", "created_by") if role in new]
    has_labels = not set(column).isdisjoint(LABEL_ROLES)
    changed_when_moved = [f"{name} IS NULL" for name in new.values()]
    if "created_by" in new:
        changed_when_moved += [
            f"{new['created_by']} {equals} ''",
            f"is_enforced AND ({new['created_by']} {equals} label) IS NOT TRUE",
        ]
    moved = [
        "CAST(pg_catalog.pg_partition_root(TG_RELID) AS pg_catalog.oid)",
        "pg_catalog.statement_timestamp()",
        *created,
    ]
    values = {
        "columns": json.dumps(dict(columns)),
        "is": equals,
        "journey": journey_sql("pg_catalog.pg_trigger_depth()"),
        "announced": (
            "pg_catalog.concat_ws(' ', TG_RELID, OLD.ctid, pg_catalog.statement_timestamp(), '')"
        ),
        "moved": f"CAST(pg_catalog.jsonb_build_array({', '.join(moved)}) AS pg_catalog.text)",
        "changed_when_moved": " OR ".join(changed_when_moved),
        "partitioned": "3" if has_labels else "0",
        "first_updated_at": (
            f"COALESCE({new['created_at']}, pg_catalog.statement_timestamp())"
            if "created_at" in new
            else "pg_catalog.statement_timestamp()"
        ),
        **column,
    }
    lines = []
    is_kept = True
    for line in stamp_template().splitlines(keepends=True):
        mark, _, roles = line.strip().partition(" ")
        if mark == "--?":
            is_kept = not set(column).isdisjoint(roles.split())
        elif mark == "--.":
            is_kept = True
        elif is_kept:
            lines.append(line)
    return fill("".join(lines), values)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each `{name}` in one pass, so that a value holding braces stays as it is."""
    parts = template.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        filled.append(values[name] + rest)
    return "".join(filled)


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
    audited regclass := to_regclass({table});
    home text;
    is_partitioned boolean;
    body text := {body};
BEGIN
    IF audited IS NULL THEN
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
END
{block_end};"""

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
DO $audit$
DECLARE
    audited regclass := to_regclass({table});
    home oid := (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = audited);
    unused record;
BEGIN
    IF audited IS NULL THEN
        RETURN;
    END IF;
{drops}\
{sweep}\
END
$audit$;"""

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
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL;
        END;
    END LOOP;
"""


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
    return f"DO $audit$\nDECLARE\n    unused record;\nBEGIN\n{sweep_sql('true')}END\n$audit$;"


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
    tag = "audit"
    while any(f"${tag}$" in part for part in (*inner.values(), str(table))):
        tag += "_"
    template = fill(
        INSTALL_TEMPLATE,
        # The statement fills in the table last, when it runs, and reads `%` as its own.
        {
            **{name: text.replace("%", "%%") for name, text in inner.items()},
            "table": "%(table)s",
            "block": f"${tag}$",
            "block_end": f"${tag}$",
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
    drops = "".join(
        f"    EXECUTE {quote_literal(drop)} || audited;\n"
        for drop in (
            f"DROP TRIGGER IF EXISTS {quote_identifier(name)} ON " for name in TRIGGER_NAMES
        )
    )
    drops += set_defaults_sql(defaults or {})
    return fill(
        REMOVE_TEMPLATE,
        {"table": table, "drops": drops, "sweep": sweep_sql("pronamespace = home")},
    )


def column_facts(field: Field[Any, Any]) -> tuple[Any, ...]:
    """What a trigger depends on: PostgreSQL refuses to alter the type of a column that it names."""
    facts = [
        field.column,
        field.get_internal_type(),
        field.max_length,
        getattr(field, "db_collation", None),
    ]
    while facts[-1] is None:
        facts.pop()
    return tuple(facts)


def audit_fields_of(model: type[Model]) -> dict[str, Field[Any, Any]]:
    """The audit fields that the model's own table holds, by role."""
    fields = {field.name: field for field in model._meta.local_fields}
    return {role: fields[role] for role in ROLES if role in fields}


def label_defaults(model: type[Model], stamping: Stamping) -> dict[str, str]:
    """Column to default, for the model's labels that have ours."""
    return {
        str(field.column): stamping.actor_sql
        for role, field in audit_fields_of(model).items()
        if role in LABEL_ROLES and isinstance(field.db_default, ActorDefault)
    }


def own_defaults(model: type[Model], stamping: Stamping) -> dict[str, str]:
    """The same where Django's own are not right: those stamp nobody with the fallback."""
    return {} if stamping.nobody == "fallback" else label_defaults(model, stamping)


class AuditTrigger(BaseConstraint):
    """The triggers of a model's table, as Django's autodetector sees them.

    strict, nobody: None leaves it to the settings, which never enter a migration.
    columns: what the triggers depend on, by role; bound when the model's class is prepared.
    """

    def __init__(
        self,
        *,
        name: str,
        strict: bool | None = None,
        nobody: str | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        if strict is not None and not isinstance(strict, bool):
            raise TypeError(f"AuditTrigger's strict is True, False or None, not {strict!r}.")
        if nobody is not None and nobody not in NOBODY_MODES:
            raise ValueError(
                f"AuditTrigger's nobody is one of {', '.join(map(repr, NOBODY_MODES))} or None, "
                f"not {nobody!r}."
            )
        super().__init__(name=name)
        self.strict = strict
        self.nobody = nobody
        self.columns = {role: tuple(facts) for role, facts in (columns or {}).items()}

    def bind(self, model: type[Model]) -> None:
        self.columns = {role: column_facts(field) for role, field in audit_fields_of(model).items()}

    def stamping(self, model: type[Model]) -> Stamping | None:
        """What the triggers do, None when the model's table holds none of the columns."""
        columns = {role: facts[0] for role, facts in self.columns.items()} or {
            role: field.column for role, field in audit_fields_of(model).items()
        }
        return Stamping.of(columns, strict=self.strict, nobody=self.nobody) if columns else None

    def create_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> Statement | None:
        stamping = self.stamping(model)
        vendor = schema_editor.connection.vendor
        if vendor == "mysql":
            # Django runs whatever this answers after a CREATE TABLE with parameters, None as well.
            return AuditStatement("DO 0")
        if stamping is None or vendor != "postgresql":
            return None
        table = QuotedTable(model._meta.db_table, schema_editor.quote_name)
        return install_sql(table, stamping, defaults=own_defaults(model, stamping))

    def constraint_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> None:
        """Nothing inside CREATE TABLE: the table has to be there first."""
        if statement := self.create_sql(model, schema_editor):
            schema_editor.deferred_sql.append(statement)

    def remove_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> str | None:
        stamping = self.stamping(model)
        if stamping is None or schema_editor.connection.vendor != "postgresql":
            return None
        table = model._meta.db_table
        # Deferred by a CreateModel of the same migration, it would run after this.
        deferred = getattr(schema_editor, "deferred_sql", [])  # there once the editor is entered
        deferred[:] = [
            statement
            for statement in deferred
            if not (isinstance(statement, AuditStatement) and statement.references_table(table))
        ]
        # Django merges parameters into it, and would read a name's `%` as one of them.
        quoted = str(QuotedTable(table, schema_editor.quote_name))
        plain = dict.fromkeys(own_defaults(model, stamping), stamping.with_fallback().actor_sql)
        return remove_sql(quoted, plain).replace("%", "%%")

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """A row is never invalid: what it lacks, the trigger fills."""

    def check(self, model: type[Model], connection: Any) -> list[CheckMessage]:
        if audit_fields_of(model):
            return []
        return [
            Error(
                f"{model._meta.label} has an AuditTrigger and none of the fields it fills.",
                hint="Derive it from TimestampModel, or take the trigger off.",
                obj=model,
                id="django_audit_fields.E011",
            )
        ]

    # Its name up to Django 5.2.
    _check = check

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        for name in ("strict", "nobody"):
            if (value := getattr(self, name)) is not None:
                kwargs[name] = value
        if self.columns:
            kwargs["columns"] = dict(self.columns)
        return path, args, kwargs

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AuditTrigger):
            return bool(self.deconstruct() == other.deconstruct())
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as Django's own constraints: compared by value

    def __repr__(self) -> str:
        own = {"strict": self.strict, "nobody": self.nobody}
        rules = "".join(f" {name}={value!r}" for name, value in own.items() if value is not None)
        return f"<{type(self).__qualname__}: name={self.name!r}{rules}>"


def default_name(model: type[Model]) -> str:
    """A name that no other model of the project gets.

    App label and model name are told apart by the last underscore, unless the latter has one.
    """
    options = model._meta
    name = f"{options.app_label}_{options.model_name}_audit"
    if "_" in str(options.model_name):
        name += f"_{digest(options.label_lower)}"
    return shorten(name)


def named_triggers(model: type[Model]) -> list[AuditTrigger]:
    return [entry for entry in model._meta.constraints if isinstance(entry, AuditTrigger)]


def bind_named_triggers(model: type[Model]) -> None:
    """Tell the triggers that a model names about its columns.

    Drop them where the columns are another table's: a proxy, or the child table of multi-table
    inheritance, may inherit the `Meta` of an abstract base.
    """
    named = named_triggers(model)
    if not named:
        return
    options = model._meta
    if audit_fields_of(model):
        for trigger in named:
            trigger.bind(model)
    elif options.proxy or any(audit_fields_of(parent) for parent in options.all_parents):
        set_constraints(
            model, [entry for entry in options.constraints if not isinstance(entry, AuditTrigger)]
        )


def attach_trigger(model: type[Model]) -> None:
    """Give the model's table its trigger, unless the model names one itself."""
    options = model._meta
    bind_named_triggers(model)
    if (
        options.abstract
        or options.proxy
        or not options.managed
        or named_triggers(model)
        or not audit_fields_of(model)
    ):
        return
    trigger = AuditTrigger(name=default_name(model))
    trigger.bind(model)
    set_constraints(model, [*options.constraints, trigger])


def set_constraints(model: type[Model], constraints: list[BaseConstraint]) -> None:
    model._meta.constraints = constraints
    # The autodetector reads only those options that `Meta` names.
    model._meta.original_attrs["constraints"] = constraints


_triggers: weakref.WeakKeyDictionary[type[Model], AuditTrigger | None] = weakref.WeakKeyDictionary()


def trigger_of(model: type[Model]) -> AuditTrigger | None:
    """The trigger in force for a model: its own, or that of the model whose table it shares."""
    try:
        return _triggers[model]
    except KeyError:
        concrete = model._meta.concrete_model or model
        owners = (concrete, *concrete._meta.all_parents)
        found = next((trigger for owner in owners for trigger in named_triggers(owner)), None)
        _triggers[model] = found
        return found


@cache
def _models_naming_session_user() -> bool:
    triggers: Iterable[AuditTrigger] = (
        trigger for model in apps.get_models() for trigger in named_triggers(model)
    )
    return any(trigger.nobody == "session_user" for trigger in triggers)


def any_model_stamps_session_user() -> bool:
    """Whether some table would stamp the database role on a row of Django's that names nobody."""
    if audit_settings().nobody == "session_user":
        return True
    return apps.models_ready and _models_naming_session_user()


def prepare_model(*, sender: type[Model], **kwargs: Any) -> None:
    _models_naming_session_user.cache_clear()
    # A migration's models carry what the migration says.
    if sender.__module__ != "__fake__":
        bind_named_triggers(sender)


class_prepared.connect(prepare_model, dispatch_uid="django_audit_fields.prepare_model")
