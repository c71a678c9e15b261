"""What one database has: its triggers and functions of ours, and the tables with audit columns.

Reads the whole database in a constant number of queries, whatever the search path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from ..conf import ACTOR_VARIABLE
from ..triggers import (
    EVENTS,
    FUNCTION_MARK,
    FUNCTION_PREFIX,
    INSERT_TRIGGER,
    OBSOLETE_TRIGGERS,
    ROLES,
    TRIGGER_NAMES,
    UPDATE_TRIGGER,
    Rules,
    Stamping,
)
from .queries import (
    COLUMNS_QUERY,
    FUNCTIONS_QUERY,
    LATER_TRIGGERS_QUERY,
    MIGRATED_SCHEMAS_QUERY,
    TRIGGERS_QUERY,
    TriggerRow,
)
from .tables import Column, InstalledFunction, InstalledTrigger, Table


class Catalog:
    """What one database has: tables with audit columns or triggers of ours, and the functions."""

    def __init__(self, connection: BaseDatabaseWrapper, columns: Sequence[str] = ROLES) -> None:
        """`columns`: the names to look for beside those that the triggers' comments tell."""
        self.connection = connection
        self.tables: dict[int, Table] = {}
        self.functions: dict[int, InstalledFunction] = {}
        #: Partition to the table from which it has its triggers.
        self.owners: dict[int, int] = {}
        self.read_functions()
        self.read_triggers()
        self.read_later_triggers()
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
        rows = {
            row.oid: row
            for row in map(
                TriggerRow._make,
                self.rows(
                    TRIGGERS_QUERY,
                    names=[*TRIGGER_NAMES, *OBSOLETE_TRIGGERS],
                    prefix=FUNCTION_PREFIX,
                    mark=FUNCTION_MARK,
                ),
            )
        }
        for row in rows.values():
            if not row.parent:
                table = self.table(
                    row.table, row.schema, row.table_name, row.is_visible, row.is_partitioned
                )
                table.triggers[row.name] = InstalledTrigger(
                    (row.schema, row.table_name),
                    row.name,
                    row.type,
                    row.is_partial,
                    row.firing,
                    row.definition,
                    row.comment,
                    row.function,
                    tuple(row.arguments),
                )
        for row in rows.values():
            root = row
            while root.parent in rows:
                root = rows[root.parent]
            if not row.parent or root.parent:
                continue
            self.owners[row.table] = root.table
            # A partition's copy can be switched by itself.
            trigger = self.tables[root.table].triggers[root.name]
            if row.firing not in ("O", trigger.firing):
                trigger.switched_on.append(((row.schema, row.table_name), row.firing))

    def table(
        self, oid: int, schema: str, name: str, is_visible: bool, is_partitioned: bool
    ) -> Table:
        return self.tables.setdefault(oid, Table(schema, name, is_visible, is_partitioned))

    def read_later_triggers(self) -> None:
        rows = self.rows(
            LATER_TRIGGERS_QUERY,
            tables=[*self.tables, *self.owners],
            ours=INSERT_TRIGGER,
            names=[*TRIGGER_NAMES, *OBSOLETE_TRIGGERS],
        )
        for oid, name, *place in rows:
            table = self.tables[oid] if oid in self.tables else self.tables[self.owners[oid]]
            if name not in table.triggers:
                table.later_triggers.append(((place[0], place[1]), name))

    def read_columns(self, names: Sequence[str]) -> None:
        rows = self.rows(COLUMNS_QUERY, names=list(names), tables=list(self.tables))
        for *place, column, default, kind in rows:
            self.table(*place).columns[column] = Column(default, kind)

    def migrated_schemas(self) -> set[str]:
        """Those that were migrated: with a function of ours, or with a default and migrations.

        A tenant's, say, that may have lost every trigger. A backup has neither.
        """
        name = MigrationRecorder.Migration._meta.db_table
        recording = {schema for (schema,) in self.rows(MIGRATED_SCHEMAS_QUERY, name=name)}
        stamping = {
            table.schema
            for table in self.tables.values()
            if any(ACTOR_VARIABLE in (column.default or "") for column in table.columns.values())
        }
        with_functions = {
            function.schema for function in self.functions.values() if function.is_ours
        }
        return with_functions | recording & stamping

    def function_of(self, table: Table, stamping: Stamping) -> str | None:
        """The function that a table's triggers should call, as SQL names it; None: not there.

        Where a migration has made it in another schema than the table's, it is that one.
        """
        called = [trigger.function for trigger in table.triggers.values()]
        for function in [self.functions[oid] for oid in called if oid in self.functions]:
            if function.name == stamping.function_name:
                return function.sql
        for function in self.functions.values():
            if (function.schema, function.name) == (table.schema, stamping.function_name):
                return function.sql
        return None

    def has_function(self, table: Table, stamping: Stamping) -> bool:
        """Whether the function that this release would make for a table is there."""
        return any(
            (function.schema, function.name) == (table.schema, stamping.function_name)
            and (function.body, function.comment)
            == (stamping.function_body, stamping.function_comment)
            and function.is_plain
            for function in self.functions.values()
        )

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

    def rules_in_force(self, table: Table) -> dict[str, Rules | None]:
        """What INSERT and UPDATE are ruled by now; None where no trigger of ours fires."""
        in_force = {}
        for name in (INSERT_TRIGGER, UPDATE_TRIGGER):
            trigger = table.triggers.get(name)
            function = self.functions.get(trigger.function) if trigger else None
            fires = trigger and trigger.is_enabled and function and function.is_ours
            in_force[EVENTS[name]] = Rules.told_by(trigger.arguments) if trigger and fires else None
        return in_force

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
        stamping = Stamping.of(columns, strict=strict, nobody=nobody)
        return stamping.for_partitions(table.is_partitioned)

    def present_stamping(self, table: Table) -> Stamping | None:
        """What they were made for: the same, under the settings of that time."""
        stamping = self.told_stamping(table)
        arguments = next((t.arguments for t in table.triggers.values() if t.arguments), ())
        if stamping is None or len(arguments) < 3:
            return stamping
        fallback, nobody, strict, *_ = arguments
        return dataclasses.replace(
            stamping, fallback=fallback, nobody=nobody, strict=strict == "strict"
        )
