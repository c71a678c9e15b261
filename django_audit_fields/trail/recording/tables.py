"""What a table is, before it is given a trail: its columns, its key, whether it has partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import NotSupportedError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper

from .sql import PREFIX, Recording

#: By the quoted name as it was given. All at once, since a check looks at every table with a trail.
FACTS_QUERY: Final = """
    SELECT given.name, relkind = 'p' OR relispartition, relkind IN ('v', 'm'),
        ARRAY(
            SELECT tgname::text FROM pg_catalog.pg_trigger
            WHERE tgrelid = pg_class.oid AND pg_catalog.starts_with(tgname, %s)
                AND tgparentid = 0),
        ARRAY(
            SELECT ARRAY[attname, attnotnull::text, (attgenerated = 'v')::text,
                pg_catalog.array_position(indkey::int[], attnum::int)::text]
            FROM pg_catalog.pg_attribute
            LEFT JOIN pg_catalog.pg_index ON indrelid = attrelid AND indisprimary
            WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
    FROM pg_catalog.unnest(%s::text[]) AS given (name)
    JOIN pg_catalog.pg_class ON pg_class.oid = pg_catalog.to_regclass(given.name)
"""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as it is in the database."""

    #: As SQL has it: quoted, with its schema where one is given.
    sql: str
    columns: frozenset[str]
    not_null: frozenset[str]
    virtual: tuple[str, ...]
    primary_key: tuple[str, ...]
    #: Whether it has partitions or is one.
    is_partitioned: bool
    is_view: bool
    #: Triggers of a trail that are on it.
    triggers: tuple[str, ...]

    def recording(
        self,
        *,
        key: Sequence[str] | None,
        exclude: Sequence[str],
        mask: Sequence[str],
        reason: bool,
        level: str,
    ) -> Recording:
        """What a trail of this table records. Refuses what the table cannot have."""
        if self.is_view:
            raise ProgrammingError(
                f"{self.sql} is a view, and PostgreSQL gives none a trigger like ours. "
                "Name the table that it shows."
            )
        if key is None and not self.primary_key:
            raise ProgrammingError(
                f"{self.sql} has no primary key: name what tells its rows apart, key=[…]."
            )
        keys = self.primary_key if key is None else tuple(key)
        for argument, names in (("key", keys), ("exclude", exclude), ("mask", mask)):
            if unknown := [name for name in names if name not in self.columns]:
                raise ProgrammingError(
                    f"{self.sql} has no column {', '.join(unknown)}: {argument}={list(names)!r}."
                )
        if nullable := [name for name in keys if name not in self.not_null]:
            raise ProgrammingError(
                f"{self.sql}: {', '.join(nullable)} may be NULL, and a key may not. "
                "Name other columns, or make these NOT NULL."
            )
        if unseen := [name for name in keys if name in exclude or name in mask]:
            raise ProgrammingError(
                f"{self.sql}: {', '.join(unseen)} is of the key, which is never excluded or masked."
            )
        if level == "statement":
            refuse_partitions(self)
        return Recording(
            key=keys,
            hidden=(*exclude, *(name for name in self.virtual if name not in exclude)),
            masked=tuple(mask),
            reason=reason,
            level=level,
        )


def table_facts(connection: BaseDatabaseWrapper, table: str) -> TableFacts | None:
    """`table` is its quoted name; None when there is none."""
    return facts_of(connection, [table]).get(table)


def facts_of(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> dict[str, TableFacts]:
    """By their quoted names; those that are not there are left out."""
    with connection.cursor() as cursor:
        cursor.execute(FACTS_QUERY, [PREFIX, list(tables)])
        found = cursor.fetchall()
    return {
        table: TableFacts(
            sql=table,
            columns=frozenset(name for name, *_ in columns),
            not_null=frozenset(name for name, not_null, *_ in columns if not_null == "true"),
            virtual=tuple(name for name, _, virtual, _ in columns if virtual == "true"),
            primary_key=tuple(
                name
                for _, name in sorted((int(place), name) for name, *_, place in columns if place)
            ),
            is_partitioned=is_partitioned,
            is_view=is_view,
            triggers=tuple(triggers),
        )
        for table, is_partitioned, is_view, triggers, columns in found
    }


def refuse_partitions(facts: TableFacts) -> None:
    """What names a partition passes the statement triggers of its root, and the other way round."""
    if facts.is_partitioned:
        raise NotSupportedError(
            f"{facts.sql} has partitions or is one, and a trail at level 'statement' would miss "
            "what names a partition or moves between two. Use level='row'."
        )
