"""What `InstallAuditTrail` and `RemoveAuditTrail` share, for tables that no managed model owns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db import ProgrammingError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from ...triggers import TableOperation
from .constraint import names_of
from .sql import LEVELS, Recording, install_sql, remove_sql
from .tables import TableFacts, table_facts


class AuditTrailOperation(TableOperation):
    """Puts a trail on a table, or takes it off.

    key: the columns that tell rows apart; None takes the primary key.
    exclude, mask: columns that are in no image, or there as `***`.
    """

    #: Tells `migrate` that the schema is needed.
    installs_audit_trail: ClassVar[bool] = True

    def __init__(
        self,
        table: str,
        *,
        schema: str | None = None,
        key: Sequence[str] | str | None = None,
        exclude: Sequence[str] = (),
        mask: Sequence[str] = (),
        reason: bool = False,
        level: str = "row",
    ) -> None:
        name = type(self).__name__
        self.check_names(table=table, schema=schema)
        if not isinstance(reason, bool):
            raise TypeError(f"{name}'s reason is True or False, not {reason!r}.")
        if level not in LEVELS:
            raise ValueError(f"{name}'s level is 'row' or 'statement', not {level!r}.")
        self.table = table
        self.schema = schema
        self.key = (key,) if isinstance(key, str) else None if key is None else (*key,)
        self.exclude = names_of("exclude", exclude, of=name)
        self.mask = names_of("mask", mask, of=name)
        self.reason = reason
        self.level = level
        if self.key is not None and not names_of("key", self.key, of=name):
            raise ValueError(f"{name}'s key has no column; None takes the primary key.")

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        said: dict[str, Any] = {"table": self.table}
        defaults: dict[str, Any] = {"schema": None, "key": None, "exclude": (), "mask": ()}
        defaults |= {"reason": False, "level": "row"}
        said |= {
            name: getattr(self, name)
            for name, default in defaults.items()
            if getattr(self, name) != default
        }
        return type(self).__name__, (), said

    def recording(self, facts: TableFacts) -> Recording:
        return facts.recording(
            key=self.key,
            exclude=self.exclude,
            mask=self.mask,
            reason=self.reason,
            level=self.level,
        )

    def change_table(self, schema_editor: BaseDatabaseSchemaEditor, *, installs: bool) -> None:
        connection = schema_editor.connection
        facts = table_facts(connection, self.quoted_table)
        if facts is None and schema_editor.collect_sql:
            # `sqlmigrate` before the migration that makes the table.
            schema_editor.collected_sql.append(
                f"-- The trail of {self.place}: its key is read once the table is there."
            )
        elif facts is None:
            if installs:
                raise ProgrammingError(
                    f"There is no table {self.place}: name one that a migration before has made."
                )
        elif installs:
            recording = self.recording(facts)
            # Of the other level.
            others = [name for name in facts.triggers if name not in recording.trigger_names]
            if others:
                schema_editor.execute(remove_sql(facts.sql, others), params=None)
            schema_editor.execute(install_sql(facts.sql, recording), params=None)
        elif facts.triggers:
            schema_editor.execute(remove_sql(facts.sql, facts.triggers), params=None)
