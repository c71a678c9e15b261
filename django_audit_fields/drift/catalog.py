"""What the database has against what the code would install: for check, command and releases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from ..triggers import (
    INSERT_TRIGGER,
    LABEL_ROLES,
    TIME_ROLES,
    TRIGGER_NAMES,
    UPDATE_TRIGGER,
    Rules,
    Stamping,
    audit_fields_of,
    column_defaults,
)
from .expected import Expectation, model_expectations, operation_expectations
from .installed import Catalog
from .printed import Printed, Wanted, print_expected, rule_of
from .tables import Table

#: Bits of pg_trigger.tgtype: for each row, before, on insert or update.
TRIGGER_TYPES: Final = {INSERT_TRIGGER: 1 | 2 | 4, UPDATE_TRIGGER: 1 | 2 | 16}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the database is not what the code would install."""

    table: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"


@dataclass(slots=True)
class Coverage:
    """A table with audit columns, what is expected of it, and how it differs."""

    table: Table
    stamping: Stamping | None
    source: str | None
    differences: list[Difference]
    model: type[Model] | None = None
    #: Whether the function that its triggers should call is there.
    has_function: bool = False
    #: Column to default, of those that have another one in the table.
    defaults: dict[str, str] = field(default_factory=dict)
    #: By event; None where no trigger of ours fires, or none that fills a label.
    in_force: dict[str, Rules | None] = field(default_factory=dict)

    @property
    def expected_rules(self) -> Rules | None:
        return self.stamping.rules if self.stamping else None

    @property
    def changed_settings(self) -> list[str]:
        """Those that were others when the triggers were made, with both values."""
        if self.stamping is None:
            return []
        now = self.stamping.arguments
        found = {
            f"AUDIT_FIELDS[{name!r}] is {is_now!r} and was {was!r}"
            for trigger in self.table.triggers.values()
            for name, is_now, was in zip(
                ("FALLBACK", "NOBODY", "STRICT"), now, trigger.arguments, strict=False
            )
            if is_now != was
        }
        return sorted(found)

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
    for table in sorted(catalog.tables.values(), key=lambda table: (table.schema, table.name)):
        if expected := wanted_of.get((table.schema, table.name)):
            stamping = expected.stamping.for_partitions(table.is_partitioned)
            entry = Coverage(table, stamping, expected.source, [], expected.model)
        elif table.triggers:
            entry = Coverage(table, catalog.told_stamping(table), labels.get(table.name), [])
        elif set(LABEL_ROLES) <= set(table.columns) or set(TIME_ROLES) <= set(table.columns):
            found.append(Coverage(table, None, labels.get(table.name), []))
            continue
        else:
            continue
        entry.in_force = catalog.rules_in_force(table)
        found.append(entry)
    compare(
        connection, catalog, [entry for entry in found if entry.stamping or entry.table.triggers]
    )
    return found


def compare(connection: BaseDatabaseWrapper, catalog: Catalog, entries: Sequence[Coverage]) -> None:
    """Give each entry its differences."""
    compiled = CompiledDefaults(connection)
    wanted = {
        id(entry): Wanted(
            entry.stamping,
            function,
            tuple(
                (column, entry.table.columns[column].type) for _, column in entry.stamping.columns
            ),
            tuple(compiled.defaults(entry.model, entry.stamping).items()),
        )
        for entry in entries
        if entry.stamping is not None
        and not entry.missing_columns
        and (function := catalog.function_of(entry.table, entry.stamping))
    }
    printed = print_expected(connection, wanted.values())
    for entry in entries:
        expected = printed.get(wanted[id(entry)]) if id(entry) in wanted else None
        if entry.stamping is not None:
            entry.has_function = catalog.has_function(entry.table, entry.stamping)
        entry.differences += [
            Difference(entry.table.label, "columns", f"there is no column {column} to fill")
            for column in entry.missing_columns
        ]
        entry.differences += trigger_differences(catalog, entry.table, entry.stamping, expected)
        entry.differences += function_differences(catalog, entry.table)
        if expected is not None:
            entry.defaults = {
                column: default
                for column, default in wanted[id(entry)].defaults
                if entry.table.columns[column].default != expected[column]
            }
        entry.differences += [
            Difference(entry.table.label, "default", f"column {column} has another default")
            for column in entry.defaults
        ]


def differences(connection: BaseDatabaseWrapper) -> list[Difference]:
    return [difference for entry in coverage(connection) for difference in entry.differences]


#: How a trigger fires.
FIRING: Final = {
    "D": "is disabled",
    "R": "fires for replicated rows only (ENABLE REPLICA)",
    # A subscriber would stamp over what the publisher's rows carry.
    "A": "fires for replicated rows, too (ENABLE ALWAYS)",
}


def trigger_differences(
    catalog: Catalog, table: Table, stamping: Stamping | None, printed: Printed | None
) -> Iterator[Difference]:
    def difference(kind: str, message: str) -> Difference:
        return Difference(table.label, kind, message)

    if stamping is None:
        yield difference("definition", "the triggers do not say which columns they fill")
        return
    for name in TRIGGER_NAMES:
        trigger = table.triggers.get(name)
        if trigger is None:
            yield difference("missing", f"trigger {name} is missing")
            continue
        if trigger.firing != "O":
            yield difference("disabled", f"trigger {name} {FIRING[trigger.firing]}")
        for (schema, partition), firing in trigger.switched_on:
            where = f"on partition {schema}.{partition}"
            yield difference("disabled", f"trigger {name} {FIRING[firing]} {where}")
        function = catalog.functions.get(trigger.function)
        if (
            trigger.type != TRIGGER_TYPES[name]
            or trigger.is_partial
            or trigger.arguments != stamping.arguments
            or function is None
            or function.name != stamping.function_name
            or (printed is not None and rule_of(trigger.definition) != printed[name])
        ):
            yield difference("definition", f"trigger {name} has another definition")
        elif trigger.comment != stamping.comment:
            yield difference("version", f"trigger {name} is of another version")
    for name in table.triggers:
        if name not in TRIGGER_NAMES:
            yield difference(
                "unexpected", f"trigger {name} calls a function of the package as well"
            )
    for place, name in table.later_triggers:
        where = "" if place == (table.schema, table.name) else f" on partition {'.'.join(place)}"
        yield difference("order", f"trigger {name}{where} fires after those of the package")


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
        expected = Stamping.of(columns).for_partitions(table.is_partitioned)
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

    def defaults(self, model: type[Model] | None, stamping: Stamping) -> dict[str, str]:
        """Column to default, for those of a model's own table."""
        if model is None:
            return {}
        own = column_defaults(model, stamping)
        return own | {
            column: self.sql(model_field)
            for model_field in audit_fields_of(model).values()
            if (column := str(model_field.column)) not in own and model_field.has_db_default()
        }
