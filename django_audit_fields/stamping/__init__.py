"""What does a row get from Python? The four columns, on every way in which Django writes.

Leaves SQL past the ORM to `triggers`. To read in this order: `stamps` has who and when, `fields`
the columns, `memory` what an instance knows of its row, `saving` one instance, `querysets` many,
`listener` the signal.
"""

from __future__ import annotations

from .fields import AuditActorField, AuditTimeField
from .listener import stamp_actor
from .querysets import AuditQuerySet
from .saving import StampedModel
from .stamps import AUDIT_NAMES, LABELS, UPDATED, audit_names

__all__ = [
    "AUDIT_NAMES",
    "LABELS",
    "UPDATED",
    "AuditActorField",
    "AuditQuerySet",
    "AuditTimeField",
    "StampedModel",
    "audit_names",
    "stamp_actor",
]
