"""A table with audit columns as it is in a database, its triggers, and their functions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..triggers import (
    FUNCTION_MARK,
    PARTITIONS_ENDING,
    ROLES,
    SHARED_FUNCTIONS,
    comment_facts,
    quote_identifier,
)


@dataclass(slots=True)
class InstalledTrigger:
    table: tuple[str, str]
    name: str
    type: int
    is_partial: bool
    #: As `pg_trigger.tgenabled` has it: O as made, D disabled, R for replicas, A always.
    firing: str
    definition: str
    comment: str | None
    function: int
    arguments: tuple[str, ...] = ()
    #: Partitions on which the trigger fires otherwise than made, by schema and name, and how.
    switched_on: list[tuple[tuple[str, str], str]] = field(default_factory=list)

    @property
    def is_enabled(self) -> bool:
        return self.firing in ("O", "A")

    def facts(self) -> dict[str, Any] | None:
        """What the comment says, None when it was lost, as a dump without comments loses it."""
        return comment_facts(self.comment)


@dataclass(slots=True)
class InstalledFunction:
    schema: str
    name: str
    body: str
    is_plain: bool
    comment: str | None
    is_owned: bool

    @property
    def sql(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def is_ours(self) -> bool:
        return FUNCTION_MARK in self.body

    def columns(self) -> dict[str, str] | None:
        for roles, name in SHARED_FUNCTIONS.items():
            if self.name in (name, name + PARTITIONS_ENDING):
                return {role: role for role in roles}
        if found := re.search(r"^-- columns: (\{.*\})$", self.body, re.MULTILINE):
            try:
                columns = json.loads(found[1])
            except ValueError:
                return None
            if isinstance(columns, dict) and set(columns) <= set(ROLES):
                return columns
        return None


class Column(NamedTuple):
    #: As PostgreSQL prints it; None for a column without.
    default: str | None
    #: The type with its collation, as one would write it.
    type: str


@dataclass(slots=True)
class Table:
    """A table that holds audit columns or triggers of ours."""

    schema: str
    name: str
    is_visible: bool = False
    #: Whether it has partitions or is one: its rows may move.
    is_partitioned: bool = False
    columns: dict[str, Column] = field(default_factory=dict)
    triggers: dict[str, InstalledTrigger] = field(default_factory=dict)
    #: Other people's, which may change what ours have stamped: the table or partition that has one,
    #: by schema and name, and the trigger's name.
    later_triggers: list[tuple[tuple[str, str], str]] = field(default_factory=list)

    @property
    def sql(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"
