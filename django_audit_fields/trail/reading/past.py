"""`Invoice.trail.as_of(when)`: a model's rows as they were, as a QuerySet like any other."""

from __future__ import annotations

import datetime
import functools
from typing import Any, Final, NoReturn

from django.db import NotSupportedError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Model, QuerySet, TextField
from django.db.models.sql.datastructures import BaseTable
from django.utils import timezone

from .images import TableReader
from .places import SCHEMA_SQL, names_in_trail
from .queries import keeps_trail

#: What the rows are called in SQL; a table's own name may have a schema before it.
ALIAS: Final = "past_rows"

#: The last image of each key, without those that a delete or a truncate ended.
ROWS_SQL: Final = """(
    WITH events AS (
        SELECT id, action, row_key, after FROM audit_trail.event
        WHERE table_schema = {schema} AND table_name = ANY(%s) AND recorded_at <= %s
            AND (action <> 'truncate' OR before IS NULL)
    )
    SELECT row_then.* FROM (
        SELECT DISTINCT ON (row_key) id, action, after FROM events
        WHERE action <> 'truncate' ORDER BY row_key, id DESC
    ) AS last, jsonb_populate_record(NULL::{table}, {image}) AS row_then
    WHERE last.action <> 'delete'
        AND last.id > coalesce((SELECT max(id) FROM events WHERE action = 'truncate'), 0)
) {alias}"""


class PastTable(BaseTable):
    """Stands in a query where the model's table would."""

    def __init__(self, model: type[Model], alias: Any, when: datetime.datetime) -> None:
        super().__init__(model._meta.db_table, alias)
        self.model = model
        self.when = when

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        table = connection.ops.quote_name(self.table_name)
        image, names = image_sql(self.model)
        # Django 6.1 quotes aliases, and an older one does not.
        quote_alias = getattr(compiler, "quote_name", compiler.quote_name_unless_alias)
        sql = ROWS_SQL.format(
            schema=SCHEMA_SQL if table.count('"') == 2 else "%s",
            table=table.replace("%", "%%"),
            image=image,
            alias=quote_alias(self.table_alias),
        )
        place = table if table.count('"') == 2 else table.split('"')[1]
        past_names = names_in_trail(self.model, connection)
        return sql, (place, past_names, self.when, *names)

    def relabeled_clone(self, change_map: dict[Any, Any]) -> PastTable:
        alias = change_map.get(self.table_alias, self.table_alias)
        return PastTable(self.model, alias, self.when)

    @property
    def identity(self) -> Any:
        return self.__class__, self.model, self.table_alias, self.when


def image_sql(model: type[Model]) -> tuple[str, list[str]]:
    """The last image under today's names; a mask stays where the column can hold it."""
    reader = TableReader(model)
    sql = "last.after"
    names: list[str] = []
    for old, new in reader.renamed.items():
        sql = f"jsonb_strip_nulls(jsonb_build_object(%s::text, last.after->%s::text)) || {sql}"
        names = [new, old, *names]
    for column in sorted(reader.excluded | reader.masked):
        is_text = isinstance(reader.fields[column], CharField | TextField)
        if column in reader.excluded or not is_text:
            sql = f"({sql}) - %s::text"
            names.append(column)
    return sql, names


class PastRows:
    """Of a queryset of rows as they were: today's rows are not to be written by it."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise written_past("updated")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise written_past("updated")

    def delete(self) -> NoReturn:
        raise written_past("deleted")

    def _raw_delete(self, using: str | None) -> NoReturn:
        raise written_past("deleted")


def written_past(how: str) -> TypeError:
    return TypeError(f"Rows as they were cannot be {how}: filter today's rows by their keys.")


@functools.cache
def past_class(kind: type[QuerySet[Any]]) -> type[QuerySet[Any]]:
    return type(f"Past{kind.__name__}", (PastRows, kind), {"__module__": kind.__module__})


def rows_as_of(model: type[Model], when: datetime.datetime, using: str) -> QuerySet[Any]:
    """Raises ValueError for a naive `when`, NotSupportedError for a child table."""
    if not isinstance(when, datetime.datetime) or timezone.is_naive(when):
        raise ValueError(f"as_of() takes a datetime with a time zone, not {when!r}.")
    concrete = model._meta.concrete_model or model
    if concrete._meta.parents:
        raise NotSupportedError(
            f"{model._meta.label} has its rows in several tables, and as_of() reads one: "
            f"ask {next(iter(concrete._meta.parents))._meta.label}.trail.as_of(…)."
        )
    rows: QuerySet[Any] = model._default_manager.using(using)
    if not keeps_trail(connections[using]):
        return rows.none()
    rows.__class__ = past_class(type(rows))
    alias = rows.query.get_initial_alias()
    rows.query.change_aliases({alias: ALIAS})
    rows.query.alias_map[ALIAS] = PastTable(concrete, ALIAS, when)
    return rows
