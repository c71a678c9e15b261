"""Who is acting, and why? Answers with a label, and says whether rows are stored as given.

Leaves to others how the label reaches PostgreSQL (`carrying`) and a row (`stamping`). Imports
neither HTTP nor SQL. To read in this order: `situation` is all that was said, `scopes` keeps blocks
apart, `labels` says what a user is called, `claims` reads a user when it is needed, `current`
answers who is acting now, `context` why, and `impersonation` links django-crum.
"""

from __future__ import annotations

from .claims import is_resolving, resolving
from .context import audit_context, context_text, handed_on, told_by_task
from .current import (
    NoActorError,
    acting_alone,
    acting_as,
    acting_label,
    alone,
    begin_request,
    current_actor,
    is_preserving,
    is_undecided,
    label_for,
    label_without_reading,
    preserve_audit_fields,
    request_in_force,
    user_label,
)
from .impersonation import connect, is_connected, tell_crum
from .labels import wrapped
from .scopes import Inside, in_async_steps
from .situation import restore, situation

__all__ = [
    "Inside",
    "NoActorError",
    "acting_alone",
    "acting_as",
    "acting_label",
    "alone",
    "audit_context",
    "begin_request",
    "connect",
    "context_text",
    "current_actor",
    "handed_on",
    "in_async_steps",
    "is_connected",
    "is_preserving",
    "is_resolving",
    "is_undecided",
    "label_for",
    "label_without_reading",
    "preserve_audit_fields",
    "request_in_force",
    "resolving",
    "restore",
    "situation",
    "tell_crum",
    "told_by_task",
    "user_label",
    "wrapped",
]
