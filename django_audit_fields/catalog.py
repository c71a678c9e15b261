"""What the database has against what the code would install: for check, command and releases.

Reads the whole database in a constant number of queries, whatever the search path.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

from .operations import AuditTriggersOperation, InstallAuditTriggers
from .triggers import (
    EVENTS,
    FUNCTION_MARK,
    FUNCTION_PREFIX,
    INSERT_TRIGGER,
    LABEL_ROLES,
    MOVE_TRIGGER,
    ROLES,
    SHARED_FUNCTIONS,
    TIME_ROLES,
    TRIGGER_NAMES,
    UPDATE_TRIGGER,
    Stamping,
    audit_fields_of,
    drop_unused_functions_sql,
    install_sql,
    label_defaults,
    named_triggers,
    quote_identifier,
    quote_literal,
)

#: Bits of pg_trigger.tgtype: for each row, before, on insert, update or delete.
TRIGGER_TYPES: Final = {
    INSERT_TRIGGER: 1 | 2 | 4,
    UPDATE_TRIGGER: 1 | 2 | 16,
    MOVE_TRIGGER: 1 | 2 | 8,
}

TRIGGERS_QUERY: Final = """
    SELECT relation.oid, home.nspname, relation.relname,
        pg_catalog.pg_table_is_visible(relation.oid),
        tgname, tgtype, tgattr::text <> '', tgenabled IN ('O', 'A'),
        CASE WHEN tgparentid = 0 THEN pg_catalog.pg_get_triggerdef(pg_trigger.oid) END,
        pg_catalog.obj_description(pg_trigger.oid, 'pg_trigger'),
        tgfoid, pg_trigger.oid, tgparentid, relkind = 'p' OR relispartition
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class relation ON relation.oid = tgrelid
    JOIN pg_catalog.pg_namespace home ON home.oid = relnamespace
    LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
    WHERE (NOT tgisinternal OR tgparentid <> 0)
        AND (tgname = ANY(%(names)s)
            OR (pg_catalog.starts_with(proname, %(prefix)s) AND strpos(prosrc, %(mark)s) > 0))
    ORDER BY home.nspname, relation.relname, tgname
"""

FUNCTIONS_QUERY: Final = """
    SELECT pg_proc.oid, nspname, proname, prosrc, lanname = 'plpgsql' AND NOT prosecdef
        AND proconfig IS NULL, pg_catalog.obj_description(pg_proc.oid, 'pg_proc'),
        pg_catalog.pg_has_role(proowner, 'USAGE')
    FROM pg_catalog.pg_proc
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
    JOIN pg_catalog.pg_language ON pg_language.oid = prolang
    WHERE pg_catalog.starts_with(proname, %(prefix)s) AND pronargs = 0
"""

COLUMNS_QUERY: Final = """
    SELECT relation.oid, nspname, relname, pg_catalog.pg_table_is_visible(relation.oid),
        relkind = 'p' OR relispartition, attname, pg_catalog.pg_get_expr(adbin, adrelid)
    FROM pg_catalog.pg_attribute
    JOIN pg_catalog.pg_class relation ON relation.oid = attrelid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped
        AND (NOT relispartition OR relation.oid = ANY(%(tables)s::bigint[]))
        AND attname = ANY(%(names)s)
        AND nspname <> 'information_schema' AND NOT pg_catalog.starts_with(nspname, 'pg_')
    ORDER BY nspname, relname
