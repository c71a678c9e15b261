"""Django's admin: who and when, by name, and what happened to a row.

`mixin` is what a project derives from, made of three: `columns` has the four columns, read-only, in
lists and forms; `history` a row's timeline, its versions and the way back; `reasons` asks for one
where a change needs it. `events` is the list of all events, and `export` what is downloaded of it.
`sight` is for all of them: nobody sees more of a model in its trail than its admin shows.
"""

from __future__ import annotations

from .columns import ORDER, PersonColumn
from .events import AuditEventAdmin
from .mixin import AuditAdminMixin

__all__ = ["ORDER", "AuditAdminMixin", "AuditEventAdmin", "PersonColumn"]
