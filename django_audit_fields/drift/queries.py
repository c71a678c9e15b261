"""What is asked of the catalog; each query is for a whole database, whatever the search path."""

from __future__ import annotations

from typing import Final, NamedTuple

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
