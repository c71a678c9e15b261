"""`TimestampModel`, and with it every way in which Django saves an instance."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, Self

from django.db import connections, models
from django.db.models.base import ModelBase
from django.db.models.signals import class_prepared

from .actors import is_preserving, preserve_audit_fields
from .fields import AuditActorField, AuditTimeField
from .querysets import AuditQuerySet
from .stamping import (
    AUDIT_NAMES,
    Memory,
    audit_names,
    fill_missing,
    forget_unread,
    is_stamped_by_trigger,
    next_time,
    recall,
    remember,
    remember_row,
    require_actor,
    required_actor,
    stamped,
    updated_names,
    write_back,
)
from .triggers import attach_trigger

__all__ = ["AuditManager", "AuditQuerySet", "TimestampModel"]

_ABSENT: Any = object()

AuditManager = models.Manager.from_queryset(AuditQuerySet)


class TimestampModel(models.Model):
    """Who created a row, who changed it last, and when.

    All four columns are stamped on every write, whatever values the caller put into them, except
    under `preserve_audit_fields()` and for raw saves (`loaddata`), which store what they are given.
    """

    #: Other models may hold copies of the fields: a history, say.
    _is_audited: ClassVar[bool] = True

    created_at = AuditTimeField()
    updated_at = AuditTimeField()
    created_by = AuditActorField()
    updated_by = AuditActorField()

    objects = AuditManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        given = kwargs.get("update_fields")
        if given is not None:
            # Named here and not only below, for whoever watches `save_base`, as trackers do.
            kwargs["update_fields"] = self._with_updated(given)
        super().save(*args, **kwargs)

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        instance = super().from_db(db, field_names, values, **kwargs)
        remember_row(instance, field_names, values)
        return instance

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        names = audit_names(type(self))
        if fields is not None:
            fields = list(fields)
            names = names.intersection(fields)
        known = recall(self, using or self._state.db)
        super().refresh_from_db(using, fields, from_queryset)
        values = self.__dict__
        read = {name: values[name] for name in names if name in values and name in Memory._fields}
        self._state.audit_memory = known._replace(pk=self.pk, **read)  # type: ignore[attr-defined]

    def _with_updated(self, names: Iterable[str]) -> frozenset[str]:
        """The columns to save, `updated_*` among them unless there are none at all."""
        names = frozenset(names)
        return names | updated_names(type(self)) if names and not is_preserving() else names

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
            update_fields = self._with_updated(update_fields)
        # Here no block of Django's own is open yet, so that an enclosing transaction stays usable.
        require_actor(model, (self,))
        values, state = self.__dict__, self._state.__dict__
        before = [(name, values.get(name, _ABSENT)) for name in audit_names(model)]
        memory = state.get("audit_memory")
        try:
            super().save_base(raw, force_insert, force_update, using, update_fields)
        except BaseException:
            # Whoever raised after the row was written, say a post_save receiver, left it written.
            if state.get("audit_failed") or state.get("audit_memory") is memory:
                state["audit_memory"] = memory
                for name, value in before:
                    if value is _ABSENT:
                        values.pop(name, None)
                    else:
                        values[name] = value
            raise
        finally:
            # What was said and seen holds for this save only.
            for name in ("audit_actor", "audit_failed", "audit_now"):
                state.pop(name, None)

    def _save_table(
        self, raw: bool = False, cls: type[models.Model] | None = None, *args: Any, **kwargs: Any
    ) -> bool:
        # Also what `loaddata` reaches, which calls Model.save_base past any override.
        preserving = preserve_audit_fields() if raw else contextlib.nullcontext()
        try:
            with preserving, stamped():
                updated: bool = super()._save_table(raw, cls, *args, **kwargs)  # type: ignore[misc]
        except BaseException:
            # The table of a parent may be written by then; Django undoes that.
            if not raw:
                self._state.audit_failed = True  # type: ignore[attr-defined]
            raise
        if not updated and cls is not None and audit_names(cls):
            forget_unread(self, audit_names(cls))
            remember(self)
        return updated

    def _do_insert(
        self,
        manager: models.Manager[Any],
        using: str | None,
        fields: Sequence[models.Field[Any, Any]],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        names = AUDIT_NAMES.intersection(field.attname for field in fields)
        values = self.__dict__
        if not is_preserving():
            values.update(dict.fromkeys(names))
        if names:
            now = self._state.__dict__.get("audit_now")
            fill_missing(values, names, self._actor_of_save(using), now)
        return super()._do_insert(manager, using, fields, *args, **kwargs)  # type: ignore[misc]

    def _do_update(  # type: ignore[override]  # Django 5.2 passes one argument less
        self,
        base_qs: models.QuerySet[Any],
        using: str | None,
        pk_val: Any,
        values: list[tuple[models.Field[Any, Any], Any, Any]],
        update_fields: Collection[str] | None,
        forced_update: bool,
        *returning: list[models.Field[Any, Any]],
    ) -> Any:
        names = AUDIT_NAMES.intersection(field.attname for field, _, _ in values)
        if not names:  # the other table of multi-table inheritance
            return super()._do_update(
                base_qs, using, pk_val, values, update_fields, forced_update, *returning
            )
        known = recall(self, using)
        preserving = is_preserving()
        stamps: dict[str, Any]
        if preserving:
            stamps = {f.attname: value for f, _, value in values if f.attname in names}
        else:
            stamps = {
                "updated_at": next_time(known.updated_at),
                "updated_by": self._actor_of_save(using),
            }
        # None leaves the column out: the row keeps its value, or the trigger stamps it.
        values = [
            (field, model, stamps.get(field.attname) if field.attname in names else value)
            for field, model, value in values
            if field.attname not in names or stamps.get(field.attname) is not None
        ]
        row = self._row_after_update(known, stamps, using, preserving)
        fields = returning[0] if returning else []
        if returning and connections[using or ""].features.can_return_rows_from_update:
            # Django 6: the list is the caller's, who puts what comes back onto the instance.
            fields.extend(
                field
                for field in self._meta.local_concrete_fields
                if field.attname in row and row[field.attname] is None and field not in fields
            )
        result = super()._do_update(
            base_qs, using, pk_val, values, update_fields, forced_update, *returning
        )
        if result:
            if fields:
                row.update(zip((field.attname for field in fields), result[0], strict=False))
            write_back(self, row)
        return result

    def _row_after_update(
        self, known: Memory, stamps: dict[str, Any], using: str | None, preserving: bool
    ) -> dict[str, Any]:
        """What the four columns hold once the UPDATE with `stamps` is done, None where unknown."""
        row: dict[str, Any] = {name: known._asdict().get(name) for name in audit_names(type(self))}
        row.update(
            (name, None if hasattr(value, "resolve_expression") else value)
            for name, value in stamps.items()
            if value is not None
        )
        if (
            not preserving
            and known.updated_at is None
            and is_stamped_by_trigger(type(self), using or "")
        ):
            # The row may be ahead of this host's clock, and then the trigger decides.
            row["updated_at"] = None
        return row

    def _actor_of_save(self, using: str | None) -> str | None:
        """What the listener said; None leaves the label to the trigger, where there is one."""
        actor: str | None = self._state.__dict__.get("audit_actor")
        if actor is None and not is_stamped_by_trigger(type(self), using or ""):
            return required_actor(type(self))
        return actor


def audit_concrete_model(sender: type[models.Model], **kwargs: Any) -> None:
    """Give each table of a `TimestampModel` its trigger."""
    if issubclass(sender, TimestampModel):
        attach_trigger(sender)


class_prepared.connect(audit_concrete_model, dispatch_uid="django_audit_fields.models")
