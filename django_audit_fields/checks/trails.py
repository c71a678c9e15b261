"""Checks of trails: what a model says of its own, and whether its database can keep one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, models, router

from ..trail import (
    AuditTrail,
    TrailDifference,
    is_hardened,
    is_name_taken,
    trail_differences,
    trails_of,
)


def models_with_trail(app_configs: Sequence[AppConfig] | None) -> Iterator[type[models.Model]]:
    for config in app_configs or apps.get_app_configs():
        yield from (model for model in config.get_models() if trails_of(model))


@register(Tags.models)
def check_trails(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E020 to E024: what a trail says of its model."""
    return [
        message
        for model in models_with_trail(app_configs)
        for message in _trail_messages(model, trails_of(model))
    ]


def _trail_messages(model: type[models.Model], trails: list[AuditTrail]) -> Iterator[CheckMessage]:
    if len(trails) > 1:
        yield Error(
            f"{model._meta.label} has more than one AuditTrail.",
            hint="Each replaces the triggers of the one before. Leave one of them.",
            obj=model,
            id="django_audit_fields.E022",
        )
    trail = trails[0]
    names = {
        name for field in model._meta.local_concrete_fields for name in (field.name, field.attname)
    }
    keys = {name for field in model._meta.pk_fields for name in (field.name, field.attname)} | {
        "pk"
    }
    for argument in ("exclude", "mask"):
        for name in getattr(trail, argument):
            if name in keys:
                yield Error(
                    f"The trail of {model._meta.label} has the key {name!r} in {argument}.",
                    hint="The key says which row an event is of. Take it out.",
                    obj=model,
                    id="django_audit_fields.E021",
                )
            elif name not in names:
                yield Error(
                    f"{model._meta.label} has no field {name!r}, which its trail would {argument}.",
                    hint="Name a field with a column in the model's own table.",
                    obj=model,
                    id="django_audit_fields.E020",
                )
    if both := sorted(set(trail.exclude) & set(trail.mask)):
        yield Error(
            f"The trail of {model._meta.label} excludes and masks {', '.join(both)}.",
            hint="What is excluded is in no image. Say one of the two.",
            obj=model,
            id="django_audit_fields.E024",
        )
    if is_name_taken(model, trail.accessor):
        yield Error(
            f"{model._meta.label}.{trail.accessor} is not its trail: the name is taken.",
            hint="Give the trail another, such as AuditTrail(accessor='history').",
            obj=model,
            id="django_audit_fields.E023",
        )


@register(Tags.models)
def check_trail_vendors(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W020: a database that keeps no trail."""
    found = list(models_with_trail(app_configs))
    return [
        Warning(
            f"Database {alias!r} is not PostgreSQL: it keeps no trail.",
            hint="Changes are not recorded there; move models with a trail to PostgreSQL.",
            id="django_audit_fields.W020",
        )
        for alias in connections
        if connections[alias].vendor != "postgresql"
        and any(router.allow_migrate_model(alias, model) for model in found)
    ]


@register(Tags.database)
def check_trail_databases(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """W022: what `audit_triggers check` says of trails. Only warns, since `migrate` asks first."""
    return [
        Warning(f"{difference}.", hint=_cure_of(difference, alias), id="django_audit_fields.W022")
        for alias in databases or ()
        for difference in trail_differences(connections[alias])
    ]


def _cure_of(difference: TrailDifference, alias: str) -> str:
    if difference.kind == "level":
        return "Give the trail level='row'."
    is_of_the_schema = difference.table.partition(".")[0] == "audit_trail"
    if is_of_the_schema and is_hardened(connections[alias]):
        return (
            "The trail is hardened: have a DBA run what `manage.py audit_trail sql` prints, and "
            "then `audit_trail harden` again."
        )
    is_whole = difference.table == "audit_trail" and difference.kind in ("missing", "outdated")
    command = "migrate" if is_whole else "audit_triggers install"
    return f"Run `manage.py {command} --database {alias}`."
