"""Management commands that act in their own name."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand

from ..actors import acting_as


class ActorCommandMixin(BaseCommand):
    """What the command writes carries `command:<name>`: `class Command(ActorCommandMixin, ...)`."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        # A command is named after its module, and is told its name by nobody.
        with acting_as(f"command:{type(self).__module__.rpartition('.')[2]}"):
            return super().execute(*args, **options)
