"""What the migration operations of one table share: its name, and when there is work to do."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from .quoting import quote_identifier


class TableOperation(Operation):
    """Puts something on a table, or takes it off; backwards does the other.

    schema: None takes the table that the search path finds.
    """

    reversible = True
    #: Whether forwards puts it on.
    installs: ClassVar[bool]
    table: str
    schema: str | None

    def check_names(self, **names: Any) -> None:
        """Raises TypeError for what is no name; only a table has to have one."""
        name = type(self).__name__
        owner = f"{name}'" if name.endswith("s") else f"{name}'s"
        for argument, value in names.items():
            is_left_out = value is None and argument != "table"
            if not is_left_out and not (isinstance(value, str) and value):
                raise TypeError(f"{owner} {argument} is a name, as text, not {value!r}.")

    @property
    def place(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"

    @property
    def quoted_table(self) -> str:
        names = (self.table,) if self.schema is None else (self.schema, self.table)
        return ".".join(map(quote_identifier, names))

    def state_forwards(self, app_label: str, state: Any) -> None:
        """No model changes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        if is_meant(app_label, schema_editor):
            self.change_table(schema_editor, installs=self.installs)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        if is_meant(app_label, schema_editor):
            self.change_table(schema_editor, installs=not self.installs)

    def change_table(self, schema_editor: BaseDatabaseSchemaEditor, *, installs: bool) -> None:
        raise NotImplementedError


def is_meant(app_label: str, schema_editor: BaseDatabaseSchemaEditor) -> bool:
    """Whether the database is a PostgreSQL that the routers let the app into."""
    connection = schema_editor.connection
    return connection.vendor == "postgresql" and bool(
        router.allow_migrate(connection.alias, app_label)
    )
