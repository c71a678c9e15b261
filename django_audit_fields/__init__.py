"""Who created a row, who changed it last, and when."""

from .actors import NoActorError, acting_as, current_actor, preserve_audit_fields
from .carrying import bind_actor

__all__ = ["NoActorError", "acting_as", "bind_actor", "current_actor", "preserve_audit_fields"]
