"""What the triggers of a table do: their rules, conditions, and the function behind them."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from ..conf import ACTOR_VARIABLE, NOBODY_MODES, audit_settings
from .quoting import (
    BYTEWISE,
    MAX_IDENTIFIER_BYTES,
    as_text,
    digest,
    fill,
    operator,
    quote_identifier,
    quote_literal,
)

#: Stands in the comments of functions and triggers; raised when their text or meaning changes.
VERSION: Final = 3
#: Every function's name begins like this; a function is ours only if its text says so as well.
FUNCTION_PREFIX: Final = "audit_fields_"
#: It is the first sentence of `stamp.sql`, in every release.
FUNCTION_MARK: Final = "Put there by django_audit_fields;"

#: BEFORE triggers fire in the order of their names, byte by byte; ours see what the others made.
INSERT_TRIGGER: Final = "~~audit_fields_insert"
UPDATE_TRIGGER: Final = "~~audit_fields_update"
TRIGGER_NAMES: Final = (INSERT_TRIGGER, UPDATE_TRIGGER)
EVENTS: Final[Mapping[str, str]] = {INSERT_TRIGGER: "INSERT", UPDATE_TRIGGER: "UPDATE"}
#: What an older release had on partitioned tables besides.
OBSOLETE_TRIGGERS: Final = ("~~audit_fields_move",)

ROLES: Final = ("created_at", "updated_at", "created_by", "updated_by")
TIME_ROLES: Final = ("created_at", "updated_at")
LABEL_ROLES: Final = ("created_by", "updated_by")

#: The functions of tables whose columns have our own names; any other table gets one of its own.
SHARED_FUNCTIONS: Final[Mapping[tuple[str, ...], str]] = {
    ROLES: "audit_fields_stamp",
    LABEL_ROLES: "audit_fields_track_user_changes",
    TIME_ROLES: "audit_fields_update_timestamp",
}


#: At the end of the names of those that tell a row that moves to another partition from a new one.
PARTITIONS_ENDING: Final = "_partitions"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings, a model or an operation may choose, as it came to a trigger."""

    nobody: str
    #: None where nobody is not stamped with it.
    fallback: str | None
    strict: bool

    @classmethod
    def told_by(cls, arguments: Sequence[str]) -> Rules | None:
        """From a trigger's arguments; None for one that fills no label."""
        if len(arguments) < 3:
            return None
        fallback, nobody, strict, *_ = arguments
        # The function takes whatever it does not know for the fallback, and for lenient.
        nobody = nobody if nobody in NOBODY_MODES else "fallback"
        return cls(nobody, fallback if nobody == "fallback" else None, strict == "strict")

    def __str__(self) -> str:
        fallback = "" if self.fallback is None else f" fallback={self.fallback!r}"
        return f"nobody={self.nobody}{fallback}{' strict' if self.strict else ''}"


