"""Checks of what a project installs: middleware, its user model, what runs its tasks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.module_loading import import_string

from ..conf import DEFAULTS, MAX_LABEL_LENGTH, given_settings

MIDDLEWARE = "django_audit_fields.middleware.AuditMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


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


@register(Tags.compatibility)
def check_celery(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W013: tasks that nobody's name follows to the worker."""
    # This module is loaded when somebody makes a Celery app, and only then.
    is_used = "celery.app.base" in sys.modules
    if not is_used or "django_audit_fields.contrib.celery" in sys.modules:
        return []
    return [
        Warning(
            "Celery is in use, and tasks do not know who sent them: they write as nobody.",
            hint="Import django_audit_fields.contrib.celery in the module that makes the app.",
            id="django_audit_fields.W013",
        )
    ]
