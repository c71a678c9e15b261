"""Checks of settings and middleware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.module_loading import import_string

from ..conf import DEFAULTS, MAX_LABEL_LENGTH, NOBODY_MODES, given_settings, is_days, label_fault

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
    keep = given.get("TRAIL_KEEP", DEFAULTS["TRAIL_KEEP"])
    if keep is not None and not is_days(keep):
        errors.append(
            Error(
                f"AUDIT_FIELDS['TRAIL_KEEP'] is {keep!r}.",
                hint="Set a number of days, such as 2557 for seven years, or None.",
                id="django_audit_fields.E030",
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