@dataclass(frozen=True, slots=True)
class Stamping:
    """What the triggers of one table do: in which columns, under which rules, settings resolved."""

    #: Role to column, in the order of `ROLES`; a role that the table lacks is absent.
    columns: tuple[tuple[str, str], ...]
    fallback: str
    nobody: str
    strict: bool
    #: What the model or operation says itself, None where it leaves that to the settings.
    own_nobody: str | None = None
    own_strict: bool | None = None
    #: Whether the table has partitions or is one, so that its rows may move.
    partitions: bool = False

    @classmethod
    def of(
        cls, columns: Mapping[str, str], *, strict: bool | None = None, nobody: str | None = None
    ) -> Stamping:
        settings = audit_settings()
        return cls(
            columns=tuple((role, columns[role]) for role in ROLES if role in columns),
            fallback=settings.fallback,
            nobody=settings.nobody if nobody is None else nobody,
            strict=settings.strict if strict is None else strict,
            own_nobody=nobody,
            own_strict=strict,
        )

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(role for role, _ in self.columns)

    @property
    def function_name(self) -> str:
        ending = PARTITIONS_ENDING if self.partitions else ""
        if self.columns == tuple((role, role) for role in self.roles) and (
            shared := SHARED_FUNCTIONS.get(self.roles)
        ):
            return shared + ending
        readable = "_".join(column for _, column in self.columns)
        ending = f"{ending}_{digest(json.dumps(dict(self.columns)))}"
        kept = (FUNCTION_PREFIX + readable).encode()[: MAX_IDENTIFIER_BYTES - len(ending)]
        return kept.decode(errors="ignore") + ending

    @property
    def rules(self) -> Rules | None:
        return Rules.told_by(self.arguments)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the function finds in TG_ARGV; a release may append to it, never rearrange."""
        if not set(self.roles) & set(LABEL_ROLES):
            return ()
        return self.fallback, self.nobody, "strict" if self.strict else "lenient"

    @property
    def comment(self) -> str:
        """What a later release needs to know and the triggers' definition does not say."""
        facts: dict[str, Any] = {"version": VERSION, "columns": dict(self.columns)}
        if self.own_strict is not None:
            facts["strict"] = self.own_strict
        if self.own_nobody is not None:
            facts["nobody"] = self.own_nobody
        return f"django_audit_fields {json.dumps(facts)}"

    @property
    def function_comment(self) -> str:
        return f"django_audit_fields {VERSION} {digest(self.function_body)}"

    @property
    def function_body(self) -> str:
        return function_body(self.columns, self.partitions)

    @property
    def default_sql(self) -> str:
        """Who is acting, as the default of a column."""
        acting = f"NULLIF(pg_catalog.current_setting({quote_literal(ACTOR_VARIABLE)}, true), '')"
        match self.nobody:
            case "refuse":
                return acting
            case "session_user":
                return f"COALESCE({acting}, session_user)"
        return f"COALESCE({acting}, {quote_literal(self.fallback)})"

    @property
    def label_sql(self) -> str:
        """Who is acting, as a condition sees it: what the function would call the label.

        Not NULLIF, whose operator would be looked for on the search path of whoever migrates.
        """
        acting = f"pg_catalog.current_setting({quote_literal(ACTOR_VARIABLE)}, true)"
        is_acting = f"{acting} {operator('<>')} ''"
        match self.nobody:
            case "refuse":
                return f"CASE WHEN {is_acting} THEN {acting} END"
            case "session_user":
                return f"CASE WHEN {is_acting} THEN {acting} ELSE session_user END"
        return f"CASE WHEN {is_acting} THEN {acting} ELSE {quote_literal(self.fallback)} END"

    def with_fallback(self) -> Stamping:
        return replace(self, nobody="fallback")

    def for_partitions(self, partitions: bool) -> Stamping:
        return replace(self, partitions=partitions)

    def condition(self, event: str) -> str:
        """The `WHEN` that keeps PL/pgSQL away from rows that it would leave as they are.

        Few and short terms: each statement compiles it anew.
        """
        terms = self.insert_terms() if event == "INSERT" else self.update_terms()
        return f"({' AND '.join(terms)}) IS NOT TRUE"

    def insert_terms(self) -> list[str]:
        new = {role: f"NEW.{quote_identifier(name)}" for role, name in self.columns}
        times = [new[role] for role in TIME_ROLES if role in new]
        labels = [new[role] for role in LABEL_ROLES if role in new]
        if len(times) == 2:
            # One comparison that is unknown when either is missing, too.
            terms = [f"{times[0]} {operator('<=')} {times[1]}"]
        else:
            terms = [f"{time} IS NOT NULL" for time in times]
        if not self.strict:
            return [*terms, *(f"{as_text(label)} {operator('<>')} ''" for label in labels)]
        # Read once: each look at the variable costs.
        if len(labels) == 2:
            terms.append(f"{as_text(labels[0])} {operator('=')} {labels[1]}")
        by_actor = [f"{as_text(label)} {operator('=')} {self.label_sql}" for label in labels[-1:]]
        return [*terms, *by_actor]

    def update_terms(self) -> list[str]:
        new = {role: f"NEW.{quote_identifier(name)}" for role, name in self.columns}
        old = {role: f"OLD.{quote_identifier(name)}" for role, name in self.columns}
        terms = []
        if "updated_at" in new:
            terms.append(f"{new['updated_at']} {operator('>')} {old['updated_at']}")
        if "created_at" in new:
            terms.append(f"{new['created_at']} {operator('=')} {old['created_at']}")
        if "created_by" in new:
            creator = as_text(new["created_by"])
            terms.append(f"{creator} {operator('=')} {old['created_by']}")
            if self.partitions:
                # An empty name has to reach the function, or a move's INSERT would fill it.
                terms.append(f"{creator} {operator('<>')} ''")
        if "updated_by" in new:
            updater = as_text(new["updated_by"])
            by_actor = f"{updater} {operator('=')} {self.label_sql}"
            changed = f"{updater} {operator('<>')} {old['updated_by']}"
            if self.strict:
                terms.append(by_actor)
            else:
                terms += [f"({changed} OR {by_actor})", f"{updater} {operator('<>')} ''"]
        if self.partitions and self.strict and "created_by" in new:
            # Whoever moves another's row to another partition has to say so to its INSERT trigger.
            mover = new.get("updated_by", self.label_sql)
            terms.append(f"{as_text(new['created_by'])} {operator('=')} {mover}")
        return terms

    def definition(self, event: str) -> str:
        """The end of CREATE TRIGGER: everything after the table's name but the function's name."""
        return f"FOR EACH ROW WHEN ({self.condition(event)})"


