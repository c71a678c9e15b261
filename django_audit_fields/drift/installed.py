"""What one database has: its triggers and functions of ours, and the tables with audit columns.

Reads the whole database in a constant number of queries, whatever the search path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

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
from .tables import Column, InstalledFunction, InstalledTrigger, Table

#: An argument may hold any text, so they are taken from the list and not from the definition.
TRIGGERS_QUERY: Final = r"""
    SELECT pg_trigger.oid, tgparentid, relation.oid, home.nspname, relation.relname,
        pg_catalog.pg_table_is_visible(relation.oid), relkind = 'p' OR relispartition,
        tgname, tgtype, tgattr::text <> '', tgenabled,
        CASE WHEN tgparentid = 0 THEN pg_catalog.pg_get_triggerdef(pg_trigger.oid) END,
        pg_catalog.obj_description(pg_trigger.oid, 'pg_trigger'), tgfoid,
        CASE WHEN tgparentid = 0 THEN ARRAY(
            SELECT pg_catalog.convert_from(
                pg_catalog.decode(part, 'hex'), pg_catalog.getdatabaseencoding())
            FROM pg_catalog.unnest(pg_catalog.string_to_array(
                pg_catalog.regexp_replace(pg_catalog.encode(tgargs, 'hex'), '(..)', '\1 ', 'g'),
                '00 ')) WITH ORDINALITY AS parts (part, place)
            WHERE place <= tgnargs ORDER BY place) END
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class relation ON relation.oid = tgrelid
    JOIN pg_catalog.pg_namespace home ON home.oid = relnamespace
    LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
    WHERE (NOT tgisinternal OR tgparentid <> 0)
        AND (tgname = ANY(%(names)s)
            OR (pg_catalog.starts_with(proname, %(prefix)s)
                AND pg_catalog.strpos(prosrc, %(mark)s) > 0))
    ORDER BY home.nspname, relation.relname, tgname
"""


class TriggerRow(NamedTuple):
    """A row of `TRIGGERS_QUERY`."""

    oid: int
    #: Of the trigger that a partition has this one from, 0 for one of its own.
    parent: int
    table: int
    schema: str
    table_name: str
    is_visible: bool
    is_partitioned: bool
    #: From here on as `InstalledTrigger` has them; no definition or arguments for a copy.
    name: str
    type: int
    is_partial: bool
    firing: str
    definition: str
    comment: str | None
    function: int
    arguments: list[str]


FUNCTIONS_QUERY: Final = """
    SELECT pg_proc.oid, nspname, proname, prosrc, lanname = 'plpgsql' AND NOT prosecdef
        AND proconfig IS NULL, pg_catalog.obj_description(pg_proc.oid, 'pg_proc'),
        pg_catalog.pg_has_role(proowner, 'USAGE')
    FROM pg_catalog.pg_proc
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
    JOIN pg_catalog.pg_language ON pg_language.oid = prolang
    WHERE pg_catalog.starts_with(proname, %(prefix)s) AND pronargs = 0
"""

#: Enabled BEFORE triggers for each row, on insert or update, whose names sort after ours.
LATER_TRIGGERS_QUERY: Final = """
    SELECT tgrelid, tgname, nspname, relname
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE tgrelid = ANY(%(tables)s::bigint[]) AND NOT tgisinternal AND tgparentid = 0
        AND tgtype & 3 = 3 AND tgtype & 20 <> 0 AND tgenabled IN ('O', 'A')
        AND tgname > %(ours)s::name AND tgname <> ALL(%(names)s)
    ORDER BY nspname, relname, tgname
"""

MIGRATED_SCHEMAS_QUERY: Final = """
    SELECT nspname FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = %(name)s AND relkind = 'r'
"""

COLUMNS_QUERY: Final = """
    SELECT relation.oid, home.nspname, relname, pg_catalog.pg_table_is_visible(relation.oid),
        relkind = 'p' OR relispartition, attname, pg_catalog.pg_get_expr(adbin, adrelid),
        pg_catalog.format_type(atttypid, atttypmod) || CASE WHEN attcollation <> typcollation
            THEN pg_catalog.format(' COLLATE %%I.%%I', collation_home.nspname, collname) ELSE '' END
    FROM pg_catalog.pg_attribute
    JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
    LEFT JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation
    LEFT JOIN pg_catalog.pg_namespace collation_home ON collation_home.oid = collnamespace
    JOIN pg_catalog.pg_class relation ON relation.oid = attrelid
    JOIN pg_catalog.pg_namespace home ON home.oid = relnamespace
    LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped
        AND (NOT relispartition OR relation.oid = ANY(%(tables)s::bigint[]))
        AND attname = ANY(%(names)s)
        AND home.nspname <> 'information_schema'
        AND NOT pg_catalog.starts_with(home.nspname, 'pg_')
    ORDER BY home.nspname, relname
"""


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
            if row.firing != trigger.firing:
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
