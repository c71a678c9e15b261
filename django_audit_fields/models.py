"""What projects derive from: `TimestampModel` and its manager. How rows are written: `stamping`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar, overload

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.signals import class_prepared

from .stamping import AuditActorField, AuditQuerySet, AuditTimeField, StampedModel
from .trail import (
    AuditEventManager,
    EventReading,
    RowImage,
    TrailManager,
    attach_accessor,
    attach_trail,
)
from .triggers import attach_trigger

__all__ = ["AuditEvent", "AuditManager", "AuditQuerySet", "TimestampModel", "TrailModel"]

if TYPE_CHECKING:
    _Row = TypeVar("_Row", bound=models.Model)
    _Of = TypeVar("_Of", bound=models.Model, covariant=True)

    class _Manager(models.Manager[_Of]):
        """django-stubs knows what is made of a manager by the names of both."""

    class _Objects(Protocol):
        @overload
        def __get__(self, instance: None, owner: type[_Row]) -> AuditManager[_Row]: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> Any: ...  # whatever a model puts there

    def _objects(method: Any) -> _Objects: ...
else:
    _Manager = models.Manager

AuditManager = _Manager.from_queryset(AuditQuerySet, "AuditManager")
# Where it can be imported from: by this django-stubs knows the managers that are made of it.
AuditManager.__module__ = __name__

# The plugin of django-stubs knows a base by its name, and is to leave `TimestampModel` alone: it
# would make `objects` a class variable, and no `objects = …` of a project's model be accepted.
_Model: TypeAlias = StampedModel


class TimestampModel(_Model):
    """Who created a row, who changed it last, and when.

    All four columns are stamped on every write, whatever values the caller put into them, except
    under `preserve_audit_fields()` and for raw saves (`loaddata`), which store what they are given.
    """

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


class TrailModel(TimestampModel):
    """A `TimestampModel` with a trail: every change of a row is recorded, as `trail` has it."""

    if TYPE_CHECKING:
        trail: ClassVar[TrailManager]

    class Meta:
        abstract = True


class AuditEvent(EventReading, models.Model):  # noqa: DJ008  # `EventReading` has it
    """One change of one row: who, when, why, and the row before and after. Read-only."""

    id = models.BigIntegerField(primary_key=True)
    recorded_at = models.DateTimeField()
    action = models.TextField()
    table_schema = models.TextField()
    table_name = models.TextField()
    row_key = models.TextField(null=True)  # noqa: DJ001  # a truncate is of no row
    actor = models.TextField()
    context = models.JSONField(null=True)
    db_role = models.TextField()
    application_name = models.TextField(null=True)  # noqa: DJ001  # as the table has it
    client_addr = models.GenericIPAddressField(null=True)
    transaction_id = models.BigIntegerField()
    before = RowImage(null=True)
    after = RowImage(null=True)

    objects = AuditEventManager()

    class Meta:
        managed = False
        db_table = '"audit_trail"."event"'
        base_manager_name = "objects"
        default_permissions = ("view",)
        permissions = (("revert_auditevent", "Can revert audit event"),)


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
        attach_accessor(sender)


class_prepared.connect(audit_concrete_model, dispatch_uid="django_audit_fields.models")
