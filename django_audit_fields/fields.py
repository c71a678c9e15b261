"""The columns of `TimestampModel`. Migrations name the defaults here: they never move."""

from __future__ import annotations

from .stamping import AuditActorField, AuditTimeField
from .triggers import ActorDefault, TimeDefault

__all__ = ["ActorDefault", "AuditActorField", "AuditTimeField", "TimeDefault"]
