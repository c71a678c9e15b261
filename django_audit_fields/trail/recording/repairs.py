"""Makes trails again what the code would install: for `audit_triggers install`."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...triggers import quote_identifier
from .expected import ExpectedTable, expected_tables
from .install import current_role, installed_release
from .installed import (
    Place,
    TrailDifference,
    installed_triggers,
    is_hardened,
    may_look_inside,
    partitions_of,
    rows,
    sql_of,
    trail_differences,
)
from .partitions import keep_partitions_recorded
from .schema import RELEASE, append_only_sql, structure_sql
from .sql import install_sql, remove_sql


def repair_trails(connection: BaseDatabaseWrapper) -> list[tuple[TrailDifference, str | None]]:
    """What was not in line, and why it still is not; None where it is in line now."""
    before = trail_differences(connection)
    if not before:
        return []
    faults = list(carry_out_repairs(connection))
    after = set(trail_differences(connection))
    reason = "; ".join(faults) or "it cannot be repaired from here"
    return [(difference, reason if difference in after else None) for difference in before]


def carry_out_repairs(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """One transaction for each table, so that no lock is held longer than its repair takes."""
    release = installed_release(connection)
    if release is None:
        yield "the schema is missing: run migrate"
        return
    # What hardening has taken out of this role's hands is for `audit_trail harden`.
    if release <= RELEASE and may_look_inside(connection) and not is_hardened(connection):
        yield from attempt(connection, schema_repairs(connection))
    for table in expected_tables(connection):
        yield from attempt(connection, table_repairs(connection, table))
    try:
        list(keep_partitions_recorded(connection))
    except DatabaseError as error:
        yield str(error).partition("\n")[0]


def attempt(connection: BaseDatabaseWrapper, statements: list[str]) -> Iterator[str]:
    if not statements:
        return
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except DatabaseError as error:
        # Go on with the next table: it may be of this role, or not locked. Not after a lost
        # connection.
        if not connection.is_usable():
            raise
        yield str(error).partition("\n")[0]


def schema_repairs(connection: BaseDatabaseWrapper) -> list[str]:
    tables = rows(
        connection,
        "SELECT relname::text FROM pg_catalog.pg_partition_tree('audit_trail.event')"
        " JOIN pg_catalog.pg_class ON pg_class.oid = relid",
    )
    return [
        structure_sql(current_role(connection)),
        *(append_only_sql(name) for (name,) in tables),
        *(
            f"ALTER TABLE ONLY audit_trail.{quote_identifier(name)} ENABLE TRIGGER USER"
            for (name,) in tables
        ),
    ]


def table_repairs(connection: BaseDatabaseWrapper, table: ExpectedTable) -> list[str]:
    place: Place = (table.schema, table.name)
    installed = installed_triggers(connection)
    names = table.recording.trigger_names
    present = installed[place]
    statements = []
    if others := [name for name in present if name not in names]:
        statements.append(remove_sql(sql_of(place), others))
    if not all(name in present and present[name].does(table.recording) for name in names):
        statements.append(install_sql(sql_of(place), table.recording))
    places = [place, *(partitions_of(connection, place) if table.facts.is_partitioned else ())]
    wrongly = ("D", "R") if is_hardened(connection) else ("D", "R", "A")
    statements += [
        f"ALTER TABLE ONLY {sql_of(one)} ENABLE TRIGGER {quote_identifier(name)}"
        for one in places
        for name, trigger in installed[one].items()
        if name in names and trigger.enabled in wrongly
    ]
    return statements
