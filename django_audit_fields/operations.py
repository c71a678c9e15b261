"""Migration operations for tables that no managed TimestampModel owns.

Migrations name `InstallAuditTriggers` and its arguments: neither its path nor their meaning may
change.
"""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from .conf import NOBODY_MODES
from .triggers import ROLES, Stamping, install_sql, quote_identifier, quote_literal, remove_sql


class InstallAuditTriggers(Operation):
    """Put the triggers on a table that exists already; backwards takes them off again.

    schema: None takes the table that the search path finds.
    created_at …: the column's name, or None when the table has no such column.
    strict, nobody: None leaves it to the settings, as they are when this runs.
    """

    reversible = True

    def __init__(
        self,
        table: str,
        *,
        schema: str | None = None,
        created_at: str | None = "created_at",
        updated_at: str | None = "updated_at",
        created_by: str | None = "created_by",
        updated_by: str | None = "updated_by",
        strict: bool | None = None,
        nobody: str | None = None,
    ) -> None:
        if strict is not None and not isinstance(strict, bool):
            raise TypeError(f"InstallAuditTriggers' strict is True, False or None, not {strict!r}.")
        if nobody is not None and nobody not in NOBODY_MODES:
            raise ValueError(
                f"InstallAuditTriggers' nobody is one of {', '.join(map(repr, NOBODY_MODES))} "
                f"or None, not {nobody!r}."
            )
        self.table = table
        self.schema = schema
        self.strict = strict
        self.nobody = nobody
        named = zip(ROLES, (created_at, updated_at, created_by, updated_by), strict=True)
        self.columns = {role: column for role, column in named if column is not None}
        if not self.columns:
            raise ValueError(f"InstallAuditTriggers has no column left to fill in {table!r}.")
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError(
                f"InstallAuditTriggers fills each column of {table!r} once: {self.columns!r}."
            )

    @property
    def table_literal(self) -> str:
        names = (self.table,) if self.schema is None else (self.schema, self.table)
        return quote_literal(".".join(map(quote_identifier, names)))

    def state_forwards(self, app_label: str, state: Any) -> None:
        """No model changes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        if self.applies_to(app_label, schema_editor):
            stamping = Stamping.of(self.columns, strict=self.strict, nobody=self.nobody)
            schema_editor.execute(
                install_sql(self.table_literal, stamping, checks_columns=True), params=None
            )

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        if self.applies_to(app_label, schema_editor):
            schema_editor.execute(remove_sql(self.table_literal), params=None)

    def applies_to(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor) -> bool:
        connection = schema_editor.connection
        return connection.vendor == "postgresql" and router.allow_migrate(
            connection.alias, app_label
        )

    def describe(self) -> str:
        name = self.table if self.schema is None else f"{self.schema}.{self.table}"
        return f"Install audit triggers on {name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"audit_{self.table.lower()}"
