"""Management commands that act in their own name."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError

from ..actors import acting_as, audit_context
from ..conf import label_fault

ACTOR_LABEL = "actor_label on the command's class"


class ActorCommandMixin(BaseCommand):
    """What the command writes carries `command:<name>`: `class Command(ActorCommandMixin, ...)`.

    The same is the source that the trail records.

    `actor_label` says otherwise, which a name of more than 42 characters has to.
    """

    actor_label: str | None = None

    def execute(self, *args: Any, **options: Any) -> str | None:
        # A command is named after its module, and is told its name by nobody.
        name = f"command:{type(self).__module__.rpartition('.')[2]}"
        label = self.actor_label or name
        if fault := label_fault(label):
            raise CommandError(f"The actor's label {fault}: {label!r}. Set {ACTOR_LABEL}.")
        with acting_as(label), audit_context(source=name):
            return super().execute(*args, **options)
