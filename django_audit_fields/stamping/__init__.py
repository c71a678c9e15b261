"""What does a row get from Python? The four columns, on every way in which Django writes.

Leaves SQL past the ORM to `triggers`. To read in this order: `memory` has the rules and what an
instance knows of its row, `fields` the columns, `saving` one instance, `querysets` many,
`listener` the signal.
"""

from __future__ import annotations

from .fields import AuditActorField, AuditField, AuditTimeField
from .listener import stamp_actor
from .memory import (
    AUDIT_NAMES,
    LABELS,
    REMEMBERED,
    UPDATED,
    actor_unheard,
    audit_names,
    begin_stamped,
    can_return_from_update,
    end_stamped,
    fill_missing,
    forget_unread,
    is_stamped_by_trigger,
    local_names,
    next_time,
    put_back,
    recall,
    refuses_nobody,
    remember,
    require_actor,
    row_as_given,
    stamped,
    stamps_of_insert,
    updated_fields,
    updated_names,
    write_back,
)
from .querysets import AuditQuerySet, RowsByKey, plain_rows
from .relations import RelatingManager

__all__ = [
    "AUDIT_NAMES",
    "LABELS",
    "REMEMBERED",
    "UPDATED",
    "AuditActorField",
    "AuditField",
    "AuditQuerySet",
    "AuditTimeField",
    "RelatingManager",
    "RowsByKey",
    "actor_unheard",
    "audit_names",
    "begin_stamped",
    "can_return_from_update",
    "end_stamped",
    "fill_missing",
    "forget_unread",
    "is_stamped_by_trigger",
    "local_names",
    "next_time",
    "plain_rows",
    "put_back",
    "recall",
    "refuses_nobody",
    "remember",
    "require_actor",
    "row_as_given",
    "stamp_actor",
    "stamped",
    "stamps_of_insert",
    "updated_fields",
    "updated_names",
    "write_back",
]
