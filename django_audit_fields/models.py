"""`TimestampModel`, and with it every way in which Django saves an instance."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, TypeVar, overload

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.base import ModelBase
from django.db.models.signals import class_prepared
from django.utils import timezone

from .actors import is_preserving, preserve_audit_fields
from .conf import audit_settings
from .stamping import (
    AUDIT_NAMES,
    REMEMBERED,
    AuditActorField,
    AuditField,
    AuditQuerySet,
    AuditTimeField,
    RelatingManager,
    RowsByKey,
    actor_unheard,
    audit_names,
    begin_stamped,
    can_return_from_update,
    end_stamped,
    fill_missing,
    forget_unread,
    is_stamped_by_trigger,
    local_names,
    next_time,
    plain_rows,
    put_back,
    recall,
    refuses_nobody,
    remember,
    require_actor,
    row_as_given,
    stamped,
    stamps_of_insert,
    updated_fields,
    updated_names,
    write_back,
)
from .trail import attach_trail
from .triggers import attach_trigger

__all__ = ["AuditManager", "AuditQuerySet", "TimestampModel", "TrailModel"]

AuditManager = RelatingManager.from_queryset(AuditQuerySet, "AuditManager")
# Where it can be imported from: by this django-stubs knows the managers that are made of it.
AuditManager.__module__ = __name__

# The plugin of django-stubs knows a base by its name, and is to leave `TimestampModel` alone: it
# would make `objects` a class variable, and no `objects = …` of a project's model be accepted.
_Model: TypeAlias = models.Model

if TYPE_CHECKING:
    _Row = TypeVar("_Row", bound=models.Model)

    class _Objects(Protocol):
        @overload
        def __get__(self, instance: None, owner: type[_Row]) -> AuditManager[_Row]: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> Any: ...  # whatever a model puts there

    def _objects(method: Any) -> _Objects: ...


class TimestampModel(_Model):
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

    if TYPE_CHECKING:

        @_objects
        def objects(self) -> Any: ...

    else:
        objects = AuditManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        given = kwargs.get("update_fields")
        if given is not None:
            # Named here and not only below, for whoever watches `save_base`, as trackers do.
            kwargs["update_fields"] = self._with_updated(given)
        elif not args and not self.__dict__.keys() >= audit_names(type(self)):
            state: Any = self._state
            state.audit_loaded = self._loaded_but_for_stamps()
            try:
                super().save(**kwargs)
            finally:
                state.__dict__.pop("audit_loaded", None)
            return
        super().save(*args, **kwargs)

    def _loaded_but_for_stamps(self) -> frozenset[str] | None:
        """The columns at hand, where stamps alone are missing and because an earlier write left
        them to be read when asked; None otherwise.

        Django takes such an instance for a deferred one, and its save for one of these columns.
        """
        model, loaded = type(self), self.__dict__
        memory = getattr(self._state, "audit_memory", None)
        if memory is None or len(memory) == 2 or not is_all_ours(model):
            return None  # deferred by whoever read it
        columns = [field for field in model._meta.concrete_fields if not field.generated]
        missing = {field.attname for field in columns if field.attname not in loaded}
        if not missing <= audit_names(model):
            return None
        keys = model._meta.pk_fields
        return frozenset(
            field.attname
            for field in model._meta.concrete_fields
            if field.attname not in missing and not field.primary_key and field not in keys
        )

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
        state: Any = self._state
        values = self.__dict__
        read_before = state.db
        is_ours = False  # the database to ask
        unread: list[str] = []
        if "audit_unread_in" in state.__dict__:
            if fields is None:
                # Django takes them for deferred, and would leave them out.
                unread = [name for name in names if name not in values]
            else:
                fields = list(fields)
                if (
                    using is None
                    and from_queryset is None
                    and values.keys().isdisjoint(fields)
                    and (
                        names.issuperset(fields)
                        # An override of the project's may ask for all that is not at hand.
                        or (state.audit_unread_in == state.db and not names.isdisjoint(fields))
                    )
                ):
                    # Asked for by reading it: from where the write went. A router might say that
                    # reading is a replica's.
                    using, is_ours = state.audit_unread_in, True
        if fields is not None:
            fields = list(fields)
            names = names.intersection(fields)
        _, *remembered = recall(self, read_before)
        before = values.copy()
        values.update(dict.fromkeys(unread))
        given = {} if from_queryset is None else {"from_queryset": from_queryset}
        try:
            super().refresh_from_db(using, fields, **given)
        finally:
            for name in unread:
                if values.get(name) is None:
                    values.pop(name, None)
        if state.db != read_before:
            if is_ours:
                # Reading a stamp is not to change where the instance is saved to. What it held
                # before is of that database, and what was read is not.
                state.db = read_before
                names = frozenset()
            else:
                remembered = [None] * len(REMEMBERED)
        read = {
            name: values[name]
            for name in names.intersection(REMEMBERED)
            # A queryset that defers a column leaves what the caller put into it.
            if name in values and (from_queryset is None or values[name] is not before.get(name))
        }
        state.audit_memory = (self.pk, *map(read.get, REMEMBERED, remembered))
        if values.keys() >= audit_names(type(self)):
            state.__dict__.pop("audit_unread_in", None)

    def _with_updated(self, names: Iterable[str]) -> frozenset[str]:
        """The columns to save, `updated_*` among them unless there are none at all."""
        names = frozenset(names)
        updated = updated_names(type(self))
        if not names or updated <= names or is_preserving():
            return names
        return names | updated

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
        loaded = self._state.__dict__.pop("audit_loaded", None)
        if update_fields is not None and loaded is not None and loaded.issubset(update_fields):
            update_fields = None
        if update_fields is not None and not (
            type(update_fields) is frozenset and updated_names(model) <= update_fields
        ):
            # Django itself names the loaded columns of a deferred instance.
            update_fields = self._with_updated(update_fields)
        if refuses_nobody(model, audit_settings().nobody):
            # Here no block of Django's own is open, so that an enclosing transaction stays usable.
            require_actor(model, (self,))
        state: Any = self._state
        before, memory = self.__dict__.copy(), getattr(state, "audit_memory", None)
        state.audit_actor = state.audit_now = None  # somebody may send the signal without a save
        try:
            super().save_base(raw, force_insert, force_update, using, update_fields)
        except BaseException:
            # Whoever raised after the row was written, say a post_save receiver, left it written.
            if state.__dict__.pop("audit_failed", False) or memory is getattr(
                state, "audit_memory", None
            ):
                state.audit_memory = memory
                put_back(self, before)
            raise
        finally:
            # What was said and seen holds for this save only.
            state.audit_actor = state.audit_now = None

    def _save_table(
        self,
        raw: bool = False,
        cls: type[models.Model] | None = None,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> bool:
        if raw:
            # Also what `loaddata` reaches, which calls Model.save_base past any override.
            self._state.audit_actor = None  # type: ignore[attr-defined]
            with preserve_audit_fields(), stamped((self,)):
                updated: bool = super()._save_table(  # type: ignore[misc]
                    raw, cls, force_insert, force_update, using, update_fields
                )
        else:
            memory = getattr(self._state, "audit_memory", None)
            token = begin_stamped(frozenset((id(self),)))
            try:
                updated = super()._save_table(  # type: ignore[misc]
                    raw, cls, force_insert, force_update, using, update_fields
                )
            except BaseException:
                # The table of a parent may be written by then; Django undoes that.
                self._state.audit_failed = True  # type: ignore[attr-defined]
                raise
            finally:
                end_stamped(token)
            if (
                updated
                and getattr(self._state, "audit_memory", None) is memory
                and cls is not None
                and local_names(cls)
                and not is_preserving()
            ):
                # Somebody replaced `_do_update`, and the row was stamped by the trigger alone.
                write_back(self, dict.fromkeys(AUDIT_NAMES), self.pk, using)
        if not updated and cls is not None and audit_names(cls):
            remember(self)
        return updated

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
        if not names:
            return super()._do_insert(  # type: ignore[misc]
                manager, using, fields, returning_fields, raw
            )
        state: Any = self._state
        now = getattr(state, "audit_now", None) or timezone.now()
        # What the listener said.
        actor = getattr(state, "audit_actor", None) or actor_unheard(type(self), using)
        is_as_given = is_preserving()
        if is_as_given:
            fill_missing(self.__dict__, names, actor, now)
        else:
            self.__dict__.update(stamps_of_insert(names, actor, now))
        rows: Any = manager
        if type(manager) is models.Manager and manager.auto_created:
            rows = plain_rows(table)
        result = super()._do_insert(  # type: ignore[misc]
            rows, using, fields, returning_fields, raw
        )
        if is_as_given or actor is None:
            forget_unread(self, names, using)
        return result

    if not TYPE_CHECKING:  # of which django-stubs knows one form
        # Whoever overrides it, or wraps it, names the last argument or looks whether there is one.
        if django.VERSION >= (6, 0):

            def _do_update(
                self,
                base_qs,
                using,
                pk_val,
                values,
                update_fields,
                forced_update,
                returning_fields,
            ):
                return self._stamp_update(
                    base_qs, using, pk_val, values, update_fields, forced_update, returning_fields
                )

        else:

            def _do_update(self, base_qs, using, pk_val, values, update_fields, forced_update):
                return self._stamp_update(
                    base_qs, using, pk_val, values, update_fields, forced_update
                )

    def _stamp_update(
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
        is_as_given = is_preserving()
        if is_as_given:
            given = {f.attname: value for f, _, value in values if f.attname in names}
            names = names.intersection(given)
        if not names:
            # The other table of multi-table inheritance, or nothing given to store.
            return super()._do_update(
                base_qs, using, pk_val, values, update_fields, forced_update, *returning
            )
        pk, created_at, created_by, floor = known = recall(self, using)
        # None in it is what the UPDATE leaves to the row or to the trigger.
        row: dict[str, Any]
        if is_as_given:
            row = row_as_given(known, given)
            values = [entry for entry in values if given.get(entry[0].attname, entry) is not None]
        else:
            now = next_time(floor)
            actor = getattr(self._state, "audit_actor", None) or actor_unheard(type(self), using)
            values = [entry for entry in values if entry[0].attname not in names]
            for field in updated_fields(table):
                value = now if field.attname == "updated_at" else actor
                if value is not None:
                    values.append((field, None, value))
            row = {
                "created_at": created_at,
                "created_by": created_by,
                "updated_at": now,
                "updated_by": actor,
            }
            if floor is None and is_stamped_by_trigger(type(self), using):
                # The row may be ahead of this host's clock, and then the trigger decides.
                row["updated_at"] = None
        fields: list[models.Field[Any, Any]] = []
        if returning:
            # Django 6: the list is the caller's, who puts what comes back onto the instance.
            fields = returning[0]
            if not all(row.values()) and can_return_from_update(using):
                fields.extend(
                    field
                    for field in table._meta.local_concrete_fields
                    if field.attname in row and row[field.attname] is None and field not in fields
                )
        result = super()._do_update(
            RowsByKey.of(base_qs), using, pk_val, values, update_fields, forced_update, *returning
        )
        if result:
            if fields:
                row.update(zip((field.attname for field in fields), result[0], strict=False))
            write_back(self, row, pk, using)
        return result


class TrailModel(TimestampModel):
    """A `TimestampModel` with a trail: every change of a row is recorded, as `trail` has it."""

    class Meta:
        abstract = True


@functools.cache
def is_all_ours(model: type[models.Model]) -> bool:
    """Whether each of the four columns is of our fields, which never read one to save it."""
    names = audit_names(model)
    return all(
        isinstance(field, AuditField)
        for field in model._meta.concrete_fields
        if field.attname in names
    )


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
    if issubclass(sender, TrailModel):
        attach_trail(sender)


class_prepared.connect(audit_concrete_model, dispatch_uid="django_audit_fields.models")
