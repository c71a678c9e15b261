"""Keeps the trail's partitions ahead of time, and the audited tables' partitions recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .install import has_trail, installed_release, this_year
from .installed import (
    InstalledTrigger,
    installed_triggers,
    partitions_of,
    rows,
    sql_of,
)
from .schema import DEFAULT_PARTITION, YEARS_AHEAD, partition_sql, partitions_sql
from .sql import TRIGGERS, TRUNCATE_TRIGGER, call_sql, remove_sql

YEARS_QUERY: Final = """
    SELECT pg_catalog.pg_has_role(event.relowner, 'USAGE'), ARRAY(
        SELECT relname::text FROM pg_catalog.pg_inherits
        JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid WHERE inhparent = event.oid)
    FROM pg_catalog.pg_class AS event WHERE event.oid = pg_catalog.to_regclass('audit_trail.event')
"""
STRAY_YEARS_QUERY: Final = """
    SELECT DISTINCT extract(year FROM recorded_at AT TIME ZONE 'UTC')::int
    FROM audit_trail.event_default
    WHERE recorded_at >= '1000-01-01+00' AND recorded_at < '9999-01-01+00' ORDER BY 1
"""
OWNED_QUERY: Final = """
    SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class
    WHERE oid = pg_catalog.to_regclass(%s)
"""
#: No partition can be made for rows that the DEFAULT one holds, so it steps aside. Nothing is
#: updated or deleted, which is refused.
STEP_ASIDE: Final = """
    ALTER TABLE audit_trail.event DETACH PARTITION audit_trail.event_default;
    ALTER TABLE audit_trail.event_default RENAME TO event_moving;
"""
MOVE_BACK: Final = """
    INSERT INTO audit_trail.event OVERRIDING SYSTEM VALUE
        SELECT * FROM audit_trail.event_moving ORDER BY id;
    DROP TABLE audit_trail.event_moving;
"""


def maintain(connection: BaseDatabaseWrapper) -> list[str]:
    """Do what is due, and say what was done. What belongs to another role is left to it."""
    return [*keep_years(connection), *keep_partitions_recorded(connection)]


def keep_years(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """A partition for each year to come, and for each year that has rows in the DEFAULT one."""
    [(is_owned, partitions)] = rows(connection, YEARS_QUERY)
    if not is_owned:
        return
    stray = [year for (year,) in rows(connection, STRAY_YEARS_QUERY)]
    ahead = range(this_year(), this_year() + YEARS_AHEAD + 1)
    years = sorted(year for year in {*ahead, *stray} if f"event_{year}" not in partitions)
    if not years:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        parts = [partitions_sql(years)]
        if stray:
            parts = [STEP_ASIDE, *parts, partition_sql(DEFAULT_PARTITION, "DEFAULT"), MOVE_BACK]
        cursor.execute("\n".join(parts))
    yield from (f"audit_trail.event_{year}: partition made" for year in years)
    yield from (f"audit_trail.event_{year}: rows moved out of DEFAULT" for year in stray)


def keep_partitions_recorded(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """PostgreSQL gives a partition its table's row triggers, and not those of statements."""
    installed = installed_triggers(connection)
    for place, triggers in list(installed.items()):
        trigger = triggers.get(TRUNCATE_TRIGGER)
        if trigger is None:
            continue
        if len(triggers) == 1:
            # A partition whose table has no trail any more, or that is no partition any more.
            if is_owned(connection, sql_of(place)):
                execute(connection, remove_sql(sql_of(place), [TRUNCATE_TRIGGER]))
                yield f"{'.'.join(place)}: trigger {TRUNCATE_TRIGGER} removed"
            continue
        if any(each.is_clone for each in triggers.values()):
            continue
        for partition in partitions_of(connection, place):
            there = installed[partition].get(TRUNCATE_TRIGGER)
            if there and (there.raw_arguments, there.function) == (
                trigger.raw_arguments,
                trigger.function,
            ):
                continue
            if is_owned(connection, sql_of(partition)):
                execute(connection, copy_sql(sql_of(partition), trigger))
                yield f"{'.'.join(partition)}: trigger {TRUNCATE_TRIGGER} made"


def copy_sql(table: str, trigger: InstalledTrigger) -> str:
    event, scope = TRIGGERS["row"][TRUNCATE_TRIGGER]
    return call_sql(table, TRUNCATE_TRIGGER, event, scope, "record", trigger.arguments)


def is_owned(connection: BaseDatabaseWrapper, table: str) -> bool:
    return rows(connection, OWNED_QUERY, table) == [(True,)]


def execute(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def maintain_after_migrate(*, using: str, **kwargs: Any) -> None:
    connection = connections[using]
    if (
        connection.vendor == "postgresql"
        and has_trail(using)
        and installed_release(connection) is not None
    ):
        maintain(connection)
