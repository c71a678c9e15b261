"""What a database has of its trails, and where that is not what the code would install."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from ...triggers import quote_identifier
from .expected import ExpectedTable, expected_tables
from .install import has_trail, installed_release
from .schema import APPEND_ONLY, RECORDERS, RELEASE, SCHEMA, function_bodies
from .sql import PREFIX, TRIGGERS, Recording

TRIGGERS_QUERY: Final = """
    SELECT home.nspname::text, relname::text, tgname::text, tgtype, tgenabled::text,
        tgparentid <> 0, functions.nspname || '.' || proname, tgargs,
        tgqual IS NOT NULL OR tgattr::text <> ''
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    JOIN pg_catalog.pg_namespace home ON home.oid = relnamespace
    JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
    JOIN pg_catalog.pg_namespace functions ON functions.oid = pronamespace
    WHERE (NOT tgisinternal OR tgparentid <> 0) AND pg_catalog.starts_with(tgname, %s)
    ORDER BY 1, 2, 3
"""
PARTITIONS_QUERY: Final = """
    SELECT nspname::text, relname::text
    FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%s))
    JOIN pg_catalog.pg_class ON pg_class.oid = relid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE level > 0 ORDER BY 1, 2
"""
FUNCTIONS_QUERY: Final = """
    SELECT proname::text, prosrc, prosecdef, proconfig IS NOT NULL
    FROM pg_catalog.pg_proc JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname = %s
"""
GUARDS_QUERY: Final = """
    SELECT 'audit_trail.' || relname, EXISTS (
        SELECT FROM pg_catalog.pg_trigger
        WHERE tgrelid = relid AND tgname = %s AND tgenabled IN ('O', 'A')
            AND tgtype & 58 = 58 AND tgfoid = pg_catalog.to_regproc('audit_trail.refuse'))
    FROM (
        SELECT relid FROM pg_catalog.pg_partition_tree('audit_trail.event')
        UNION ALL SELECT pg_catalog.to_regclass('audit_trail.seal')
    ) AS guarded JOIN pg_catalog.pg_class ON pg_class.oid = relid ORDER BY 1
"""
HARDENED_QUERY: Final = """
    SELECT nspowner <> proowner FROM pg_catalog.pg_namespace
    JOIN pg_catalog.pg_proc ON pronamespace = pg_namespace.oid AND proname = 'record'
    WHERE nspname = %s
"""
#: The events and the moment of a trigger, as pg_trigger.tgtype has them.
BITS: Final = {"FOR EACH ROW": 1, "INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}


@dataclass(frozen=True, slots=True)
class TrailDifference:
    """One thing in which the trail is not what the code would install."""

    table: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"


@dataclass(frozen=True, slots=True)
class InstalledTrigger:
    """A trigger of a trail, as the catalog has it."""

    schema: str
    table: str
    name: str
    type: int
    enabled: str
    is_clone: bool
    function: str
    raw_arguments: Any
    is_partial: bool

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(part.decode() for part in bytes(self.raw_arguments).split(b"\0")[:-1])

    def does(self, recording: Recording) -> bool:
        """Whether it is what `recording` would install under this name."""
        if self.name not in recording.trigger_names:
            return False
        event, scope = TRIGGERS[recording.level][self.name]
        bits = sum(bit for text, bit in BITS.items() if text in f"{event} {scope}")
        return (
            self.type == bits
            and not self.is_partial
            and self.function == f"audit_trail.{recording.function_of(self.name)}"
            and self.arguments == recording.arguments
        )


def rows(connection: BaseDatabaseWrapper, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


#: Schema and name of a table.
Place = tuple[str, str]


def sql_of(place: Place) -> str:
    return ".".join(map(quote_identifier, place))


def installed_triggers(connection: BaseDatabaseWrapper) -> dict[Place, dict[str, InstalledTrigger]]:
    """By table, and by the trigger's name."""
    found: dict[Place, dict[str, InstalledTrigger]] = defaultdict(dict)
    for row in rows(connection, TRIGGERS_QUERY, PREFIX):
        trigger = InstalledTrigger(*row)
        found[trigger.schema, trigger.table][trigger.name] = trigger
    return found


