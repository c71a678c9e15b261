"""System checks: one function for each thing that a project can get wrong.

Only `check_database` queries, and only the databases that it is given.

The IDs are documented in the README and are never used again for something else.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, models, router
from django.utils.module_loading import import_string

from .conf import DEFAULTS, MAX_LABEL_LENGTH, NOBODY_MODES, given_settings, label_fault
from .drift import coverage, models_of_migrations, table_names, tables_of_migrations
from .models import TimestampModel
from .stamping import AUDIT_NAMES, LABELS, UPDATED, AuditQuerySet
from .triggers import ROLES, audit_fields_of

logger = logging.getLogger("django_audit_fields")

MIDDLEWARE = "django_audit_fields.middleware.AuditMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@register(Tags.compatibility)
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E001 to E005: `AUDIT_FIELDS`, key by key."""
    raw = getattr(settings, "AUDIT_FIELDS", {})
    if not isinstance(raw, Mapping):
        return [
            Error(
                f"AUDIT_FIELDS must be a dictionary, not {raw!r}.",
                hint='Write AUDIT_FIELDS = {"FALLBACK": "system"} or leave it out.',
                id="django_audit_fields.E001",
            )
        ]
    given = given_settings()
    errors: list[CheckMessage] = [
        Error(
            f"AUDIT_FIELDS has an unknown key: {key!r}.",
            hint=f"Use one of {', '.join(DEFAULTS)}.",
            id="django_audit_fields.E001",
        )
        for key in given
        if key not in DEFAULTS
    ]
    fallback = given.get("FALLBACK", DEFAULTS["FALLBACK"])
    if fault := label_fault(fallback):
        errors.append(
            Error(
                f"AUDIT_FIELDS['FALLBACK'] {fault}.",
                hint=f"Set a label of 1 to {MAX_LABEL_LENGTH} characters, such as 'system'.",
                id="django_audit_fields.E002",
            )
        )
    if fault := _actor_fault(given.get("ACTOR", DEFAULTS["ACTOR"])):
        errors.append(
            Error(
                f"AUDIT_FIELDS['ACTOR'] {fault}.",
                hint=f"Set a callable(user) -> str or its path, such as {DEFAULTS['ACTOR']!r}.",
                id="django_audit_fields.E003",
            )
        )
    strict = given.get("STRICT", DEFAULTS["STRICT"])
    if not isinstance(strict, bool):
        errors.append(
            Error(
                f"AUDIT_FIELDS['STRICT'] is {strict!r}.",
                hint="Set True or False.",
                id="django_audit_fields.E004",
            )
        )
    nobody = given.get("NOBODY", DEFAULTS["NOBODY"])
    if nobody not in NOBODY_MODES:
        errors.append(
            Error(
                f"AUDIT_FIELDS['NOBODY'] is {nobody!r}.",
                hint=f"Set one of {', '.join(map(repr, NOBODY_MODES))}.",
                id="django_audit_fields.E005",
            )
        )
    return errors


def _actor_fault(actor: object) -> str | None:
    if isinstance(actor, str):
        try:
            actor = import_string(actor)
        except Exception as error:  # a module may raise anything while it is imported
            return f"cannot be imported: {actor!r} ({type(error).__name__}: {error})"
    return None if callable(actor) else f"is not callable: {actor!r}"


