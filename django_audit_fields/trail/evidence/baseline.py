"""Gives each row that has no event a first one, so that its past begins somewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...actors import current_actor
from ...triggers import quote_identifier
from ..recording import TRUNCATE_TRIGGER, InstalledTrigger, Place, installed_triggers, rows, sql_of

BATCH_SIZE: Final = 5_000

#: As the functions have it: the same images, whatever the session has set.
SETTINGS: Final = """
    SELECT pg_catalog.set_config('timezone', 'UTC', true),
        pg_catalog.set_config('datestyle', 'ISO', true),
        pg_catalog.set_config('intervalstyle', 'postgres', true),
        pg_catalog.set_config('bytea_output', 'hex', true),
        pg_catalog.set_config('extra_float_digits', '1', true)
"""
#: Locked, so that no row changes between the question whether it has an event and its image.
LOCK_TEMPLATE: Final = """
    SELECT {keys} FROM {table} {after} ORDER BY {keys} LIMIT %s FOR SHARE
"""
INSERT_TEMPLATE: Final = """
    INSERT INTO audit_trail.event (
        recorded_at, action, table_schema, table_name, row_key, actor, context,
        db_role, application_name, client_addr, transaction_id, after
    )
    SELECT clock_timestamp(), 'baseline', %(schema)s, %(table)s, row_key, %(actor)s,
        nullif(current_setting('app.audit_context', true), '')::jsonb,
        session_user, current_setting('application_name'), inet_client_addr(),
        pg_current_xact_id()::text::bigint,
        image - %(hidden)s::text[] || coalesce(
            (SELECT jsonb_object_agg(m, '***') FROM unnest(%(masked)s::text[]) m
                WHERE image->>m IS NOT NULL), '{}')
    FROM (
        SELECT image, CASE WHEN cardinality(%(keys)s::text[]) = 1
            THEN image->>(%(keys)s::text[])[1]
            ELSE (SELECT jsonb_agg(image->key ORDER BY place)::text
                FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS k (key, place)) END AS row_key
        FROM (SELECT to_jsonb(r.*) AS image FROM {table} AS r {between} OFFSET 0) AS images
    ) AS keyed
    WHERE NOT EXISTS (
        SELECT FROM audit_trail.event
        WHERE event.table_schema = %(schema)s AND event.table_name = %(table)s
            AND event.row_key = keyed.row_key
    )
    ORDER BY row_key
"""


def recorded_places(connection: BaseDatabaseWrapper) -> dict[Place, InstalledTrigger]:
    """The tables that have a trail, each with a trigger that tells what is recorded of it."""
    return {
        place: triggers[TRUNCATE_TRIGGER]
        for place, triggers in installed_triggers(connection).items()
        if TRUNCATE_TRIGGER in triggers and not any(each.is_clone for each in triggers.values())
    }


def may_write_events(connection: BaseDatabaseWrapper) -> bool:
    query = "SELECT pg_catalog.has_table_privilege('audit_trail.event', 'INSERT')"
    return rows(connection, query) == [(True,)]


def hidden_rows_fault(connection: BaseDatabaseWrapper, place: Place) -> str | None:
    """Why this role would not see all rows of a table, and what to do; None: it sees them."""
    query = "SELECT pg_catalog.row_security_active(%s::regclass::oid), current_user::text"
    [(hides, role)] = rows(connection, query, sql_of(place))
    if not hides:
        return None
    return (
        f"row-level security hides rows of {'.'.join(place)} from role {role}: "
        "run it as a role with BYPASSRLS"
    )


def write_baseline(
    connection: BaseDatabaseWrapper,
    place: Place,
    trigger: InstalledTrigger,
    *,
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[int, int]]:
    """Batch by batch, each in a transaction: how many rows were looked at, how many written."""
    keys, hidden, masked = (array_of(connection, text) for text in trigger.arguments[:3])
    last: Sequence[Any] | None = None
    while True:
        with transaction.atomic(using=connection.alias):
            rows(connection, SETTINGS)
            batch = lock_batch(connection, place, keys, last, batch_size)
            if not batch:
                return
            written = insert_batch(connection, place, keys, (last, batch[-1]), hidden, masked)
        last = batch[-1]
        yield len(batch), written


def array_of(connection: BaseDatabaseWrapper, text: str) -> list[str]:
    [(names,)] = rows(connection, "SELECT %s::text[]", text)
    return list(names)


def lock_batch(
    connection: BaseDatabaseWrapper,
    place: Place,
    keys: Sequence[str],
    last: Sequence[Any] | None,
    size: int,
) -> list[tuple[Any, ...]]:
    names = ", ".join(map(quote_identifier, keys))
    after = f"WHERE {beyond(keys, '>')}" if last is not None else ""
    query = LOCK_TEMPLATE.format(
        keys=names.replace("%", "%%"), table=sql_of(place).replace("%", "%%"), after=after
    )
    return rows(connection, query, *(last or ()), size)


def beyond(keys: Sequence[str], operator: str, prefix: str = "") -> str:
    names = ", ".join(quote_identifier(key).replace("%", "%%") for key in keys)
    holes = ", ".join(f"%({prefix}{place})s" if prefix else "%s" for place in range(len(keys)))
    return f"({names}) {operator} ({holes})"


def insert_batch(
    connection: BaseDatabaseWrapper,
    place: Place,
    keys: Sequence[str],
    bounds: tuple[Sequence[Any] | None, Sequence[Any]],
    hidden: Sequence[str],
    masked: Sequence[str],
) -> int:
    first, last = bounds
    parameters: dict[str, Any] = {
        "schema": place[0],
        "table": place[1],
        "actor": current_actor(),
        "keys": list(keys),
        "hidden": list(hidden),
        "masked": list(masked),
        **{f"last{number}": value for number, value in enumerate(last)},
    }
    between = f"WHERE {beyond(keys, '<=', 'last')}"
    if first is not None:
        between += f" AND {beyond(keys, '>', 'first')}"
        parameters |= {f"first{number}": value for number, value in enumerate(first)}
    query = INSERT_TEMPLATE.replace("{table}", sql_of(place).replace("%", "%%")).replace(
        "{between}", between
    )
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return int(cursor.rowcount)