def partitions_of(connection: BaseDatabaseWrapper, place: Place) -> list[Place]:
    """A table's partitions, and theirs."""
    return [(schema, name) for schema, name in rows(connection, PARTITIONS_QUERY, sql_of(place))]


def is_hardened(connection: BaseDatabaseWrapper) -> bool:
    """Whether what writes the trail belongs to another role than the trail."""
    return rows(connection, HARDENED_QUERY, SCHEMA) == [(True,)]


def trail_differences(connection: BaseDatabaseWrapper) -> list[TrailDifference]:
    """What `audit_triggers check` says of trails; nothing of a project that has none."""
    if connection.vendor != "postgresql" or not has_trail(connection.alias):
        return []
    release = installed_release(connection)
    tables = expected_tables(connection)
    if release is None:
        # Before the first `migrate` there is nothing to be missed.
        message = "the schema is missing: run migrate"
        return [TrailDifference(SCHEMA, "missing", message)] if tables else []
    return [
        *schema_differences(connection, release),
        *table_differences(connection, tables),
    ]


def may_look_inside(connection: BaseDatabaseWrapper) -> bool:
    """Whether this role has any right in the schema; the application's may have none."""
    query = "SELECT pg_catalog.has_schema_privilege('audit_trail', 'USAGE')"
    return rows(connection, query) == [(True,)]


def schema_differences(connection: BaseDatabaseWrapper, release: int) -> Iterator[TrailDifference]:
    if release < RELEASE:
        yield TrailDifference(SCHEMA, "outdated", "an older release made it: run migrate")
    elif release == RELEASE:
        present = {name: facts for name, *facts in rows(connection, FUNCTIONS_QUERY, SCHEMA)}
        for name, body in function_bodies().items():
            if name not in present:
                yield TrailDifference(SCHEMA, "missing", f"function {name}() is missing")
            elif present[name] != [body, name in RECORDERS, name in RECORDERS]:
                yield TrailDifference(SCHEMA, "different", f"function {name}() is another one")
    if not may_look_inside(connection):
        return
    for table, is_guarded in rows(connection, GUARDS_QUERY, APPEND_ONLY):
        if not is_guarded:
            message = f"trigger {APPEND_ONLY} is missing, disabled or another one"
            yield TrailDifference(table, "missing", message)


def table_differences(
    connection: BaseDatabaseWrapper, tables: list[ExpectedTable]
) -> Iterator[TrailDifference]:
    installed = installed_triggers(connection)
    may_be_always = is_hardened(connection)
    for table in tables:
        place = table.schema, table.name
        names = table.recording.trigger_names
        if table.recording.level == "statement" and table.facts.is_partitioned:
            message = "level 'statement' misses what is written to its partitions"
            yield TrailDifference(table.label, "level", message)
        for name in sorted(installed[place].keys() - set(names)):
            yield TrailDifference(table.label, "different", f"trigger {name} is of another level")
        for one in [
            place,
            *(partitions_of(connection, place) if table.facts.is_partitioned else ()),
        ]:
            for name in names:
                yield from trigger_differences(
                    ".".join(one), name, installed[one].get(name), table.recording, may_be_always
                )


def trigger_differences(
    table: str,
    name: str,
    trigger: InstalledTrigger | None,
    recording: Recording,
    may_be_always: bool,
) -> Iterator[TrailDifference]:
    if trigger is None:
        yield TrailDifference(table, "missing", f"trigger {name} is missing")
    elif not trigger.does(recording):
        yield TrailDifference(table, "different", f"trigger {name} is another one")
    elif trigger.enabled in ("D", "R"):
        yield TrailDifference(table, "disabled", f"trigger {name} is disabled")
    elif trigger.enabled == "A" and not may_be_always:
        message = f"trigger {name} fires for replicated rows, too: ENABLE ALWAYS"
        yield TrailDifference(table, "different", message)
