"""Who created a row, who changed it last, when, and why."""

from .actors import (
    NoActorError,
    acting_as,
    audit_context,
    current_actor,
    preserve_audit_fields,
)
from .carrying import bind_actor

__all__ = [
    "NoActorError",
    "acting_as",
    "audit_context",
    "bind_actor",
    "current_actor",
    "preserve_audit_fields",
]
