"""`TimestampModel`, and with it every way in which Django saves an instance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, Self

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models
from django.db.models.base import ModelBase
from django.db.models.signals import class_prepared
from django.utils import timezone

from .actors import is_preserving, preserve_audit_fields
from .fields import AuditActorField, AuditTimeField
from .querysets import AuditQuerySet
from .stamping import (
    REMEMBERED,
    Memory,
    audit_names,
    begin_stamped,
    end_stamped,
    fill_missing,
    forget_unread,
    is_stamped_by_trigger,
    local_names,
    next_time,
    recall,
    remember,
    require_actor,
    required_actor,
    stamped,
    stamps_of_insert,
    updated_names,
    write_back,
)
from .triggers import attach_trigger

__all__ = ["AuditManager", "AuditQuerySet", "TimestampModel"]

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
        # Picking the row apart waits until the instance is saved, if ever.
        instance._state.audit_memory = (field_names, values)  # type: ignore[attr-defined]
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
        values = self.__dict__
        before = values.copy()
        super().refresh_from_db(using, fields, from_queryset)
        read = {
            name: values[name]
            for name in names.intersection(REMEMBERED)
            # A queryset that defers a column leaves what the caller put into it.
            if name in values and (from_queryset is None or values[name] is not before.get(name))
        }
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
        before = values.copy()
        memory = state.get("audit_memory")
        try:
            super().save_base(raw, force_insert, force_update, using, update_fields)
        except BaseException:
            # Whoever raised after the row was written, say a post_save receiver, left it written.
            if "audit_failed" in state or state.get("audit_memory") is memory:
                state["audit_memory"] = memory
                for name in audit_names(model):
                    if name in before:
                        values[name] = before[name]
                    else:
                        values.pop(name, None)
                state.pop("audit_failed", None)
            raise
        finally:
            # What was said and seen holds for this save only.
            state.pop("audit_actor", None)
            state.pop("audit_now", None)

    def _save_table(
        self, raw: bool = False, cls: type[models.Model] | None = None, *args: Any, **kwargs: Any
    ) -> bool:
        if raw:
            # Also what `loaddata` reaches, which calls Model.save_base past any override.
            with preserve_audit_fields(), stamped():
                updated: bool = super()._save_table(raw, cls, *args, **kwargs)  # type: ignore[misc]
        else:
            token = begin_stamped()
            try:
                updated = super()._save_table(raw, cls, *args, **kwargs)  # type: ignore[misc]
            except BaseException:
                # The table of a parent may be written by then; Django undoes that.
                self._state.audit_failed = True  # type: ignore[attr-defined]
                raise
            finally:
                end_stamped(token)
        if not updated and cls is not None and (names := audit_names(cls)):
            forget_unread(self, names)
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
        table: type[models.Model] = manager.model
        names = local_names(table)
        if names:
            values = self.__dict__
            now = self._state.__dict__.get("audit_now") or timezone.now()
            actor = self._actor_of_save(using)
            if is_preserving():
                fill_missing(values, names, actor, now)
            else:
                values.update(stamps_of_insert(names, actor, now))
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
        table: type[models.Model] = base_qs.model
        names = local_names(table)
        preserving = is_preserving()
        if not names or (preserving and not any(field.attname in names for field, _, _ in values)):
            # The other table of multi-table inheritance, or columns that are stored as given.
            return super()._do_update(
                base_qs, using, pk_val, values, update_fields, forced_update, *returning
            )
        known = recall(self, using)
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
            entry if entry[0].attname not in names else (*entry[:2], stamps[entry[0].attname])
            for entry in values
            if entry[0].attname not in names or stamps.get(entry[0].attname) is not None
        ]
        row = self._row_after_update(known, stamps, using, preserving)
        fields = returning[0] if returning else []
        if (
            returning
            and None in row.values()
            and connections[using or ""].features.can_return_rows_from_update
        ):
            # Django 6: the list is the caller's, who puts what comes back onto the instance.
            fields.extend(
                field
                for field in table._meta.local_concrete_fields
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
        row: dict[str, Any] = {
            "created_at": known.created_at,
            "created_by": known.created_by,
            "updated_at": known.updated_at if preserving else stamps["updated_at"],
            "updated_by": None,
        }
        for name, value in stamps.items():
            if value is not None:
                row[name] = None if hasattr(value, "resolve_expression") else value
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
    if not issubclass(sender, TimestampModel):
        return
    if apps.apps_ready and not apps.is_installed("django_audit_fields"):
        # Nothing would carry the actor to PostgreSQL: rows would be stamped with the fallback.
        raise ImproperlyConfigured(
            f"{sender._meta.label} is a TimestampModel, and its app is not installed: "
            "add 'django_audit_fields' to INSTALLED_APPS."
        )
    attach_trigger(sender)


class_prepared.connect(audit_concrete_model, dispatch_uid="django_audit_fields.models")
