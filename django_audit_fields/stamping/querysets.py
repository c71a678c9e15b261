"""Writes of many rows at once, for which Django sends no signals."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from django.db import models, transaction
from django.db.models.constants import OnConflict
from django.db.models.sql.where import AND

from ..actors import is_preserving, label_for
from ..people import name_expression
from .memory import Known, equal_row, forget_odd_values, recall, remember, row_as_given
from .stamps import (
    AUDIT_NAMES,
    LABELS,
    Stamp,
    audit_names,
    is_stamped_by_trigger,
    next_time,
    require_actor,
    required_actor,
    stamp_of_update,
    stamped,
    stamping_alike,
    unwrapped,
    updated_names,
)

_Model = TypeVar("_Model", bound=models.Model, covariant=True)


class AuditQuerySet(models.QuerySet[_Model]):
    """A QuerySet whose `update`, `bulk_create` and `bulk_update` stamp what they write."""

    def created_by_actor(self, *actors: Any) -> Self:
        """Rows that one of the actors, users or labels, created."""
        return self.filter(created_by__in=[label_for(actor) for actor in actors])

    def updated_by_actor(self, *actors: Any) -> Self:
        """Rows that one of the actors, users or labels, changed last."""
        return self.filter(updated_by__in=[label_for(actor) for actor in actors])

    def touched_by(self, *actors: Any) -> Self:
        """Rows that one of the actors, users or labels, created or changed last."""
        labels = [label_for(actor) for actor in actors]
        return self.filter(models.Q(created_by__in=labels) | models.Q(updated_by__in=labels))

    def updated_since(self, when: datetime) -> Self:
        """Rows created or changed at `when` or later."""
        return self.filter(updated_at__gte=when)

    def order_by_person(self, column: str) -> Self:
        """By the names of the people in `"created_by"` or, backwards, `"-updated_by"`.

        Rows of the same person follow each other by their keys. A label that names no user counts
        as it is, and so does each with an `ACTOR` of one's own.
        """
        name = name_expression(column.removeprefix("-"))
        # Without a second key, one row may be on two pages of a list and another on none.
        return self.order_by(name.desc() if column.startswith("-") else name.asc(), "pk")

    def with_people(self) -> Self:
        """With `created_by_name` and `updated_by_name` on each row, looked up in the same query."""
        columns = sorted(LABELS & audit_names(self.model))
        return self.annotate(**{f"{column}_name": name_expression(column) for column in columns})

    def update(self, **kwargs: Any) -> int:
        if not kwargs or not audit_names(self.model) or is_preserving():
            return super().update(**kwargs)
        stamp = stamp_of_update(self.model)
        values = {name: value for name, value in kwargs.items() if name not in AUDIT_NAMES}
        values |= stamp.values(updated_names(self.model))
        if has_parents(self.model) and len({table_of(self.model, name) for name in values}) > 1:
            return self._update_tables(values)
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def _update_tables(self, values: Mapping[str, Any]) -> int:
        """Update a child's table and its parents', all of it or nothing.

        Django finds the keys first and updates by these alone: without a lock on what it found, of
        two who compare and swap a value both would win.
        """
        self._for_write = True
        query = self.query
        is_lockable = not (query.distinct or query.group_by or query.is_sliced or query.combinator)
        with transaction.atomic(using=self.db, savepoint=False):
            rows = self
            if is_lockable and not query.values_select:
                # Django's own queryset: that of another package may fetch more than the keys.
                found: models.QuerySet[_Model] = models.QuerySet(
                    self.model, query.chain(), self.db
                ).order_by()
                found = found.select_related(None).select_for_update(of=("self",)).only("pk")
                rows = self.filter(pk__in=[row.pk for row in found])
            return super(AuditQuerySet, rows).update(**values)

    def bulk_create(
        self,
        objs: Iterable[_Model],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[_Model]:
        options = (batch_size, ignore_conflicts, update_conflicts)
        names = audit_names(self.model)
        objs = unwrapped(objs) if names else objs
        if not names or not objs:
            return super().bulk_create(objs, *options, update_fields, unique_fields)
        require_actor(self.model, objs)
        before = [tuple(map(obj.__dict__.get, names)) for obj in objs]
        is_as_given = is_preserving()
        if not is_as_given:
            stamps = Stamp(next_time(None), required_actor(self.model)).values(names)
            for obj in objs:
                obj.__dict__.update(stamps)
            if update_conflicts and update_fields:
                kept = [name for name in update_fields if name not in AUDIT_NAMES]
                update_fields = [*kept, *updated_names(self.model)]
        try:
            with stamped(objs):
                created = super().bulk_create(objs, *options, update_fields, unique_fields)
        except BaseException:
            for obj, values in zip(objs, before, strict=True):
                obj.__dict__.update(zip(names, values, strict=True))
            raise
        if not ignore_conflicts:
            for obj in objs:
                if is_as_given:
                    forget_odd_values(obj, names)
                remember(obj, self.db)
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _insert(
        self,
        objs: Sequence[_Model],
        fields: Sequence[models.Field[Any, Any]],
        returning_fields: Sequence[models.Field[Any, Any]] | None = None,
        *args: Any,
        on_conflict: OnConflict | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        audited: list[models.Field[Any, Any]] = []
        if on_conflict == OnConflict.UPDATE and returning_fields is not None:
            # An upsert changes rows whose created_* only the database knows.
            audited = [field for field in fields if field.attname in AUDIT_NAMES]
            returning_fields = [*returning_fields, *audited]
        rows: list[Any] = super()._insert(  # type: ignore[misc]
            objs, fields, returning_fields, *args, on_conflict=on_conflict, **kwargs
        )
        if not audited:
            return rows
        for obj, row in zip(objs, rows, strict=True):
            for field, value in zip(audited, row[-len(audited) :], strict=True):
                obj.__dict__[field.attname] = value
        return [row[: -len(audited)] for row in rows]

    _insert.alters_data = True  # type: ignore[attr-defined]
    _insert.queryset_only = False  # type: ignore[attr-defined]

    def bulk_update(
        self, objs: Iterable[_Model], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        objs = unwrapped(objs)
        updated = updated_names(self.model)
        if not objs or not audit_names(self.model):
            return super().bulk_update(objs, fields, batch_size)
        fields = list(fields)
        self._for_write = True  # the row to recall is that of the database written to
        rows = [recall(obj, self.db) for obj in objs]
        if is_preserving():
            count = super().bulk_update(objs, fields, batch_size)
            names = AUDIT_NAMES.intersection(fields)
            for obj, known in zip(objs, rows, strict=True):
                given = {name: obj.__dict__.get(name) for name in names}
                row = row_as_given(known, given)
                if count != len(objs):  # which ones were written is not known
                    row.update(dict.fromkeys(names))
                equal_row(obj, row, self.db)
            return count
        kept = [name for name in fields if name not in AUDIT_NAMES]
        if fields and not kept:
            # The caller named audit columns only. It may not set them, but the rows count as
            # changed.
            if not updated:
                return 0
            kept = sorted(updated)[:1]
        floors = [floor for *_, floor in rows if floor is not None]
        stamp = Stamp(next_time(max(floors, default=None)), required_actor(self.model))
        with stamping_alike(self.model, stamp):
            count = super().bulk_update(objs, kept, batch_size)
        self._equal_rows(objs, rows, stamp if count == len(objs) else None)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def _equal_rows(
        self, objs: Sequence[_Model], rows: Sequence[Known], stamp: Stamp | None
    ) -> None:
        """Have instances equal their rows; without a stamp it is not known which were written."""
        # A row that was never loaded may be ahead of this host's clock.
        by_trigger = is_stamped_by_trigger(self.model, self.db)
        row: dict[str, Any] = {"updated_by": stamp and stamp.by}
        for obj, (_, created_at, created_by, floor) in zip(objs, rows, strict=True):
            is_known = stamp is not None and not (floor is None and by_trigger)
            row["created_at"], row["created_by"] = created_at, created_by
            row["updated_at"] = stamp.at if stamp is not None and is_known else None
            equal_row(obj, row, self.db)


@functools.cache
def has_parents(model: type[models.Model]) -> bool:
    """Whether an instance is a row in more than one table."""
    return bool((model._meta.concrete_model or model)._meta.parents)


def table_of(model: type[models.Model], name: str) -> type[models.Model]:
    table = model._meta.get_field(name).model
    return table._meta.concrete_model or table


class RowsByKey(models.QuerySet[models.Model]):
    """What Django finds the row of an UPDATE in: `filter(pk=…)` in a third of its usual time.

    Looking up what else a filter may name (relations, transforms, annotations) makes the UPDATE of
    `save()` 1.08 times as dear in a transaction, and 1.2 in autocommit.
    """

    @classmethod
    def of(cls, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """`rows` as such a queryset, unless somebody has made something else of them."""
        model: type[models.Model] = rows.model
        is_plain = type(rows) is models.QuerySet and not rows.query.where
        return cls(model, rows.query, rows.db) if is_plain and key_lookup(model) else rows

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        found = key_lookup(self.model)
        value = kwargs.get("pk")
        if args or len(kwargs) > 1 or found is None or value is None:
            return super().filter(*args, **kwargs)
        pk, lookup = found
        rows = self.all()
        query = rows.query
        query.where.add(lookup(pk.get_col(query.get_initial_alias()), value), AND)
        return rows


@functools.cache
def key_lookup(model: type[models.Model]) -> tuple[models.Field[Any, Any], type[Any]] | None:
    """The key of a model and what compares it with a value, where both are as usual."""
    pk = model._meta.pk
    if len(model._meta.pk_fields) > 1 or pk.is_relation or not model._base_manager.auto_created:
        return None
    lookup = pk.get_lookup("exact")
    return None if lookup is None else (pk, lookup)
