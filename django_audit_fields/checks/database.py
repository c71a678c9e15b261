"""Checks of what the databases have. Only `check_database` queries, and only those it is given."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections, models, router

from ..drift import (
    coverage,
    cure_by_hand,
    models_of_migrations,
    models_with_trigger,
    operations_of_migrations,
)
from ..triggers import named_triggers
from .models import audited_models


@register(Tags.models)
def check_vendors(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W002: a database without triggers of ours."""
    audited = [model for model in audited_models(app_configs) if model._meta.managed]
    return [
        Warning(
            f"Database {alias!r} is not PostgreSQL: no trigger keeps its rows right.",
            hint="Writes past the ORM are not stamped there; move audited models to PostgreSQL.",
            id="django_audit_fields.W002",
        )
        for alias in connections
        if connections[alias].vendor != "postgresql"
        and any(router.allow_migrate_model(alias, model) for model in audited)
    ]


def triggered_models(app_configs: Sequence[AppConfig] | None) -> Iterator[type[models.Model]]:
    """The models to which a migration should give a trigger."""
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        for model in config.get_models():
            if model._meta.managed and not model._meta.proxy and not model._meta.swapped:
                yield from (model for one in named_triggers(model)[:1] if one.stamping(model))


@register(Tags.models)
def check_migrations(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W007, without a database: from the migrations on disk."""
    wanting = list(triggered_models(app_configs))
    labels = models_with_trigger() if wanting else set()
    suspicious = [model for model in wanting if model._meta.label_lower not in labels]
    # Renames and removals are seen in the state alone, which takes longer to make.
    migrated = models_of_migrations() if suspicious else {}
    return [
        Warning(
            f"No migration gives {model._meta.label} its trigger.",
            hint="Run `manage.py makemigrations`. A model that becomes managed needs a second "
            "run: Django adds constraints only to one that is managed already.",
            obj=model,
            id="django_audit_fields.W007",
        )
        for model in suspicious
        if migrated.get(model._meta.label_lower) is False
    ]


@register(Tags.models)
def check_written_columns(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W015: a column that an operation has the trigger keep, and that the project writes."""
    operations = {operation.table: operation for operation in operations_of_migrations()}
    return [
        Warning(
            f"{model._meta.label}.{field.name} is written by the project, and its table's trigger "
            f"keeps it as {role}: a change of it is undone in silence.",
            hint=f"Leave it out of InstallAuditTriggers({table!r}, …): {role}=None; or make the "
            "field editable=False.",
            obj=model,
            id="django_audit_fields.W015",
        )
        for config in (apps.get_app_configs() if app_configs is None else app_configs)
        for model in config.get_models()
        for table in [model._meta.db_table]
        if table in operations
        for role, column in operations[table].columns.items()
        for field in model._meta.local_concrete_fields
        if role in ("created_at", "created_by") and field.column == column and is_written(field)
    ]


def is_written(field: models.Field[Any, Any]) -> bool:
    is_automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return field.editable and not is_automatic


@register(Tags.database)
def check_database(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """W010: what `audit_triggers check` finds. Only warns, since `migrate` asks first."""
    return [
        message
        for alias in databases or ()
        if connections[alias].vendor == "postgresql"
        for message in _database_messages(alias)
    ]


def _database_messages(alias: str) -> Iterator[CheckMessage]:
    entries = [entry for entry in coverage(connections[alias]) if entry.differences]
    is_suspicious = any(entry.model and not entry.table.triggers for entry in entries)
    # Asked only where there is reason to, since every migration has its say in it.
    migrated = models_of_migrations() if is_suspicious else {}
    for entry in entries:
        model = entry.model
        if model and not entry.table.triggers and migrated.get(model._meta.label_lower) is False:
            continue  # W007 says so, and what to do
        changed = entry.changed_settings
        cause = f"{'; '.join(changed)} when the triggers were made. " if changed else ""
        for difference in entry.differences:
            cure = cure_by_hand(entry, difference)
            install = f"Run `manage.py audit_triggers install --database {alias}`."
            yield Warning(
                f"{difference}.",
                hint=cause + (cure or install),
                id="django_audit_fields.W010",
            )
