"""Checks of `AUDIT_FIELDS`, key by key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.module_loading import import_string

from ..conf import DEFAULTS, MAX_LABEL_LENGTH, NOBODY_MODES, given_settings, is_days, label_fault


def callable_fault(value: object) -> str | None:
    if isinstance(value, str):
        try:
            value = import_string(value)
        except Exception as error:  # a module may raise anything while it is imported
            return f"cannot be imported: {value!r} ({type(error).__name__}: {error})"
    return None if callable(value) else f"is not callable: {value!r}"


def optional_callable_fault(value: object) -> str | None:
    return None if value is None else callable_fault(value)


def unless(is_valid: Callable[[Any], bool]) -> Callable[[object], str | None]:
    return lambda value: None if is_valid(value) else f"is {value!r}"


def is_bool(value: object) -> bool:
    return isinstance(value, bool)


class Rule(NamedTuple):
    #: Says what is wrong with a value; None: nothing is.
    fault: Callable[[object], str | None]
    hint: str
    id: str


RULES: Final[Mapping[str, Rule]] = {
    "FALLBACK": Rule(
        label_fault, f"Set a label of 1 to {MAX_LABEL_LENGTH} characters, such as 'system'.", "E002"
    ),
    "ACTOR": Rule(
        callable_fault,
        f"Set a callable(user) -> str or its path, such as {DEFAULTS['ACTOR']!r}.",
        "E003",
    ),
    "STRICT": Rule(unless(is_bool), "Set True or False.", "E004"),
    "NOBODY": Rule(
        unless(NOBODY_MODES.__contains__),
        f"Set one of {', '.join(map(repr, NOBODY_MODES))}.",
        "E005",
    ),
    "DISPLAY": Rule(
        optional_callable_fault, "Set a callable(user) -> str or its path, or None.", "E013"
    ),
    "FIND_USER": Rule(
        optional_callable_fault,
        "Set a callable(labels) -> {label: user} or its path, or None.",
        "E014",
    ),
    "CARRY_READS": Rule(unless(is_bool), "Set True or False.", "E015"),
    "CONTEXT": Rule(
        unless(lambda value: value is None or is_bool(value)),
        "Set True, False, or None: then it is carried where a model has a trail.",
        "E016",
    ),
    "TRAIL_CLIENT_IP": Rule(unless(is_bool), "Set True or False.", "E017"),
    "TRAIL_KEEP": Rule(
        unless(lambda value: value is None or is_days(value)),
        "Set a number of days, such as 2557 for seven years, or None.",
        "E030",
    ),
}


@register(Tags.compatibility)
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E001 to E005, E013 to E017 and E030: `AUDIT_FIELDS`, key by key."""
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
    for key, rule in RULES.items():
        if key in given and (fault := rule.fault(given[key])):
            message = f"AUDIT_FIELDS[{key!r}] {fault}."
            errors.append(Error(message, hint=rule.hint, id=f"django_audit_fields.{rule.id}"))
    return errors


@register(Tags.compatibility)
def check_setting_name(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W012: a setting whose name is nearly `AUDIT_FIELDS`, and is read by nobody."""
    names = [name for name in dir(settings) if name.isupper() and name != "AUDIT_FIELDS"]
    return [
        Warning(
            f"The setting {name} is a dictionary like AUDIT_FIELDS, and nothing reads it.",
            hint="Name it AUDIT_FIELDS.",
            id="django_audit_fields.W012",
        )
        for name in difflib.get_close_matches("AUDIT_FIELDS", names, cutoff=0.85)
        if is_like_ours(getattr(settings, name))
    ]


def is_like_ours(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(value) <= set(DEFAULTS)
