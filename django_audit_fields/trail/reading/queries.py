"""Asking for events: by person, row, time, request and action. Nothing here writes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NoReturn
from weakref import WeakSet

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Manager, Model, Q, QuerySet
from django.db.models.base import ModelBase
from django.db.models.sql import Query
from django.utils import timezone

from ...actors import label_for
from .changes import Page
from .places import names_in_trail, own_tables, row_key, schema_of

ACTIONS: Final = ("insert", "update", "delete", "truncate", "baseline")


def read_only(what: str) -> TypeError:
    return TypeError(
        f"An AuditEvent cannot be {what}: the trail is only added to, by the tables' triggers."
    )


#: Where the trail was found; what has none yet is asked again.
_kept: WeakSet[BaseDatabaseWrapper] = WeakSet()


def keeps_trail(connection: BaseDatabaseWrapper) -> bool:
    if connection.vendor != "postgresql":
        return False
    if connection not in _kept:
        connection.ensure_connection()
        # Past Django's cursor: it is no query of the page that reads, and comes once a connection.
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.to_regclass('audit_trail.event') IS NOT NULL")
            if not next(iter(cursor.fetchone())):
                return False
        _kept.add(connection)
    return True


class TrailQuery(Query):
    """Finds nothing in a database without a trail, where the table would be an error."""

    def get_compiler(
        self,
        using: str | None = None,
        connection: BaseDatabaseWrapper | None = None,
        elide_empty: bool = True,
    ) -> Any:
        query: Query = self
        asked = connection or (connections[using] if using else None)
        if asked is not None and not keeps_trail(asked):
            query = self.clone()
            query.set_empty()
        return Query.get_compiler(query, using, connection, elide_empty)


class AuditEventQuerySet(QuerySet[Any]):
    """Events. Those of a row or a model come newest first, others in the order asked for."""

    def __init__(
        self, model: Any = None, query: Any = None, using: str | None = None, hints: Any = None
    ) -> None:
        super().__init__(model, query or TrailQuery(model), using, hints)

    def by(self, actor: Any) -> AuditEventQuerySet:
        """What a user, or a label, did."""
        return self.filter(actor=label_for(actor))

    def of(self, target: Model | type[Model]) -> AuditEventQuerySet:
        """The events of an instance's row, or of all rows of a model, newest first.

        With multi-table inheritance those of every table that holds a part of it.
        """
        if isinstance(target, Model):
            return self.of_instance(target)
        if is_model(target):
            return self.of_model(target)
        raise TypeError(f"of() takes an instance or a model, not {target!r}.")

    def of_instance(self, instance: Model) -> AuditEventQuerySet:
        connection = connections[self.db]
        rows = Q()
        for table in own_tables(type(instance)):
            key = row_key(instance, table, self.db)
            if key is not None:
                rows |= in_table(table, connection) & Q(row_key=key)
        return self.filter(rows).order_by("-id") if rows else self.none()

    def of_model(self, model: type[Model]) -> AuditEventQuerySet:
        connection = connections[self.db]
        table, *parents = own_tables(model)
        found = in_table(table, connection)
        if parents:
            # A parent's table has rows of other children, too.
            keys = self.model.objects.using(self.db).filter(found).values("row_key")
            for parent in parents:
                found |= in_table(parent, connection) & Q(row_key__in=keys)
        return self.filter(found).order_by("-id")

    def of_row(self, table: type[Model], key: str | None) -> AuditEventQuerySet:
        """The events of a row of one table, by its key as the trail has it."""
        place = in_table(table, connections[self.db])
        return self.filter(place, row_key=key).order_by("-id")

    def between(self, since: datetime.datetime, until: datetime.datetime) -> AuditEventQuerySet:
        """Recorded at `since` or later, and at `until` at the latest; both are aware."""
        for argument, value in (("since", since), ("until", until)):
            if not isinstance(value, datetime.datetime) or timezone.is_naive(value):
                raise ValueError(
                    f"between() takes datetimes with a time zone, and {argument} is {value!r}."
                )
        return self.filter(recorded_at__gte=since, recorded_at__lte=until)

    def in_request(self, request_id: str) -> AuditEventQuerySet:
        return self.filter(context__request_id=str(request_id))

    def actions(self, *names: str) -> AuditEventQuerySet:
        for name in names:
            if name not in ACTIONS:
                raise ValueError(f"An event's action is one of {', '.join(ACTIONS)}, not {name!r}.")
        return self.filter(action__in=names)

    def _fetch_all(self) -> None:
        is_new = self._result_cache is None
        super()._fetch_all()
        if is_new:
            share_page(self._result_cache or [])

    def iterator(self, chunk_size: int | None = None) -> Iterator[Any]:
        """As Django's; what the events of a chunk name is looked up together."""
        found = super().iterator(chunk_size) if chunk_size else super().iterator()
        while chunk := list(islice(found, chunk_size or 2000)):
            share_page(chunk)
            yield from chunk

    def create(self, **kwargs: Any) -> NoReturn:
        raise read_only("created")

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("created")

    def get_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("created")

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("updated")

    def update(self, **kwargs: Any) -> NoReturn:
        raise read_only("updated")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("updated")

    def delete(self) -> NoReturn:
        raise read_only("deleted")

    def _raw_delete(self, using: str | None) -> NoReturn:
        raise read_only("deleted")

    create.alters_data = update.alters_data = delete.alters_data = True  # type: ignore[attr-defined]


def is_model(target: Any) -> bool:
    """Whether it is a model with rows: `Model` itself has none, nor has an abstract one."""
    return isinstance(target, ModelBase) and hasattr(target, "_meta") and not target._meta.abstract


def share_page(found: list[Any]) -> None:
    """Tell events that were read together of each other; rows of `values()` have no names."""
    events = [event for event in found if isinstance(event, Model)]
    page = Page(events)  # type: ignore[arg-type]  # they are of `AuditEvent`
    for event in events:
        event.page = page  # type: ignore[attr-defined]


def in_table(table: type[Model], connection: BaseDatabaseWrapper) -> Q:
    names = names_in_trail(table, connection)
    is_named = Q(table_name=names[0]) if len(names) == 1 else Q(table_name__in=names)
    return Q(table_schema=schema_of(table, connection)) & is_named


AuditEventManager = Manager.from_queryset(AuditEventQuerySet, "AuditEventManager")