@cache
def stamp_template() -> str:
    return (importlib.resources.files(__package__) / "stamp.sql").read_text("utf-8")


@cache
def function_body(columns: tuple[tuple[str, str], ...], partitions: bool) -> str:
    """The text of the function that stamps these columns, from `stamp.sql`.

    There a part between `--? word …` and `--.` is kept when the table has one of these roles, or
    `partitions`; parts may lie in one another.
    """
    column = {role: quote_identifier(name) for role, name in columns}
    new = {role: f"NEW.{name}" for role, name in column.items()}
    equals = f"{BYTEWISE} {operator('=')}"
    created_is_same = []
    if "created_at" in new:
        created_is_same.append(f"{new['created_at']} {operator('=')} OLD.{column['created_at']}")
    if "created_by" in new:
        created_is_same.append(f"{new['created_by']} {equals} OLD.{column['created_by']}")
    on_insert = f"TG_OP {operator('=')} 'INSERT'"
    is_unnamed = []
    if "updated_by" in new:
        is_stamped = f"({on_insert} OR is_preserving IS NOT TRUE)"
        is_unnamed.append(f"{new['updated_by']} IS NULL AND {is_stamped}")
    if "created_by" in new:
        is_new = f"{on_insert} AND is_moved IS NOT TRUE" if partitions else on_insert
        is_unnamed.append(f"{new['created_by']} IS NULL AND {is_new}")
    moved = [
        "CAST(pg_catalog.pg_partition_root(TG_RELID) AS pg_catalog.oid)",
        "pg_catalog.statement_timestamp()",
        *(new[role] for role in ("created_at", "created_by") if role in new),
    ]
    values = {
        "columns": json.dumps(dict(columns)),
        "is": equals,
        "created_is_same": " AND ".join(created_is_same),
        "created_or_now": new.get("created_at", "pg_catalog.statement_timestamp()"),
        "is_unnamed": " OR ".join(is_unnamed),
        "is_acting": (
            f"pg_catalog.current_setting({quote_literal(ACTOR_VARIABLE)}, true) {operator('<>')} ''"
        ),
        "unless_moved": " AND is_moved IS NOT TRUE" if partitions else "",
        "moved": f"CAST(pg_catalog.jsonb_build_array({', '.join(moved)}) AS pg_catalog.text)",
        **column,
    }
    words = {*column, "partitions"} if partitions else {*column}
    lines = []
    is_kept = [True]
    for line in stamp_template().splitlines(keepends=True):
        mark, _, wanted = line.strip().partition(" ")
        if mark == "--?":
            is_kept.append(is_kept[-1] and not words.isdisjoint(wanted.split()))
        elif mark == "--.":
            is_kept.pop()
        elif is_kept[-1]:
            lines.append(line)
    return fill("".join(lines), values)
