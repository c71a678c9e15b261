"""Checks of models: their columns, their managers, and what they lose of a base."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import models
from django.db.models.base import ModelBase
from django.db.models.options import DEFAULT_NAMES

from ..models import TimestampModel
from ..stamping import AUDIT_NAMES, LABELS, UPDATED, AuditQuerySet

logger = logging.getLogger("django_audit_fields")


def timestamp_models(app_configs: Sequence[AppConfig] | None) -> Iterator[type[models.Model]]:
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        yield from (model for model in config.get_models() if issubclass(model, TimestampModel))


def audited_models(app_configs: Sequence[AppConfig] | None) -> Iterator[type[models.Model]]:
    """The models whose own table has the columns."""
    for model in timestamp_models(app_configs):
        if AUDIT_NAMES & {field.name for field in model._meta.local_concrete_fields}:
            yield model


@register(Tags.models)
def check_columns(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E007: a model that replaces a column by one that cannot hold a time or a label."""
    return [
        Error(
            f"{model._meta.label}.{field.name} cannot hold a {kind}.",
            hint=_hint(model, field, wanted[0].__name__),
            obj=model,
            id="django_audit_fields.E007",
        )
        for model in audited_models(app_configs)
        for field in model._meta.local_fields
        if field.name in AUDIT_NAMES or field.attname in AUDIT_NAMES
        for kind, wanted in [
            ("label", (models.CharField, models.TextField))
            if field.name in LABELS
            else ("time", (models.DateTimeField,))
        ]
        if not isinstance(field, wanted)
    ]


def _hint(model: type[models.Model], field: models.Field[Any, Any], wanted: str) -> str:
    for base in _other_bases(model):
        # Django copies the fields of an abstract base: they were made at one time.
        if field.creation_counter in (one.creation_counter for one in base._meta.local_fields):
            return (
                f"{base.__name__} has it: name ours first, class {model.__name__}(TimestampModel, "
                f"{base.__name__}), and class Meta({base.__name__}.Meta) if that has one."
            )
    return f"Make it a {wanted}, or give what is there now another name."


def _other_bases(model: type[models.Model]) -> list[Any]:
    """The abstract and other models that a model derives from, but for ours and Django's."""
    return [
        base
        for base in model.__mro__[1:]
        if isinstance(base, ModelBase) and base is not models.Model and not is_ours(base)
    ]


@register(Tags.models)
def check_managers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W006: a child table whose manager writes one table and leaves the stamps in another."""
    return [
        Warning(
            f"{model._meta.label}'s default manager does not stamp what it writes to one of its "
            "tables alone: its own, or a parent's.",
            hint="Set objects = AuditManager(), or join both, which keeps what the other manager "
            "filters: class Both(AuditQuerySet, OtherQuerySet), "
            "objects = OtherManager.from_queryset(Both)().",
            obj=model,
            id="django_audit_fields.W006",
        )
        for model in timestamp_models(app_configs)
        if _writes_beside_stamps(model) and not _stamps_what_it_writes(model._default_manager)
    ]


def _writes_beside_stamps(model: type[models.Model]) -> bool:
    """Whether one of its tables has columns to write, and another those that a write stamps."""
    concrete = model._meta.concrete_model or model
    tables = [concrete, *concrete._meta.all_parents]
    columns = []
    for table in tables:
        options = table._meta
        links = {field for field in options.parents.values() if field is not None}
        columns.append(
            {
                field.attname
                for field in options.local_concrete_fields
                if field not in links and not field.primary_key and not field.generated
            }
        )
    is_stamped = [bool(own & set(UPDATED)) for own in columns]
    return any(is_stamped) and any(
        own and not stamped for own, stamped in zip(columns, is_stamped, strict=True)
    )


def _stamps_what_it_writes(manager: models.Manager[Any]) -> bool:
    if issubclass(getattr(manager, "_queryset_class", models.QuerySet), AuditQuerySet):
        return True
    try:
        return isinstance(manager.get_queryset(), AuditQuerySet)
    except Exception:
        # It needs a request or a tenant, which a check has not: nothing can be said of it here.
        logger.info("Nothing can be told of %r, which has no queryset now.", manager, exc_info=True)
        return True


@register(Tags.models)
def check_inheritance(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W014: a base whose Meta and manager Django leaves out, since ours stands before it."""
    return [
        Warning(
            f"{model._meta.label} has lost {', '.join(lost)} of {base.__name__}.",
            hint=f"{_order(model, base)}class Meta({base.__name__}.Meta) in a Meta of its own; "
            "join managers: class Both(AuditQuerySet, OtherQuerySet), "
            "objects = OtherManager.from_queryset(Both)().",
            obj=model,
            id="django_audit_fields.W014",
        )
        for model in timestamp_models(app_configs)
        for base in _other_bases(model)
        if (lost := [*_lost_options(model, base), *_lost_managers(model, base)])
    ]


def _order(model: type[models.Model], base: Any) -> str:
    if AUDIT_NAMES & {field.name for field in base._meta.local_fields}:
        return "Name "  # before ours, it would bring its own columns instead
    name = base.__name__
    return f"Name {name} before ours, as in class {model.__name__}({name}, TimestampModel), and "


def is_ours(part: type) -> bool:
    return part.__module__.partition(".")[0] == "django_audit_fields"


def _lost_options(model: type[models.Model], base: Any) -> Iterator[str]:
    """What the Meta of an abstract base says, and that of `model`, which is ours, does not."""
    first = next((one for one in model.__mro__[1:] if "Meta" in vars(one)), None)
    given = model._meta.original_attrs
    # Only what comes from a base's Meta says abstract = False.
    if not base._meta.abstract or first is None or not is_ours(first) or "abstract" not in given:
        return
    for name in sorted(set(DEFAULT_NAMES).intersection(dir(base.Meta)) - {"abstract", "app_label"}):
        values = given.get(name)
        if name == "constraints":  # our own constraint is always among them
            values = [value for value in values or () if not is_ours(type(value))]
        if getattr(base.Meta, name) and not values:
            yield name


def _lost_managers(model: type[models.Model], base: Any) -> Iterator[str]:
    """The managers of a base in whose place `model` has ours."""
    (ours,) = TimestampModel._meta.local_managers
    names = {
        name
        for name, manager in model._meta.managers_map.items()
        if manager.creation_counter == ours.creation_counter
    }
    is_default = model._default_manager.name in names
    for manager in base._meta.local_managers:
        was_default = base._meta.default_manager.name == manager.name
        if type(manager) is not models.Manager and (
            manager.name in names or (is_default and was_default)
        ):
            yield f"the manager {manager.name!r}"
