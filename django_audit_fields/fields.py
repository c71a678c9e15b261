"""The columns of `TimestampModel`. Migrations name `ActorDefault` here: it never moves."""

from __future__ import annotations

from .stamping import AuditActorField, AuditTimeField
from .triggers import ActorDefault

__all__ = ["ActorDefault", "AuditActorField", "AuditTimeField"]
