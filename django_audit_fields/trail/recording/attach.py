"""Gives models their trails when their classes are prepared, and tells which model has one."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import BaseConstraint, ForeignObjectRel, Model
from django.db.models.signals import class_prepared

from .columns import link_models
from .constraint import AuditTrail


def trails_of(model: type[Model]) -> list[AuditTrail]:
    return [entry for entry in model._meta.constraints if isinstance(entry, AuditTrail)]


def bind_trails(model: type[Model]) -> None:
    """Tell the trails that a model names about its columns; a proxy has no table of its own."""
    options = model._meta
    if not (trails := trails_of(model)) or options.abstract:
        return
    if options.proxy:
        kept = [entry for entry in options.constraints if not isinstance(entry, AuditTrail)]
        set_constraints(model, kept)
        return
    for trail in trails:
        trail.bind(model)


def is_name_taken(model: type[Model], name: str) -> bool:
    """Whether the model has something else under the name of its trail."""
    for field in model._meta.get_fields(include_hidden=False):
        if name == (
            field.get_accessor_name() if isinstance(field, ForeignObjectRel) else field.name
        ):
            return True
    found = inspect.getattr_static(model, name, None)
    return found is not None and not getattr(found, "is_trail_accessor", False)


def set_constraints(model: type[Model], constraints: list[BaseConstraint]) -> None:
    model._meta.constraints = constraints
    # The autodetector reads only those options that `Meta` names.
    model._meta.original_attrs["constraints"] = constraints


def give_links_their_trail(model: type[Model]) -> None:
    """So that Django's schema editor, which makes their tables, makes their triggers as well."""
    for trail in trails_of(model)[:1]:
        for through in link_models(model):
            recording = trail.link_recording(through)
            options = through._meta
            options.constraints = [
                *(entry for entry in options.constraints if not isinstance(entry, AuditTrail)),
                AuditTrail(
                    name=f"{trail.name}_{options.model_name}",
                    reason=recording.reason,
                    level=recording.level,
                    columns={"key": recording.key},
                ),
            ]


def attach_trail(model: type[Model]) -> None:
    """Give a `TrailModel`'s table its trail, unless the model names one itself."""
    options = model._meta
    if options.abstract or options.proxy or not options.managed or trails_of(model):
        return
    trail = AuditTrail(name=default_name(model))
    trail.bind(model)
    set_constraints(model, [*options.constraints, trail])
    give_links_their_trail(model)


def default_name(model: type[Model]) -> str:
    """A name that no other model of the project gets.

    App label and model name are told apart by the last underscore, unless the latter has one.
    """
    options = model._meta
    name = f"{options.app_label}_{options.model_name}_trail"
    if "_" in str(options.model_name):
        name += f"_{hashlib.sha256(options.label_lower.encode()).hexdigest()[:8]}"
    return name


def prepare_model(*, sender: type[Model], **kwargs: Any) -> None:
    # A migration's models carry what the migration says.
    if sender.__module__ != "__fake__":
        if trails_of(sender) and apps.apps_ready and not apps.is_installed("django_audit_fields"):
            # Nothing would make the schema, and the table's migration would fail for want of it.
            raise ImproperlyConfigured(
                f"{sender._meta.label} has an AuditTrail, and its app is not installed: "
                "add 'django_audit_fields' to INSTALLED_APPS."
            )
        bind_trails(sender)
    give_links_their_trail(sender)


class_prepared.connect(prepare_model, dispatch_uid="django_audit_fields.trail")
