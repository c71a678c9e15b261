"""How one instance is saved: stamped before Django writes it, and equal to its row afterwards."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from django.db import models
from django.db.models.base import ModelBase

from ..actors import is_preserving, preserve_audit_fields
from .fields import AuditActorField
from .memory import (
    Known,
    equal_row,
    forget,
    forget_odd_values,
    note_loaded,
    note_read,
    put_back,
    recall,
    remember,
    row_as_given,
)
from .querysets import RowsByKey
from .stamps import (
    AUDIT_NAMES,
    UPDATED,
    Stamp,
    audit_names,
    begin_stamped,
    end_stamped,
    is_stamped_by_trigger,
    local_names,
    next_time,
    require_actor,
    required_actor,
    stamped,
    updated_names,
)

# By another name, or the plugin of django-stubs gives this class an `objects` of Django's.
_Model: TypeAlias = models.Model


class StampedModel(_Model):
    """What `TimestampModel` does beside having columns.

    An abstract model, and not a plain class, since migrations name the plain bases of a model.
    """

    #: Other models may hold copies of the fields: a history, say.
    _is_audited: ClassVar[bool] = True

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        instance = super().from_db(db, field_names, values, **kwargs)
        note_loaded(instance, db, field_names, values)
        return instance

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        if from_queryset is not None:
            super().refresh_from_db(using, fields, from_queryset=from_queryset)
            forget(self)  # the queryset may have left any column out
            return
        names = audit_names(type(self))
        if fields is not None:
            fields = list(fields)
            names = names.intersection(fields)
        read_before = self._state.db
        known = recall(self, read_before)
        super().refresh_from_db(using, fields)
        if self._state.db != read_before:
            known = (self.pk, None, None, None)
        note_read(self, known, names)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if (fields := kwargs.get("update_fields")) is not None:
            # Set here as well as below, for packages that watch `save_base`.
            kwargs["update_fields"] = with_updated(type(self), fields)
        super().save(*args, **kwargs)

    save.alters_data = True  # type: ignore[attr-defined]

    def save_base(
        self,
        raw: bool = False,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        if raw:
            super().save_base(raw, force_insert, force_update, using, update_fields)
            return
        model = type(self)
        if update_fields is not None:
            # Django itself names the loaded columns of a deferred instance.
            update_fields = with_updated(model, update_fields)
        # Here no block of Django's own is open, so that an enclosing transaction stays usable.
        require_actor(model, (self,))
        state: Any = self._state
        before, memory = self.__dict__.copy(), getattr(state, "audit_memory", None)
        state.audit_actor = None  # somebody may have sent the signal without a save
        try:
            super().save_base(raw, force_insert, force_update, using, update_fields)
        except BaseException:
            state.audit_memory = memory
            put_back(self, before)
            raise
        finally:
            state.audit_actor = None

    save_base.alters_data = True  # type: ignore[attr-defined]

    def _save_table(
        self,
        raw: bool = False,
        cls: Any = None,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> bool:
        options = (raw, cls, force_insert, force_update, using, update_fields)
        if raw:
            # Also what `loaddata` reaches, which calls Model.save_base past any override.
            with preserve_audit_fields(), stamped((self,)):
                updated: bool = super()._save_table(*options)  # type: ignore[misc]
            forget(self)
            return updated
        names = local_names(cls)
        if not names:
            # The other table of multi-table inheritance. The key may be known only by now.
            updated = super()._save_table(*options)  # type: ignore[misc]
            if audit_names(cls):
                remember(self, using)
            return updated
        known = recall(self, using)
        given = None
        if is_preserving():
            given = {
                name: self.__dict__.get(name)
                for name in names
                if update_fields is None or name in update_fields
            }
        else:
            self._stamp(names, known, using)
        token = begin_stamped(frozenset((id(self),)))
        try:
            updated = super()._save_table(*options)  # type: ignore[misc]
        finally:
            end_stamped(token)
        if not updated:
            if given is not None or self.__dict__.get("updated_by") is None:
                forget_odd_values(self, names)
            remember(self, using)
        elif given is None:
            equal_row(self, self._row_as_stamped(known, using), using)
        else:
            equal_row(self, row_as_given(known, given), using)
        return updated

    def _stamp(self, names: Collection[str], known: Known, using: str | None) -> None:
        """Put the stamps of this save onto the instance.

        Other fields may look at them while Django prepares the statement: the path of a file, say.
        """
        _, created_at, created_by, floor = known
        state: Any = self._state
        actor = state.audit_actor
        if actor is None and not is_stamped_by_trigger(type(self), using):
            actor = required_actor(type(self))  # the listener did not say
        stamp = state.audit_stamp = Stamp(next_time(floor), actor)
        values = stamp.values(names)
        if created_at is not None:
            values["created_at"] = created_at
        if created_by is not None:
            values["created_by"] = created_by
        self.__dict__.update(values)

    def _row_as_stamped(self, known: Known, using: str | None) -> dict[str, Any]:
        """What the columns hold after an UPDATE; None is not known."""
        _, created_at, created_by, floor = known
        stamp: Stamp = self._state.audit_stamp  # type: ignore[attr-defined]
        # A row that was never loaded may be ahead of this host's clock.
        is_behind = floor is None and is_stamped_by_trigger(type(self), using)
        return {
            "created_at": created_at,
            "created_by": created_by,
            "updated_at": None if is_behind else stamp.at,
            "updated_by": stamp.by,
        }

    def _do_insert(
        self,
        manager: models.Manager[Any],
        using: str | None,
        fields: Sequence[models.Field[Any, Any]],
        returning_fields: Sequence[models.Field[Any, Any]],
        raw: bool,
    ) -> Any:
        table: type[models.Model] = manager.model
        names = local_names(table)
        if raw:
            # Django does not ask the fields then.
            for field in fields:
                if field.attname in names and self.__dict__.get(field.attname) is None:
                    self.__dict__[field.attname] = field.pre_save(self, True)
        elif names and not is_preserving():
            # The row that the instance knew may be gone: then this is another one.
            stamp: Stamp = self._state.audit_stamp  # type: ignore[attr-defined]
            self.__dict__.update(stamp.values(names))
        return super()._do_insert(  # type: ignore[misc]
            manager, using, fields, returning_fields, raw
        )

    def _do_update(
        self,
        base_qs: models.QuerySet[Any],
        using: str | None,
        pk_val: Any,
        values: Collection[tuple[models.Field[Any, Any], Any, Any]],
        *args: Any,  # Django 6 has one more
        **kwargs: Any,
    ) -> Any:
        table: type[models.Model] = base_qs.model
        if local_names(table):
            # None in one of the four is what the row or the trigger has.
            if is_preserving():
                values = [
                    (field, model, as_written(field, value))
                    for field, model, value in values
                    if value is not None or field.attname not in AUDIT_NAMES
                ]
            else:
                values = [
                    entry
                    for entry in values
                    if (name := entry[0].attname) not in AUDIT_NAMES
                    or (name in UPDATED and entry[2] is not None)
                ]
            base_qs = RowsByKey.of(base_qs)
        return super()._do_update(base_qs, using, pk_val, values, *args, **kwargs)

    # Other packages look whether there is one more argument, as in Django 6.
    _do_update.__signature__ = inspect.signature(  # type: ignore[attr-defined]
        models.Model._do_update
    )


def as_written(field: models.Field[Any, Any], value: Any) -> Any:
    """A user's label, where one stands in a column: Django refuses to UPDATE by an instance."""
    is_user = isinstance(field, AuditActorField) and not hasattr(value, "resolve_expression")
    return field.to_python(value) if is_user else value


def with_updated(model: type[models.Model], names: Iterable[str]) -> frozenset[str]:
    """The columns to save, `updated_*` among them unless there are none at all."""
    names = frozenset(names)
    return names if not names or is_preserving() else names | updated_names(model)
