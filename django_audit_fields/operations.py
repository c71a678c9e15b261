"""Migration operations for tables that no managed TimestampModel owns.

Migrations name `InstallAuditTriggers` and its arguments: neither its path nor their meaning may
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from .conf import NOBODY_MODES
from .trail import AuditTrailOperation
from .triggers import (
    ROLES,
    TRIGGER_NAMES,
    Stamping,
    TableOperation,
    examine_table,
    install_sql,
    own_triggers,
    remove_sql,
)


class AuditTriggersOperation(TableOperation):
    """What the two operations share.

    created_at …: the column's name, or None when the table has no such column.
    strict, nobody: None leaves it to the settings, as they are when this runs.
    """

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
            raise TypeError(
                f"{type(self).__name__}' strict is True, False or None, not {strict!r}."
            )
        if nobody is not None and nobody not in NOBODY_MODES:
            raise ValueError(
                f"{type(self).__name__}' nobody is one of {', '.join(map(repr, NOBODY_MODES))} "
                f"or None, not {nobody!r}."
            )
        self.check_names(
            table=table,
            schema=schema,
            created_at=created_at,
            updated_at=updated_at,
            created_by=created_by,
            updated_by=updated_by,
        )
        self.table = table
        self.schema = schema
        self.strict = strict
        self.nobody = nobody
        named = zip(ROLES, (created_at, updated_at, created_by, updated_by), strict=True)
        self.columns = {role: column for role, column in named if column is not None}
        if not self.columns:
            raise ValueError(f"{type(self).__name__} has no column left to fill in {table!r}.")
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError(
                f"{type(self).__name__} fills each column of {table!r} once: {self.columns!r}."
            )

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        said: dict[str, Any] = {"table": self.table}
        said |= {role: self.columns.get(role) for role in ROLES if self.columns.get(role) != role}
        rules = {"schema": self.schema, "strict": self.strict, "nobody": self.nobody}
        said |= {name: value for name, value in rules.items() if value is not None}
        return type(self).__name__, (), said

    @property
    def stamping(self) -> Stamping:
        return Stamping.of(self.columns, strict=self.strict, nobody=self.nobody)

    def change_table(self, schema_editor: BaseDatabaseSchemaEditor, *, installs: bool) -> None:
        connection = schema_editor.connection
        table = self.quoted_table
        if installs:
            schema, partitions = self.schema, False
            # What is only printed asks nothing of a database.
            if not schema_editor.collect_sql:
                schema, partitions = examine_table(connection, table, self.columns)
            sql = install_sql(table, self.stamping.for_partitions(partitions), schema=schema)
        else:
            own = TRIGGER_NAMES if schema_editor.collect_sql else own_triggers(connection, table)
            sql = remove_sql(table, triggers=own)
        if sql:
            schema_editor.execute(sql, params=None)


class InstallAuditTriggers(AuditTriggersOperation):
    """Put the triggers on a table that exists already; backwards takes them off again.

    What is named as `created_at` or `created_by` never changes from then on, whoever writes it.
    Name no column that the application itself sets, such as `date_joined` of `auth_user`.
    """

    installs = True

    def describe(self) -> str:
        return f"Install audit triggers on {self.place}"

    @property
    def migration_name_fragment(self) -> str:
        return f"audit_{self.table.lower()}"


class RemoveAuditTriggers(AuditTriggersOperation):
    """Take off what InstallAuditTriggers put on; backwards puts it on again, so say the same."""

    installs = False

    def describe(self) -> str:
        return f"Remove audit triggers from {self.place}"

    @property
    def migration_name_fragment(self) -> str:
        return f"unaudit_{self.table.lower()}"


class InstallAuditTrail(AuditTrailOperation):
    """Record every change of a table that exists already; backwards stops that."""

    installs = True

    def describe(self) -> str:
        return f"Install an audit trail on {self.place}"

    @property
    def migration_name_fragment(self) -> str:
        return f"trail_{self.table.lower()}"


class RemoveAuditTrail(AuditTrailOperation):
    """Stop what InstallAuditTrail started; backwards starts it again, so say the same."""

    installs = False

    def describe(self) -> str:
        return f"Remove the audit trail from {self.place}"

    @property
    def migration_name_fragment(self) -> str:
        return f"untrail_{self.table.lower()}"
