"""The project's `AUDIT_FIELDS` setting with its defaults, read when asked and never at import."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

#: The longest label, in characters: the width of `created_by` and `updated_by`.
MAX_LABEL_LENGTH: Final = 50

#: PostgreSQL's name for who is acting; always local to a transaction.
ACTOR_VARIABLE: Final = "app.current_user"
#: `on` while values are stored as given; local to a transaction as well.
PRESERVE_VARIABLE: Final = "app.audit_preserve"
#: A JSON object that says why, from where and for whom; local to a transaction as well.
CONTEXT_VARIABLE: Final = "app.audit_context"

DEFAULTS: Final[Mapping[str, Any]] = {
    "ACTOR": "django_audit_fields.actors.user_label",
    "FALLBACK": "system",
    "STRICT": False,
    "NOBODY": "fallback",
    "DISPLAY": None,
    "FIND_USER": None,
    "CARRY_READS": False,
    "CONTEXT": None,
    "TRAIL_CLIENT_IP": False,
    "TRAIL_KEEP": None,
}
NOBODY_MODES: Final = ("fallback", "session_user", "refuse")


@dataclasses.dataclass(frozen=True, slots=True)
class AuditSettings:
    """`AUDIT_FIELDS`, completed; a value that cannot be used is replaced by its default.

    The system checks refuse such a value by name. Replacing it here keeps a process that never ran
    the checks writing rows, with the fallback rather than with a wrong name.
    """

    actor: Any  # dotted path or callable; `actors` imports it, since asking must not raise
    fallback: str
    strict: bool
    nobody: str
    display: Any  # dotted path or callable, as `actor` is; None: the user's full name
    find_user: Any  # likewise; None: by primary key, where `actor` is the default
    #: Whether statements that only read carry the actor as well.
    carry_reads: bool
    #: Whether `app.audit_context` is carried; None: when a model has a trail.
    context: bool | None
    trail_client_ip: bool
    #: The days of events that `prune` leaves at least; None: all of them.
    trail_keep: int | None


def label_fault(label: object) -> str | None:
    """Say what keeps `label` from being stored as a label, or None when nothing does."""
    if not isinstance(label, str):
        return f"is not text but {type(label).__name__}"
    if not label:
        return "is empty"
    if len(label) > MAX_LABEL_LENGTH:
        return f"has {len(label)} characters, at most {MAX_LABEL_LENGTH} are allowed"
    if "\0" in label:
        return "holds a NUL character, which PostgreSQL cannot store"
    # Cheaper than encoding, and nearly every label takes this way.
    if not label.isascii() and any("\ud800" <= character <= "\udfff" for character in label):
        return "holds a lone surrogate, which PostgreSQL cannot store"
    return None


def is_days(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def given_settings() -> Mapping[str, Any]:
    """What the project wrote, unchecked; an empty mapping when it wrote nothing usable."""
    given = getattr(settings, "AUDIT_FIELDS", None)
    return given if isinstance(given, Mapping) else {}


@functools.cache
def audit_settings() -> AuditSettings:
    """The settings in force. Cached until `setting_changed`, which `override_settings` sends."""
    given = given_settings()
    fallback = given.get("FALLBACK", DEFAULTS["FALLBACK"])
    nobody = given.get("NOBODY", DEFAULTS["NOBODY"])
    keep = given.get("TRAIL_KEEP", DEFAULTS["TRAIL_KEEP"])
    context = given.get("CONTEXT", DEFAULTS["CONTEXT"])
    return AuditSettings(
        actor=given.get("ACTOR", DEFAULTS["ACTOR"]),
        fallback=DEFAULTS["FALLBACK"] if label_fault(fallback) else fallback,
        strict=given.get("STRICT") is True,
        nobody=nobody if nobody in NOBODY_MODES else DEFAULTS["NOBODY"],
        display=given.get("DISPLAY", DEFAULTS["DISPLAY"]),
        find_user=given.get("FIND_USER", DEFAULTS["FIND_USER"]),
        carry_reads=given.get("CARRY_READS") is True,
        context=context if isinstance(context, bool) else None,
        trail_client_ip=given.get("TRAIL_CLIENT_IP") is True,
        trail_keep=keep if is_days(keep) else DEFAULTS["TRAIL_KEEP"],
    )


def forget_settings(*, setting: str, **kwargs: Any) -> None:
    if setting == "AUDIT_FIELDS":
        audit_settings.cache_clear()


setting_changed.connect(forget_settings, dispatch_uid="django_audit_fields.forget_settings")
