"""The triggers of one table with a trail, as plain SQL; opens no cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ...conf import audit_settings
from ...triggers import quote_identifier, quote_literal

#: `!` sorts first: an AFTER trigger that updates its own row would otherwise be recorded before.
PREFIX: Final = "!audit_trail"
TRUNCATE_TRIGGER: Final = "!audit_trail_truncate"
TRUNCATE_EVENT: Final = "AFTER TRUNCATE"

#: What fires, by level and name: the event, and what it is for each.
TRIGGERS: Final = {
    "row": {
        "!audit_trail": ("AFTER INSERT OR UPDATE OR DELETE", "FOR EACH ROW"),
        TRUNCATE_TRIGGER: (TRUNCATE_EVENT, "FOR EACH STATEMENT"),
    },
    "statement": {
        "!audit_trail_insert": (
            "AFTER INSERT",
            "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
        ),
        "!audit_trail_update": (
            "AFTER UPDATE",
            "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT",
        ),
        "!audit_trail_delete": (
            "AFTER DELETE",
            "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        ),
        TRUNCATE_TRIGGER: (TRUNCATE_EVENT, "FOR EACH STATEMENT"),
    },
}
LEVELS: Final = tuple(TRIGGERS)
#: Of either level.
TRAIL_TRIGGERS: Final = frozenset(name for names in TRIGGERS.values() for name in names)


def array_text(names: Iterable[str]) -> str:
    """An array of text, as PostgreSQL reads it."""
    escaped = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{" + ",".join(f'"{name}"' for name in escaped) + "}"


@dataclass(frozen=True, slots=True)
class Recording:
    """What the triggers of one table record, by columns."""

    key: tuple[str, ...]
    #: In no image.
    hidden: tuple[str, ...] = ()
    #: In images as `***`.
    masked: tuple[str, ...] = ()
    reason: bool = False
    level: str = "row"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the triggers tell their function. The settings are read now, as for the columns."""
        settings = audit_settings()
        return (
            array_text(self.key),
            array_text(self.hidden),
            array_text(self.masked),
            "reason" if self.reason else "",
            settings.nobody,
            settings.fallback,
        )

    @property
    def trigger_names(self) -> tuple[str, ...]:
        return tuple(TRIGGERS[self.level])

    def function_of(self, trigger: str) -> str:
        is_row = self.level == "row" or trigger == TRUNCATE_TRIGGER
        return "record" if is_row else "record_statement"


def trigger_sql(table: str, trigger: str, recording: Recording) -> str:
    """`table` is the table's quoted name."""
    event, scope = TRIGGERS[recording.level][trigger]
    return call_sql(
        table,
        trigger,
        event,
        scope,
        recording.function_of(trigger),
        recording.arguments,
    )


def call_sql(
    table: str, trigger: str, event: str, scope: str, function: str, arguments: Sequence[str]
) -> str:
    given = ", ".join(map(quote_literal, arguments))
    return (
        f"CREATE OR REPLACE TRIGGER {quote_identifier(trigger)} {event} ON {table}\n"
        f"    {scope} EXECUTE FUNCTION audit_trail.{function}({given});"
    )


def install_sql(table: str, recording: Recording) -> str:
    return "\n".join(trigger_sql(table, name, recording) for name in recording.trigger_names)


def remove_sql(table: str, names: Iterable[str]) -> str:
    return "\n".join(
        f"DROP TRIGGER IF EXISTS {quote_identifier(name)} ON {table};" for name in names
    )
