"""What the database has against what the code would install: for check, command and releases."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

from ..operations import AuditTriggersOperation, InstallAuditTriggers
from ..triggers import (
    EVENTS,
    INSERT_TRIGGER,
    LABEL_ROLES,
    MOVE_TRIGGER,
    TIME_ROLES,
    UPDATE_TRIGGER,
    AuditTrigger,
    Rules,
    Stamping,
    audit_fields_of,
    label_defaults,
    named_triggers,
)
from .installed import Catalog
from .sql_text import condition_of, sql_tokens
from .tables import InstalledTrigger, Table

#: Bits of pg_trigger.tgtype: for each row, before, on insert, update or delete.
TRIGGER_TYPES: Final = {
    INSERT_TRIGGER: 1 | 2 | 4,
    UPDATE_TRIGGER: 1 | 2 | 16,
    MOVE_TRIGGER: 1 | 2 | 8,
}


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
    #: By event; None where no trigger of ours fires, or none that fills a label.
    in_force: dict[str, Rules | None] = field(default_factory=dict)

    @property
    def expected_rules(self) -> Rules | None:
        return self.stamping.rules if self.stamping else None

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


def models_of_migrations() -> dict[str, bool]:
    """Whether the migrations on disk give a model an `AuditTrigger`, by its lower-case label."""
    state = MigrationLoader(None, ignore_no_migrations=True).project_state()
    return {
        f"{app_label}.{model_name}": any(
            isinstance(entry, AuditTrigger) for entry in model.options.get("constraints", ())
        )
        for (app_label, model_name), model in state.models.items()
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
    migrated = catalog.migrated_schemas()
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
        entry.in_force = catalog.rules_in_force(table)
        entry.differences += [
            Difference(table.label, "columns", f"there is no column {column} to fill")
            for column in entry.missing_columns
        ]
        entry.differences += [
            *trigger_differences(catalog, table, entry.stamping),
            *function_differences(catalog, table),
            *default_differences(table, entry, compiled),
        ]
        found.append(entry)
    return found


def differences(connection: BaseDatabaseWrapper) -> list[Difference]:
    return [difference for entry in coverage(connection) for difference in entry.differences]


#: `ALWAYS` is a fault as well: a subscriber would stamp over what the publisher's rows carry.
SWITCHED: Final = {
    "D": "is disabled",
    "R": "fires for replicated rows only (ENABLE REPLICA)",
    "A": "fires for replicated rows, too (ENABLE ALWAYS)",
}


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
        if trigger.switch != "O":
            yield difference("disabled", f"trigger {name} {SWITCHED[trigger.switch]}")
        for (schema, partition), switch in trigger.switched_on:
            yield difference(
                "disabled", f"trigger {name} {SWITCHED[switch]} on partition {schema}.{partition}"
            )
        function = catalog.functions.get(trigger.function)
        if (
            trigger.type != TRIGGER_TYPES[name]
            or trigger.is_partial
            or function is None
            or (function.schema, function.name) != (table.schema, stamping.function_name)
            or not is_as_expected(stamping, name, table, trigger)
        ):
            yield difference("definition", f"trigger {name} has another definition")
        elif trigger.comment != stamping.comment:
            yield difference("version", f"trigger {name} is of another version")
    for name in table.triggers:
        if name not in table.trigger_names:
            yield difference(
                "unexpected", f"trigger {name} calls a function of the package as well"
            )
    for place, name in table.later_triggers:
        where = "" if place == (table.schema, table.name) else f" on partition {'.'.join(place)}"
        yield difference("order", f"trigger {name}{where} fires after those of the package")


def is_as_expected(stamping: Stamping, name: str, table: Table, trigger: InstalledTrigger) -> bool:
    return trigger.arguments == stamping.arguments(
        is_partitioned=table.is_partitioned
    ) and condition_of(trigger.definition) == condition_of(stamping.definition(EVENTS[name]))


def function_differences(catalog: Catalog, table: Table) -> Iterator[Difference]:
    """The functions that a table's triggers call, each judged once.

    For each table that shares it: whichever of them can be repaired repairs it.
    """
    for called in dict.fromkeys(trigger.function for trigger in table.triggers.values()):
        function = catalog.functions.get(called)
        if function is None:
            continue
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
