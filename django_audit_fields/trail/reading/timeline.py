"""Events as a page shows them: who by name, what, when, why, from where, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Model
from django.db.models.manager import BaseManager
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .accessor import trail_of
from .changes import Change, Page
from .places import own_tables
from .queries import AuditEventQuerySet, is_model, share_page

if TYPE_CHECKING:
    from .events import EventReading

#: What was done, in a word.
DEEDS: Final = {
    "insert": _("Created"),
    "update": _("Changed"),
    "delete": _("Deleted"),
    "truncate": _("Table emptied"),
    "baseline": _("Recorded as it stood"),
}

#: The names of the fields that may be shown of an event; None for all of them.
Shown = Callable[["EventReading"], Collection[str] | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a timeline."""

    event: Any
    changes: list[Change]
    #: How many fields changed that are not shown.
    hidden: int = 0

    @property
    def person(self) -> str:
        return str(self.event.person)

    @property
    def deed(self) -> str:
        return str(DEEDS[self.event.action])

    @property
    def row(self) -> str:
        """What was changed: `invoice 17`, or the table's name where no model has it."""
        model = self.event.model
        name = self.event.table_name if model is None else str(model._meta.verbose_name)
        key = self.event.row_key
        return capfirst(name) if key is None else f"{capfirst(name)} {key}"

    @property
    def origin(self) -> str:
        """The request, task or command; of what came past Django, the program and its role."""
        if self.event.source:
            return str(self.event.source)
        program = self.event.application_name or gettext("a program without a name")
        return gettext("%(program)s, as role %(role)s") % {
            "program": program,
            "role": self.event.db_role,
        }


def everything(event: EventReading) -> None:
    return None


def timeline(events: Iterable[Any], shown: Shown = everything) -> list[Entry]:
    """An entry for each event, in the order given: a number of queries that does not grow with it.

    `shown` says which fields of an event may be seen; what else changed is counted as hidden.
    """
    found = list(events)
    if any(event.page is None for event in found):
        share_page(found)
    return [Entry(event, *seen(told(event), shown(event))) for event in found]


def told(event: Any) -> list[Change]:
    """The changes without the stamps of an update, which repeat who and when.

    They stay where they say something else, and where nothing else changed.
    """
    changes: list[Change] = event.changes()
    if event.action == "update" and getattr(event.model, "_is_audited", False):
        rest = [change for change in changes if not repeats(change, event)]
        return rest or changes
    return changes


def repeats(change: Change, event: Any) -> bool:
    return change.field == "updated_at" or (
        change.field == "updated_by" and change.after == event.actor
    )


def seen(changes: list[Change], names: Collection[str] | None) -> tuple[list[Change], int]:
    if names is None:
        return changes, 0
    kept = [change for change in changes if change.field in names]
    return kept, len(changes) - len(kept)


def events_to_show(target: Any) -> Any:
    """The events of an instance or of a model, newest first; or those that are given.

    Raises TypeError for what has no events.
    """
    if isinstance(target, AuditEventQuerySet):
        return target
    if isinstance(target, BaseManager):
        return target.all()
    if isinstance(target, Model) or is_model(target):
        return trail_of(target)
    if isinstance(target, str) or not isinstance(target, Iterable):
        # A template's missing variable is "".
        raise TypeError(f"A timeline is of an instance, a model or events, not of {target!r}.")
    return list(target)


class Version(Page):
    """Tells the whole row: as it was after an event, or before it where it was deleted."""

    def images(self, event: EventReading) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return {}, (event.before if event.action == "delete" else event.after) or {}


def version_of(event: EventReading) -> list[Change]:
    """Each field of the row as it was, in `after` and `after_display`; what was NULL is left out.

    With multi-table inheritance also the parents' part of it.
    """
    parts = [event]
    if (model := event.model) and (row := event.instance()):
        parts += [
            part
            for table in list(own_tables(model))[1:]
            if (part := event.event_of_parent(row, table))
        ]
    page = Version(parts)
    return [change for part in parts for change in page.changes(part)]