@register(Tags.compatibility)
def check_middleware(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W001 and W005: the middleware that knows the user, and its place."""
    installed = [_middleware_class(path) for path in settings.MIDDLEWARE]
    ours = _place(installed, MIDDLEWARE)
    authentication = _place(installed, AUTHENTICATION)
    if ours is None:
        return [
            Warning(
                "AuditMiddleware is not installed: requests have no actor.",
                hint=f"Add {MIDDLEWARE!r} to MIDDLEWARE, after AuthenticationMiddleware.",
                id="django_audit_fields.W001",
            )
        ]
    if authentication is not None and ours < authentication:
        return [
            Warning(
                "AuditMiddleware stands before AuthenticationMiddleware.",
                hint=f"Move {MIDDLEWARE!r} behind {AUTHENTICATION!r} in MIDDLEWARE: what lies "
                "between them would act in the user's name before there is one.",
                id="django_audit_fields.W005",
            )
        ]
    return []


def _middleware_class(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django names it when it loads the middleware


def _place(installed: Sequence[object], path: str) -> int | None:
    """Where the middleware at `path`, or a subclass of it, stands."""
    for place, middleware in enumerate(installed):
        # By name: Django's own cannot be imported where its app is not installed.
        if isinstance(middleware, type) and any(
            f"{base.__module__}.{base.__qualname__}" == path for base in middleware.__mro__
        ):
            return place
    return None


@register(Tags.models)
def check_user_label(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W004: a primary key of the user that the default `ACTOR` cannot turn into a label."""
    if given_settings().get("ACTOR", DEFAULTS["ACTOR"]) != DEFAULTS["ACTOR"]:
        return []
    try:
        user_model = get_user_model()
    except ImproperlyConfigured:
        return []  # Django's own check says so
    key = user_model._meta.pk
    if isinstance(key, models.CompositePrimaryKey):
        fault = "is composite"
    elif (key.max_length or 0) > MAX_LABEL_LENGTH:
        fault = f"may have {key.max_length} characters"
    else:
        return []
    return [
        Warning(
            f"The primary key of {user_model._meta.label} {fault}: no usable label.",
            hint="Set AUDIT_FIELDS['ACTOR'] to a callable(user) that answers a label of "
            f"1 to {MAX_LABEL_LENGTH} characters.",
            obj=user_model,
            id="django_audit_fields.W004",
        )
    ]


def _timestamp_models(app_configs: Sequence[AppConfig] | None) -> Iterator[type[models.Model]]:
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        yield from (model for model in config.get_models() if issubclass(model, TimestampModel))


def _audited_models(app_configs: Sequence[AppConfig] | None) -> Iterator[type[models.Model]]:
    """The models whose own table has the columns."""
    for model in _timestamp_models(app_configs):
        if AUDIT_NAMES & {field.name for field in model._meta.local_concrete_fields}:
            yield model


@register(Tags.models)
def check_vendors(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W002: a database without triggers of ours."""
    audited = [model for model in _audited_models(app_configs) if model._meta.managed]
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


@register(Tags.models)
def check_columns(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E007: a model that replaces a column by one that cannot hold a time or a label."""
    return [
        Error(
            f"{model._meta.label}.{field.name} cannot hold a {kind}.",
            hint=f"Make it a {wanted[0].__name__}, or give what is there now another name.",
            obj=model,
            id="django_audit_fields.E007",
        )
        for model in _audited_models(app_configs)
        for field in model._meta.local_fields
        if field.name in AUDIT_NAMES or field.attname in AUDIT_NAMES
        for kind, wanted in [
            ("label", (models.CharField, models.TextField))
            if field.name in LABELS
            else ("time", (models.DateTimeField,))
        ]
        if not isinstance(field, wanted)
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
            hint="Name TimestampModel before the other bases, or set objects = AuditManager(); "
            "beside another package's manager, make its queryset an AuditQuerySet.",
            obj=model,
            id="django_audit_fields.W006",
        )
        for model in _timestamp_models(app_configs)
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
        # It asks for what there is in a request, or in a tenant: nothing can be told of it here.
        logger.info("Nothing can be told of %r, which has no queryset now.", manager, exc_info=True)
        return True


@register(Tags.models)
def check_unmanaged(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W003: a table that no migration of Django's makes, and that none gives a trigger."""
    unmanaged = [model for model in _audited_models(app_configs) if not model._meta.managed]
    covered = tables_of_migrations() if unmanaged else set()
    uncovered = [
        (model, schema, table)
        for model in unmanaged
        for schema, table in [table_names(connection.ops.quote_name(model._meta.db_table))]
        if table not in covered
    ]
    # One that was managed once has its trigger from then.
    migrated = models_of_migrations() if uncovered else {}
    return [
        Warning(
            f"{model._meta.label} is not managed: no migration installs its trigger.",
            hint=f"Add InstallAuditTriggers({_operation_arguments(model, schema, table)}) "
            "to a migration.",
            obj=model,
            id="django_audit_fields.W003",
        )
        for model, schema, table in uncovered
        if not migrated.get(model._meta.label_lower)
    ]


def _operation_arguments(model: type[models.Model], schema: str | None, table: str) -> str:
    fields = audit_fields_of(model)
    columns = {role: str(fields[role].column) if role in fields else None for role in ROLES}
    named: dict[str, str | None] = {} if schema is None else {"schema": schema}
    named |= {role: column for role, column in columns.items() if column != role}
    return ", ".join([repr(table), *(f"{name}={value!r}" for name, value in named.items())])


@register(Tags.database)
def check_database(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """W010 and W007: what `audit_triggers check` finds. Only warn, since `migrate` asks first."""
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
            yield Warning(
                f"No migration gives {model._meta.label} its trigger.",
                hint="Run `manage.py makemigrations`. A model that becomes managed needs a second "
                "run: Django adds constraints only to one that is managed already.",
                obj=model,
                id="django_audit_fields.W007",
            )
            continue
        for difference in entry.differences:
            yield Warning(
                f"{difference}.",
                hint=f"Run `manage.py audit_triggers install --database {alias}`.",
                id="django_audit_fields.W010",
            )
