"""How a release reaches existing databases: the operation of the package's own migrations."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from .repairs import reinstall


class Reinstall(Operation):
    """No RunPython: a router that keeps this app off a database would skip it.

    The triggers of other apps' tables are there all the same, and nothing new is made.
    """

    reversible = True
    reduces_to_sql = False
    elidable = False

    def state_forwards(self, app_label: str, state: Any) -> None:
        """No model changes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        if not getattr(schema_editor, "collect_sql", False):  # what to do is in the catalog
            reinstall(schema_editor.connection)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """An older release's text is that release's to install."""

    def describe(self) -> str:
        return "Bring installed audit triggers up to date"
