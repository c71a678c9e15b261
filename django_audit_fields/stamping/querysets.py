"""Writes of many rows at once, for which Django sends no signals."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction
from django.db.models.constants import OnConflict
from django.db.models.sql.where import AND

from ..actors import NoActorError, is_preserving, label_for
from .memory import (
    AUDIT_NAMES,
    Memory,
    audit_names,
    bulk_stamp,
    fill_missing,
    forget_unread,
    leave_unread,
    recall,
    remember,
    require_actor,
    required_actor,
    row_as_given,
    stamp_for,
    stamp_of_update,
    stamped,
    tell,
    unwrapped,
    updated_names,
    write_back_elsewhere,
)
from .relations import RelatingManager

_Model = TypeVar("_Model", bound=models.Model, covariant=True)


class AuditQuerySet(models.QuerySet[_Model]):
    """A QuerySet whose `update`, `bulk_create` and `bulk_update` stamp what they write."""

    def created_by_actor(self, actor: Any) -> Self:
        """Rows that `actor`, a user or a label, created."""
        return self.filter(created_by=label_for(actor))

    def updated_by_actor(self, actor: Any) -> Self:
        """Rows that `actor`, a user or a label, changed last."""
        return self.filter(updated_by=label_for(actor))

    def updated_since(self, when: datetime) -> Self:
        """Rows created or changed at `when` or later."""
        return self.filter(updated_at__gte=when)

    if not TYPE_CHECKING:  # django-stubs knows what Django's own answers

        @classmethod
        def as_manager(cls):
            # The name that Django gives, and the module: there django-stubs finds what it made.
            base = RelatingManager.from_queryset(cls, f"ManagerFrom{cls.__name__}")
            base.__module__ = cls.__module__
            manager = base()
            manager._built_with_as_manager = True  # Django asks when it deconstructs a manager
            return manager

        as_manager.__func__.queryset_only = True

    def update(self, **kwargs: Any) -> int:
        if not kwargs or not audit_names(self.model) or is_preserving():
            return super().update(**kwargs)
        stamp = stamp_of_update(self.model)
        values = {name: value for name, value in kwargs.items() if name not in AUDIT_NAMES}
        stamps = {name: getattr(stamp, name) for name in updated_names(self.model)}
        if not has_parents(self.model) or self.query.is_sliced or self.query.combinator:
            return super().update(**values, **stamps)
        return self._update_tables(values, stamps)

    update.alters_data = True  # type: ignore[attr-defined]

    def _update_tables(self, values: Mapping[str, Any], stamps: Mapping[str, Any]) -> int:
        """Update what may be in a child's table and in its parents', all of it or nothing."""
        own = concrete(self.model)
        table_of = functools.partial(table_of_field, self.model)
        changed, stamped = set(map(table_of, values)), set(map(table_of, stamps))
        if len(changed | stamped) == 1:
            return super().update(**values, **stamps)
        self._for_write = True
        if (
            changed == {own}
            and own not in stamped
            and not self.query.distinct_fields
            and not isinstance(self.query.group_by, tuple)
        ):
            try:
                return self._update_in_steps(values, stamps)
            except _SomeLostError:
                return self._update_in_steps(values, stamps, one_by_one=True)
        with transaction.atomic(using=self.db, savepoint=False):
            return super().update(**values, **stamps)

    def _update_in_steps(
        self, values: Mapping[str, Any], stamps: Mapping[str, Any], *, one_by_one: bool = False
    ) -> int:
        """Update the child's table by the caller's own condition, and then what it is a child of.

        Django would look up the keys first and update by these alone: of two who compare and swap a
        value, both would win.
        """
        with transaction.atomic(using=self.db):
            # A join may find a row more than once.
            keys = list(dict.fromkeys(self.order_by().values_list("pk", flat=True)))
            if one_by_one:
                keys = [
                    key
                    for key in keys
                    if super(AuditQuerySet, self.filter(pk=key)).update(**values)
                ]
            elif keys:
                count = super(AuditQuerySet, self.filter(pk__in=keys)).update(**values)
                if count == 0:
                    return 0
                if count != len(keys):
                    # Somebody else was quicker with some, and only one by one says with which.
                    raise _SomeLostError
            if keys:
                holder = holder_of_updated(self.model)
                plain_rows(holder).using(self.db).filter(pk__in=keys).update(**stamps)
            self._result_cache = None
            return len(keys)

    def get_or_create(
        self, defaults: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> tuple[_Model, bool]:
        try:
            self._require_actor()
        except NoActorError:
            # Reading needs no actor, and Django would open a block before the row proves missing.
            self._for_write = True
            with contextlib.suppress(ObjectDoesNotExist):
                return self.get(**kwargs), False
            raise
        return super().get_or_create(defaults, **kwargs)

    get_or_create.alters_data = True  # type: ignore[attr-defined]

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[_Model, bool]:
        self._require_actor()
        return super().update_or_create(defaults, create_defaults, **kwargs)

    update_or_create.alters_data = True  # type: ignore[attr-defined]

    def _require_actor(self) -> None:
        if audit_names(self.model) and not is_preserving():
            required_actor(self.model)

    def bulk_create(
        self,
        objs: Iterable[_Model],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[_Model]:
        names = audit_names(self.model)
        options = (batch_size, ignore_conflicts, update_conflicts)
        if not names:
            return super().bulk_create(objs, *options, update_fields, unique_fields)
        objs = unwrapped(objs)
        if not objs:
            return super().bulk_create(objs, *options, update_fields, unique_fields)
        require_actor(self.model, objs)
        if update_conflicts and update_fields and not is_preserving():
            update_fields = [
                *(name for name in update_fields if name not in AUDIT_NAMES),
                *updated_names(self.model),
            ]
        preserving = is_preserving()
        before = [tuple(map(obj.__dict__.get, names)) for obj in objs]
        self._stamp_inserts(objs, names)
        try:
            with stamped(objs):
                created = super().bulk_create(objs, *options, update_fields, unique_fields)
        except BaseException:
            for obj, values in zip(objs, before, strict=True):
                obj.__dict__.update(zip(names, values, strict=True))
            raise
        if not ignore_conflicts:
            for obj in objs:
                if preserving:
                    forget_unread(obj, names, self.db)
                remember(obj)
        if update_conflicts:
            self._forget_twins(objs, unique_fields or ())
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _forget_twins(self, objs: Sequence[_Model], unique_fields: Collection[str]) -> None:
        """Have instances of one row, which a later batch changed again, read what it holds."""
        meta = self.model._meta
        keys = [meta.pk if name == "pk" else meta.get_field(name) for name in unique_fields]
        names = [field.attname for field in keys if isinstance(field, models.Field)]
        # As text, since a key may be a list.
        by_value = [str([getattr(obj, name) for name in names]) for obj in objs]
        by_key = [obj.pk for obj in objs]
        if len(set(by_value)) == len(objs) == len(set(by_key)):
            return
        values, pks = Counter(by_value), Counter(by_key)
        for obj, value in zip(objs, by_value, strict=True):
            if values[value] > 1 or pks[obj.pk] > 1:
                leave_unread(obj, updated_names(self.model), self.db)
                remember(obj)

    def _stamp_inserts(self, objs: Sequence[_Model], names: Collection[str]) -> None:
        if is_preserving():
            for obj in objs:
                if any(obj.__dict__.get(name) is None for name in names):
                    fill_missing(obj.__dict__, names, required_actor(self.model))
            return
        stamps: dict[str, Any] = {}
        fill_missing(stamps, names, required_actor(self.model))
        for obj in objs:
            obj.__dict__.update(stamps)

    def _insert(
        self,
        objs: Sequence[_Model],
        fields: Sequence[models.Field[Any, Any]],
        returning_fields: Sequence[models.Field[Any, Any]] | None = None,
        raw: bool = False,
        using: str | None = None,
        on_conflict: OnConflict | None = None,
        update_fields: Sequence[models.Field[Any, Any]] | None = None,
        unique_fields: Sequence[models.Field[Any, Any]] | None = None,
    ) -> list[Any]:
        audited: list[models.Field[Any, Any]] = []
        if on_conflict == OnConflict.UPDATE and returning_fields is not None:
            # An upsert changes rows whose created_* only the database knows.
            audited = [field for field in fields if field.attname in AUDIT_NAMES]
        if not audited:
            return super()._insert(  # type: ignore[misc,no-any-return]
                objs,
                fields,
                returning_fields,
                raw,
                using,
                on_conflict,
                update_fields,
                unique_fields,
            )
        wanted = list(returning_fields or ())
        rows = super()._insert(  # type: ignore[misc]
            objs, fields, [*wanted, *audited], raw, using, on_conflict, update_fields, unique_fields
        )
        for obj, row in zip(objs, rows, strict=True):
            for field, value in zip(audited, row[len(wanted) :], strict=True):
                obj.__dict__[field.attname] = value
        return [row[: len(wanted)] for row in rows]

    _insert.alters_data = True  # type: ignore[attr-defined]
    _insert.queryset_only = False  # type: ignore[attr-defined]

    def bulk_update(
        self, objs: Iterable[_Model], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        objs = unwrapped(objs)
        if not objs or not audit_names(self.model):
            return super().bulk_update(objs, fields, batch_size)
        fields = list(fields)
        self._for_write = True  # the row to recall is that of the database written to
        memories = [recall(obj, self.db) for obj in objs]
        if is_preserving():
            count = super().bulk_update(objs, fields, batch_size)
            self._take_as_given(objs, memories, fields, is_each_row_once(count, memories))
            return count
        kept = [name for name in fields if name not in AUDIT_NAMES]
        # Only audit columns named: not the caller's to set, but the rows are touched all the same.
        if fields and not kept and not updated_names(self.model):
            return 0  # written once, and so nothing is left to do
        fields = kept or (fields and sorted(updated_names(self.model))[:1])
        stamp = stamp_for(self.model, memories)
        with bulk_stamp(self.model, stamp) as call:
            count = super().bulk_update(objs, fields, batch_size)
        is_known = call.is_kept and is_each_row_once(count, memories)
        tell(objs, memories, stamp if is_known else None, self.db)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def _take_as_given(
        self,
        objs: Sequence[_Model],
        memories: Sequence[Memory],
        fields: Collection[str],
        is_known: bool,
    ) -> None:
        """Have instances know what `bulk_update` has stored of theirs."""
        named = AUDIT_NAMES.intersection(fields)
        for obj, memory in zip(objs, memories, strict=True):
            known = obj.__dict__.get
            row = row_as_given(memory, {name: known(name) for name in named})
            if not is_known:
                row.update(dict.fromkeys(named))
            if "updated_by" not in named:
                row["updated_by"] = known("updated_by")
            write_back_elsewhere(obj, row, memory[0], self.db)


def is_each_row_once(count: int, memories: Sequence[Memory]) -> bool:
    """Whether a `bulk_update` wrote each row, and none in two batches.

    The queryset may hide rows, or they may be gone; which ones is not known.
    """
    return count == len(memories) == len({pk for pk, *_ in memories})


class _SomeLostError(Exception):
    """Fewer rows were changed than had been found."""


@functools.cache
def has_parents(model: type[models.Model]) -> bool:
    """Whether an instance is a row in more than one table."""
    return bool(concrete(model)._meta.parents)


def concrete(model: type[models.Model]) -> type[models.Model]:
    return model._meta.concrete_model or model


def table_of_field(model: type[models.Model], name: str) -> type[models.Model]:
    return concrete(model._meta.get_field(name).model)


@functools.cache
def holder_of_updated(model: type[models.Model]) -> type[models.Model]:
    """The parent with the columns that every UPDATE sets, if its key is that of `model`."""
    holders = {table_of_field(model, name) for name in updated_names(model)}
    if len(holders) == 1:
        (holder,) = holders
        if all(path.join_field.primary_key for path in model._meta.get_path_to_parent(holder)):
            return holder
    return model


@functools.cache
def key_lookup(model: type[models.Model]) -> tuple[models.Field[Any, Any], type[Any]] | None:
    """The key of a model and what compares it with a value, where both are as usual."""
    pk = model._meta.pk
    if len(model._meta.pk_fields) > 1 or pk.is_relation or not model._base_manager.auto_created:
        return None
    lookup = pk.get_lookup("exact")
    return None if lookup is None else (pk, lookup)


@functools.cache
def plain_rows(model: type[models.Model]) -> models.QuerySet[models.Model]:
    """What Django's base manager would make anew for each INSERT, which asks it for its model."""
    return models.QuerySet(model)


class RowsByKey(models.QuerySet[_Model]):
    """What Django finds the row of an UPDATE in: `filter(pk=…)` in a third of its usual time.

    The condition is the same. But for a key of the table itself nothing has to be looked up that a
    filter may name: relations, transforms, annotations.
    """

    @classmethod
    def of(cls, rows: models.QuerySet[_Model]) -> models.QuerySet[_Model]:
        """`rows` as such a queryset, unless somebody has made something else of them."""
        if type(rows) is not models.QuerySet or key_lookup(rows.model) is None or rows.query.where:
            return rows
        return cls(rows.model, rows.query, rows.db)

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        found = key_lookup(self.model)
        value = kwargs.get("pk")
        if args or len(kwargs) > 1 or found is None or not is_plain(value):
            return super().filter(*args, **kwargs)
        pk, lookup = found
        rows = self.all()
        query = rows.query
        query.where.add(lookup(pk.get_col(query.get_initial_alias()), value), AND)
        return rows


def is_plain(value: Any) -> bool:
    return value is not None and not hasattr(value, "resolve_expression")
