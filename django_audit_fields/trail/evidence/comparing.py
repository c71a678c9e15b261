"""Compares live rows with their last images: finds what was written past the trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from ..recording import partitions_of, sql_of
from .baseline import SETTINGS, hidden_rows_fault, recorded_places
from .seals import one_snapshot
from .verifying import Finding

#: Columns that were added, dropped or renamed since are in one of the two images only.
ROWS_QUERY: Final = """
    WITH live AS (
        SELECT CASE WHEN cardinality(%(keys)s::text[]) = 1 THEN image->>(%(keys)s::text[])[1] ELSE (
            SELECT jsonb_agg(image->key ORDER BY place)::text
            FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS k (key, place)
        ) END AS key, image
        FROM (SELECT to_jsonb(t) AS image FROM {table} AS t) AS rows
    ), last AS (
        SELECT DISTINCT ON (row_key) row_key, id, action, after FROM audit_trail.event
        WHERE table_schema = %(schema)s AND table_name = %(name)s AND action <> 'truncate'
        ORDER BY row_key, id DESC
    ), truncated AS (
        SELECT
            coalesce(max(id), 0) AS partly,
            coalesce(max(id) FILTER (WHERE before IS NULL), 0) AS wholly
        FROM audit_trail.event
        WHERE table_schema = %(schema)s AND table_name = %(name)s AND row_key IS NULL
    ), compared AS (
        SELECT coalesce(row_key, key) AS key, CASE
            WHEN row_key IS NULL
                THEN 'without an event (made past the trail, or before it: see `baseline`)'
            WHEN key IS NULL AND action <> 'delete' AND id > partly THEN 'deleted past the trail'
            WHEN key IS NOT NULL AND (action = 'delete' OR id <= wholly)
                THEN 'inserted past the trail'
            WHEN image::text <> after::text AND EXISTS (
                SELECT FROM jsonb_each_text(image) AS now (name, value)
                WHERE after ? name AND name <> ALL (%(hidden)s::text[]) AND CASE
                    WHEN name = ANY (%(masked)s::text[])
                        THEN (value IS NULL) <> (after->>name IS NULL)
                    ELSE value IS DISTINCT FROM after->>name
                END
            ) THEN 'updated past the trail'
        END AS problem
        FROM live FULL JOIN last ON live.key = last.row_key CROSS JOIN truncated
    )
    SELECT problem, count(*), (array_agg(key ORDER BY key))[1:20] FROM compared
    WHERE problem IS NOT NULL GROUP BY problem ORDER BY problem
"""


def verify_tables(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Compare live rows with their last images."""
    with one_snapshot(connection), connection.cursor() as cursor:
        cursor.execute(SETTINGS)
        for place, trigger in recorded_places(connection).items():
            if fault := hidden_rows_fault(connection, place):
                yield Finding(f"not compared: {fault}", table=".".join(place))
                continue
            keys, hidden, masked = trigger.arguments[:3]
            schema, table = place
            # A table's partitions have their root's trail, and children of another kind their own.
            only = "" if partitions_of(connection, place) else "ONLY "
            cursor.execute(
                ROWS_QUERY.replace("{table}", (only + sql_of(place)).replace("%", "%%")),
                {"keys": keys, "hidden": hidden, "masked": masked, "schema": schema, "name": table},
            )
            for problem, count, found in cursor.fetchall():
                told = "1 row" if count == 1 else f"{count} rows"
                yield Finding(f"{told} {problem}", table=f"{schema}.{table}", keys=tuple(found))