"""


@dataclass(slots=True)
class InstalledTrigger:
    table: tuple[str, str]
    name: str
    type: int
    is_partial: bool
    is_enabled: bool
    definition: str
    comment: str | None
    function: int
    #: Partitions on which the trigger was switched off, by schema and name.
    disabled_on: list[tuple[str, str]] = field(default_factory=list)

    @property
    def arguments(self) -> tuple[str, ...]:
        _, _, call = self.definition.partition(" EXECUTE FUNCTION ")
        return tuple(text[1:] for text in sql_tokens(call) if text.startswith("'"))

    def facts(self) -> dict[str, Any] | None:
        """What the comment says, None when it was lost, as a dump without comments loses it."""
        return comment_facts(self.comment)


def comment_facts(comment: str | None) -> dict[str, Any] | None:
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


@dataclass(slots=True)
class InstalledFunction:
    schema: str
    name: str
    body: str
    is_plain: bool
    comment: str | None
    is_owned: bool

    @property
    def is_ours(self) -> bool:
        return FUNCTION_MARK in self.body

    def columns(self) -> dict[str, str] | None:
        for roles, name in SHARED_FUNCTIONS.items():
            if self.name == name:
                return {role: role for role in roles}
        if found := re.search(r"^-- columns: (\{.*\})$", self.body, re.MULTILINE):
            try:
                columns = json.loads(found[1])
            except ValueError:
                return None
            if isinstance(columns, dict) and set(columns) <= set(ROLES):
                return columns
        return None


@dataclass(slots=True)
class Table:
    """A table that holds audit columns or triggers of ours."""

    schema: str
    name: str
    is_visible: bool = False
    #: Whether it has partitions or is one: its rows may move.
    is_partitioned: bool = False
    #: Column to the text of its default, None for one without.
    columns: dict[str, str | None] = field(default_factory=dict)
    triggers: dict[str, InstalledTrigger] = field(default_factory=dict)

    @property
    def trigger_names(self) -> tuple[str, ...]:
        """The triggers that it should have."""
        return tuple(name for name in TRIGGER_NAMES if name != MOVE_TRIGGER or self.is_partitioned)

    @property
    def sql(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the database is not what the code would install."""

    table: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the code would install on a table; `schema` is None where the search path decides."""

    schema: str | None
    table: str
    stamping: Stamping
    source: str
    model: type[Model] | None = None


@dataclass(slots=True)
class Coverage:
    """A table with audit columns, what is expected of it, and how it differs."""

    table: Table
    stamping: Stamping | None
    source: str | None
    differences: list[Difference]
    model: type[Model] | None = None

    @property
    def missing_columns(self) -> list[str]:
        """What the triggers fill and the table lacks, since someone renamed or dropped it."""
        columns = self.stamping.columns if self.stamping else ()
        return [column for _, column in columns if column not in self.table.columns]

    @property
    def status(self) -> str:
        if self.stamping is None:
            return "uncovered"
        return "drifted" if self.differences else "ok"


TOKEN: Final = re.compile(
    r"""
    (?P<string> [eE]? ' (?: [^'] | '' )* ')
    | (?P<cast> :: \s* (?: "(?:[^"]|"")*" | \w+ ) (?: \. (?: "(?:[^"]|"")*" | \w+ ) )?
        (?: \s varying | \s precision )? (?: \(\d+\) )? (?: \s with (?:out)? \s time \s zone )?
        (?: \[\] )* )
    | (?P<quoted> " (?: [^"] | "" )* ")
    | (?P<operator> OPERATOR \s* \( \s* pg_catalog \. (?P<symbol> [^\s)]+ ) \s* \) )
    | (?P<word> \w+ )
    | (?P<dropped> [\s()]+ )
    | (?P<other> [^\s\w()'"]+? (?= [\s\w()'"] | :: | $ ) )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def sql_tokens(text: str) -> list[str]:
    """The parts of an expression that PostgreSQL keeps when it prints it back.

    Dropped: casts, parentheses, white space, letter case, needless quotes, `pg_catalog.`. Of a
    string's quotes the first is kept, which tells it from a name.
    """
    tokens: list[str] = []
    for match in TOKEN.finditer(text):
        match match.lastgroup:
            case "string":
                quoted = match["string"]
                value = quoted[quoted.index("'") + 1 : -1].replace("''", "'")
                if quoted[0] in "eE":
                    value = value.replace("\\\\", "\\")
                tokens.append(f"'{value}")
            case "quoted":
                tokens.append(match["quoted"][1:-1].replace('""', '"'))
            case "operator":
                tokens.append(match["symbol"])
            case "word":
                tokens.append(match["word"].lower())
            case "other" if match["other"] == "." and tokens[-1:] == ["pg_catalog"]:
                tokens.pop()
            case "other":
                tokens.append(match["other"])
    return tokens


class Catalog:
    """What one database has: tables with audit columns or triggers of ours, and the functions."""

    def __init__(self, connection: BaseDatabaseWrapper, columns: Sequence[str] = ROLES) -> None:
        """`columns`: the names to look for beside those that the triggers' comments tell."""
        self.connection = connection
        self.tables: dict[int, Table] = {}
        self.functions: dict[int, InstalledFunction] = {}
        self.read_functions()
        self.read_triggers()
        told = {
            column
            for table in self.tables.values()
            for column in (self.told_columns(table) or {}).values()
        }
        self.read_columns(sorted({*ROLES, *columns, *told}))

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def read_functions(self) -> None:
        for oid, *facts in self.rows(FUNCTIONS_QUERY, prefix=FUNCTION_PREFIX):
            self.functions[oid] = InstalledFunction(*facts)

    def read_triggers(self) -> None:
        triggers: dict[int, InstalledTrigger] = {}
        parents: dict[int, int] = {}
        disabled_clones = []
        for (
            oid,
            schema,
            name,
            is_visible,
            trigger_name,
            kind,
            is_partial,
            is_enabled,
            definition,
            comment,
            function,
            trigger_oid,
            parent,
            is_partitioned,
        ) in self.rows(
            TRIGGERS_QUERY, names=list(TRIGGER_NAMES), prefix=FUNCTION_PREFIX, mark=FUNCTION_MARK
        ):
            if parent:
                parents[trigger_oid] = parent
                # A partition's copy can be switched off by itself.
                if not is_enabled:
                    disabled_clones.append((trigger_oid, (schema, name)))
                continue
            table = self.tables.setdefault(oid, Table(schema, name, is_visible, is_partitioned))
            table.triggers[trigger_name] = triggers[trigger_oid] = InstalledTrigger(
                (schema, name),
                trigger_name,
                kind,
                is_partial,
                is_enabled,
                definition,
                comment,
                function,
            )
        for trigger_oid, partition in disabled_clones:
            while trigger_oid in parents:
                trigger_oid = parents[trigger_oid]
            if trigger := triggers.get(trigger_oid):
                trigger.disabled_on.append(partition)

    def read_columns(self, names: Sequence[str]) -> None:
        rows = self.rows(COLUMNS_QUERY, names=list(names), tables=list(self.tables))
        for oid, schema, name, is_visible, is_partitioned, column, default in rows:
            table = self.tables.setdefault(oid, Table(schema, name, is_visible, is_partitioned))
            table.columns[column] = default

    def told_columns(self, table: Table) -> dict[str, str] | None:
        """The columns that the triggers on a table say they fill."""
        for trigger in table.triggers.values():
            facts = trigger.facts()
            if facts and isinstance(columns := facts.get("columns"), dict) and columns:
                return columns
        for trigger in table.triggers.values():
            function = self.functions.get(trigger.function)
            if function and (columns := function.columns()):
                return columns
        return None

    def own_rules(self, table: Table) -> tuple[bool | None, str | None]:
        """`strict` and `nobody` as the table's model or operation stated them."""
        for trigger in table.triggers.values():
            if (facts := trigger.facts()) is not None:
                return facts.get("strict"), facts.get("nobody")
        # The comments are lost: what differs from the settings was stated, as far as can be told.
        settings = Stamping.of({})
        for trigger in table.triggers.values():
            if len(trigger.arguments) >= 3:
                strict, nobody = trigger.arguments[2] == "strict", trigger.arguments[1]
                return (
                    None if strict == settings.strict else strict,
                    None if nobody == settings.nobody else nobody,
                )
        return None, None

    def told_stamping(self, table: Table) -> Stamping | None:
        """What the triggers on a table would do if they were made now, under today's settings."""
        columns = self.told_columns(table)
        if columns is None:
            return None
        strict, nobody = self.own_rules(table)
        return Stamping.of(columns, strict=strict, nobody=nobody)

    def present_stamping(self, table: Table) -> Stamping | None:
        """What they were made for: the same, under the settings of that time."""
        stamping = self.told_stamping(table)
        arguments = next((t.arguments for t in table.triggers.values() if t.arguments), ())
        if stamping is None or len(arguments) < 3:
            return stamping
        fallback, nobody, strict, *_ = arguments
        return Stamping(
            columns=stamping.columns,
            fallback=fallback,
            nobody=nobody,
            strict=strict == "strict",
            own_nobody=stamping.own_nobody,
            own_strict=stamping.own_strict,
        )


def model_expectations(connection: BaseDatabaseWrapper) -> Iterator[Expectation]:
    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        if options.proxy or not options.managed or options.swapped:
            continue
        triggers = named_triggers(model)
        if not triggers or not router.allow_migrate_model(connection.alias, model):
            continue
        if stamping := triggers[0].stamping(model):
            schema, table = table_names(connection.ops.quote_name(options.db_table))
            yield Expectation(schema, table, stamping, options.label, model)


def table_names(quoted: str) -> tuple[str | None, str]:
    """Schema and table of `"table"` or `"schema"."table"`, as a `db_table` may have it."""
    names = [name.replace('""', '"') for name in re.findall(r'"((?:[^"]|"")*)"', quoted)]
    return (names[-2] if len(names) > 1 else None), names[-1]


def operation_expectations(connection: BaseDatabaseWrapper) -> Iterator[Expectation]:
    """What the applied migrations' operations have installed and not removed since."""
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    found: dict[tuple[str | None, str], Expectation] = {}
    seen = set()
    for leaf in sorted(loader.graph.leaf_nodes()):
        for key in loader.graph.forwards_plan(leaf):
            if key in seen or key not in loader.applied_migrations:
                continue
            seen.add(key)
            for operation in audit_operations(loader.graph.nodes[key].operations):
                if not router.allow_migrate(connection.alias, key[0]):
                    continue
                place = operation.schema, operation.table
                found.pop(place, None)
                if isinstance(operation, InstallAuditTriggers):
                    source = ".".join(key)
                    found[place] = Expectation(*place, operation.stamping, source)
    yield from found.values()


def tables_of_migrations() -> set[str]:
    """The tables that the migrations on disk give triggers to, applied or not, without a query."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {
        operation.table
        for migration in loader.disk_migrations.values()
        for operation in audit_operations(migration.operations)
        if isinstance(operation, InstallAuditTriggers)
    }


def audit_operations(operations: Sequence[Any]) -> Iterator[AuditTriggersOperation]:
    for operation in operations:
        if isinstance(operation, AuditTriggersOperation):
            yield operation
        # SeparateDatabaseAndState
        yield from audit_operations(getattr(operation, "database_operations", ()))


def coverage(connection: BaseDatabaseWrapper) -> list[Coverage]:
    """Every table that has audit columns or triggers of ours, with what is expected of it."""
    expectations = [*model_expectations(connection), *operation_expectations(connection)]
    catalog = Catalog(
        connection,
        [column for wanted in expectations for _, column in wanted.stamping.columns],
    )
    tables_by_name = defaultdict(list)
    for table in catalog.tables.values():
        tables_by_name[table.name].append(table)
    # A schema with a function of ours is one that was migrated: a tenant's, say.
    migrated = {function.schema for function in catalog.functions.values() if function.is_ours}
    wanted_of: dict[tuple[str, str], Expectation] = {}
    for wanted in expectations:
        for table in tables_by_name[wanted.table]:
            is_meant = (
                table.is_visible or table.schema in migrated
                if wanted.schema is None
                else table.schema == wanted.schema
            )
            # Without its columns, it is another table of that name, or its migration is to come.
            if is_meant and {column for _, column in wanted.stamping.columns} <= set(table.columns):
                wanted_of.setdefault((table.schema, table.name), wanted)
    # Unmanaged models, whose tables only an operation covers.
    labels = {model._meta.db_table: model._meta.label for model in apps.get_models()}
    found = []
    compiled = CompiledDefaults(connection)
    judged_functions: set[int] = set()
    for table in sorted(catalog.tables.values(), key=lambda table: (table.schema, table.name)):
        if expected := wanted_of.get((table.schema, table.name)):
            entry = Coverage(table, expected.stamping, expected.source, [], expected.model)
        elif table.triggers:
            entry = Coverage(table, catalog.told_stamping(table), labels.get(table.name), [])
        elif set(LABEL_ROLES) <= set(table.columns) or set(TIME_ROLES) <= set(table.columns):
            found.append(Coverage(table, None, labels.get(table.name), []))
            continue
        else:
            continue
        entry.differences += [
            Difference(table.label, "columns", f"there is no column {column} to fill")
            for column in entry.missing_columns
        ]
        entry.differences += [
            *trigger_differences(catalog, table, entry.stamping),
            *function_differences(catalog, table, judged_functions),
            *default_differences(table, entry, compiled),
        ]
        found.append(entry)
    return found


def differences(connection: BaseDatabaseWrapper) -> list[Difference]:
    return [difference for entry in coverage(connection) for difference in entry.differences]


def trigger_differences(
    catalog: Catalog, table: Table, stamping: Stamping | None
) -> Iterator[Difference]:
    def difference(kind: str, message: str) -> Difference:
        return Difference(table.label, kind, message)

    if stamping is None:
        yield difference("definition", "the triggers do not say which columns they fill")
        return
    for name in table.trigger_names:
        trigger = table.triggers.get(name)
        if trigger is None:
            yield difference("missing", f"trigger {name} is missing")
            continue
        if not trigger.is_enabled:
            yield difference("disabled", f"trigger {name} is disabled")
        for schema, partition in trigger.disabled_on:
            yield difference(
                "disabled", f"trigger {name} is disabled on partition {schema}.{partition}"
            )
        function = catalog.functions.get(trigger.function)
        if (
            trigger.type != TRIGGER_TYPES[name]
            or trigger.is_partial
            or function is None
            or (function.schema, function.name) != (table.schema, stamping.function_name)
            or trigger_parts(trigger.definition) != expected_parts(stamping, name, table)
        ):
            yield difference("definition", f"trigger {name} has another definition")
        elif trigger.comment != stamping.comment:
            yield difference("version", f"trigger {name} is of another version")
    for name in table.triggers:
        if name not in table.trigger_names:
            yield difference(
                "unexpected", f"trigger {name} calls a function of the package as well"
            )


def trigger_parts(definition: str) -> tuple[list[str], list[str]]:
    """The tokens of a trigger's condition, and of its function's arguments."""
    head, _, call = definition.partition(" EXECUTE FUNCTION ")
    _, _, condition = head.partition(" FOR EACH ROW")
    return sql_tokens(condition), [token for token in sql_tokens(call) if token.startswith("'")]


def expected_parts(stamping: Stamping, name: str, table: Table) -> tuple[list[str], list[str]]:
    condition, _ = trigger_parts(f" {stamping.definition(EVENTS[name])} EXECUTE FUNCTION ")
    arguments = stamping.arguments(is_partitioned=table.is_partitioned)
    return condition, [f"'{argument}" for argument in arguments]


def function_differences(catalog: Catalog, table: Table, judged: set[int]) -> Iterator[Difference]:
    """The functions that a table's triggers call, each judged once."""
    for trigger in table.triggers.values():
        function = catalog.functions.get(trigger.function)
        if function is None or trigger.function in judged:
            continue
        judged.add(trigger.function)
        columns = catalog.told_columns(table)
        if columns is None:
            continue
        expected = Stamping.of(columns)
        name = f"{function.schema}.{function.name}()"
        if function.name != expected.function_name:
            continue  # the trigger's definition differs, and is reported
        if function.body != expected.function_body or not function.is_plain:
            yield Difference(table.label, "function", f"function {name} has another definition")
        elif function.comment != expected.function_comment:
            yield Difference(table.label, "version", f"function {name} is of another version")


class CompiledDefaults:
    """The defaults that Django would write into a table, each compiled once."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.editor = connection.SchemaEditorClass(connection, collect_sql=True)
        self.compiled: dict[tuple[Any, str], str] = {}

    def sql(self, model_field: Any) -> str:
        key = (model_field.db_default, model_field.get_internal_type())
        if key not in self.compiled:
            text, parameters = self.editor.db_default_sql(model_field)
            self.compiled[key] = text % tuple(map(self.editor.quote_value, parameters))
        return self.compiled[key]


def stamped_defaults(table: Table, entry: Coverage, compiled: CompiledDefaults) -> dict[str, str]:
    """Column to default, for those that a model's table should have and has not."""
    if entry.model is None or entry.stamping is None:
        return {}
    expected = {
        str(model_field.column): compiled.sql(model_field)
        for model_field in audit_fields_of(entry.model).values()
        if model_field.has_db_default()
    } | label_defaults(entry.model, entry.stamping)
    return {
        column: default
        for column, default in expected.items()
        if sql_tokens(table.columns.get(column) or "") != sql_tokens(default)
    }


def default_differences(
    table: Table, entry: Coverage, compiled: CompiledDefaults
) -> Iterator[Difference]:
    for column in stamped_defaults(table, entry, compiled):
        yield Difference(table.label, "default", f"column {column} has another default")


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
