"""`invoice.trail`, `Invoice.trail` and `trail_of`: the events of one row or of one model."""

from __future__ import annotations

import datetime
import inspect
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet
from django.db.models.signals import class_prepared

from ..recording import trails_of
from .past import rows_as_of
from .queries import AuditEventManager, AuditEventQuerySet, is_model


class TrailManager(AuditEventManager[Any]):
    """The events of one row or of one model, newest first."""

    def __init__(self, target: Model | type[Model]) -> None:
        super().__init__()
        self.target = target
        self.model = apps.get_model("django_audit_fields", "AuditEvent")
        if isinstance(target, Model):
            self._db = target._state.db or router.db_for_read(type(target), instance=target)
        else:
            self._db = router.db_for_read(target)

    def get_queryset(self) -> AuditEventQuerySet:
        events: Any = super().get_queryset()
        found: AuditEventQuerySet = events.of(self.target)
        return found

    def as_of(self, when: datetime.datetime) -> QuerySet[Any]:
        """The model's rows as they were at `when`, which is aware; related rows are today's."""
        if isinstance(self.target, Model):
            raise TypeError("as_of() is asked of the model, and filtered: Model.trail.as_of(when).")
        return rows_as_of(self.target, when, self.db)


class TrailAccessor:
    """What a model has under the name that its trail says."""

    is_trail_accessor = True

    def __get__(self, instance: Model | None, owner: type[Model]) -> TrailManager:
        return TrailManager(owner if instance is None else instance)


def trail_of(target: Model | type[Model]) -> AuditEventQuerySet:
    """The events of an instance or of a model, newest first: of any table that has a trail."""
    if not (isinstance(target, Model) or is_model(target)):
        raise TypeError(f"trail_of() takes an instance or a model, not {target!r}.")
    return TrailManager(target).get_queryset()


def attach_accessor(model: type[Model]) -> None:
    """Unless something else has the name, which a system check reports."""
    for trail in trails_of(model)[:1]:
        if inspect.getattr_static(model, trail.accessor, None) is None:
            setattr(model, trail.accessor, TrailAccessor())


def attach_on_preparation(*, sender: type[Model], **kwargs: Any) -> None:
    # A migration's models have no behaviour.
    if sender.__module__ != "__fake__":
        attach_accessor(sender)


class_prepared.connect(attach_on_preparation, dispatch_uid="django_audit_fields.trail_accessor")
