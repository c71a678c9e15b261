"""What happened, and what was it before? Read by `accessor` and `queries`, told by `events`.

`timeline` is what pages show of them. `changes` has the fields of an event as people read them,
`images` and `values` what a column held, `places` whose an event is. `past` has rows as they were,
`reverting` writes them back.
"""

from __future__ import annotations

from .accessor import TrailManager, attach_accessor, trail_of
from .changes import Change
from .events import EventReading
from .images import Unreadable
from .queries import ACTIONS, AuditEventManager, AuditEventQuerySet, in_table
from .reverting import RevertError
from .timeline import DEEDS, Entry, events_to_show, timeline, version_of
from .values import RowImage

__all__ = [
    "ACTIONS",
    "DEEDS",
    "AuditEventManager",
    "AuditEventQuerySet",
    "Change",
    "Entry",
    "EventReading",
    "RevertError",
    "RowImage",
    "TrailManager",
    "Unreadable",
    "attach_accessor",
    "events_to_show",
    "in_table",
    "timeline",
    "trail_of",
    "version_of",
]
