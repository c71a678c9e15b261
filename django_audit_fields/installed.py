"""What one database has: its triggers and functions of ours, and the tables with audit columns.

Reads the whole database in a constant number of queries, whatever the search path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from .conf import ACTOR_VARIABLE
from .quoting import quote_identifier
from .rules import (
    EVENTS,
    FUNCTION_MARK,
    FUNCTION_PREFIX,
    INSERT_TRIGGER,
    MOVE_TRIGGER,
    ROLES,
    SHARED_FUNCTIONS,
    TRIGGER_NAMES,
    UPDATE_TRIGGER,
    Rules,
    Stamping,
)

#: An argument may hold any text, so they are taken from the list and not from the definition.
TRIGGERS_QUERY: Final = r"""
    SELECT relation.oid, home.nspname, relation.relname,
        pg_catalog.pg_table_is_visible(relation.oid),
        tgname, tgtype, tgattr::text <> '', tgenabled IN ('O', 'A'),
        CASE WHEN tgparentid = 0 THEN pg_catalog.pg_get_triggerdef(pg_trigger.oid) END,
        pg_catalog.obj_description(pg_trigger.oid, 'pg_trigger'),
        tgfoid, pg_trigger.oid, tgparentid, relkind = 'p' OR relispartition,
        CASE WHEN tgparentid = 0 THEN ARRAY(
            SELECT pg_catalog.convert_from(
                pg_catalog.decode(part, 'hex'), pg_catalog.getdatabaseencoding())
            FROM pg_catalog.unnest(pg_catalog.string_to_array(
                pg_catalog.regexp_replace(pg_catalog.encode(tgargs, 'hex'), '(..)', '\1 ', 'g'),
                '00 ')) WITH ORDINALITY AS parts (part, place)
            WHERE place <= tgnargs ORDER BY place) END
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class relation ON relation.oid = tgrelid
    JOIN pg_catalog.pg_namespace home ON home.oid = relnamespace
    LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
    WHERE (NOT tgisinternal OR tgparentid <> 0)
        AND (tgname = ANY(%(names)s)
            OR (pg_catalog.starts_with(proname, %(prefix)s)
                AND pg_catalog.strpos(prosrc, %(mark)s) > 0))
    ORDER BY home.nspname, relation.relname, tgname
"""

FUNCTIONS_QUERY: Final = """
    SELECT pg_proc.oid, nspname, proname, prosrc, lanname = 'plpgsql' AND NOT prosecdef
        AND proconfig IS NULL, pg_catalog.obj_description(pg_proc.oid, 'pg_proc'),
        pg_catalog.pg_has_role(proowner, 'USAGE')
    FROM pg_catalog.pg_proc
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
    JOIN pg_catalog.pg_language ON pg_language.oid = prolang
    WHERE pg_catalog.starts_with(proname, %(prefix)s) AND pronargs = 0
"""

#: Enabled BEFORE triggers for each row, on insert or update, whose names sort after ours.
LATER_TRIGGERS_QUERY: Final = """
    SELECT tgrelid, tgname, nspname, relname
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE tgrelid = ANY(%(tables)s::bigint[]) AND NOT tgisinternal AND tgparentid = 0
        AND tgtype & 3 = 3 AND tgtype & 20 <> 0 AND tgenabled IN ('O', 'A')
        AND tgname > %(ours)s::name AND tgname <> ALL(%(names)s)
    ORDER BY nspname, relname, tgname
"""

MIGRATED_SCHEMAS_QUERY: Final = """
    SELECT nspname FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = %(name)s AND relkind = 'r'
"""

COLUMNS_QUERY: Final = """
    SELECT relation.oid, nspname, relname, pg_catalog.pg_table_is_visible(relation.oid),
        relkind = 'p' OR relispartition, attname, pg_catalog.pg_get_expr(adbin, adrelid)
    FROM pg_catalog.pg_attribute
    JOIN pg_catalog.pg_class relation ON relation.oid = attrelid
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped
        AND (NOT relispartition OR relation.oid = ANY(%(tables)s::bigint[]))
        AND attname = ANY(%(names)s)
        AND nspname <> 'information_schema' AND NOT pg_catalog.starts_with(nspname, 'pg_')
    ORDER BY nspname, relname
"""


@dataclass(slots=True)
class InstalledTrigger:
    table: tuple[str, str]
    name: str
    type: int
    is_partial: bool
    is_enabled: bool
    definition: str
    comment: str | None
    function: int
    arguments: tuple[str, ...] = ()
    #: Partitions on which the trigger was switched off, by schema and name.
    disabled_on: list[tuple[str, str]] = field(default_factory=list)

    def facts(self) -> dict[str, Any] | None:
        """What the comment says, None when it was lost, as a dump without comments loses it."""
        return comment_facts(self.comment)


def comment_facts(comment: str | None) -> dict[str, Any] | None:
    mark, _, text = (comment or "").partition(" ")
    if mark != "django_audit_fields":
        return None
    try:
        facts = json.loads(text)
    except ValueError:
        return None
    if not isinstance(facts, dict):
        return None
    columns = facts.get("columns")
    # A comment that somebody else wrote, or changed, tells nothing.
    is_readable = isinstance(columns, dict) and columns and set(columns) <= set(ROLES)
    return facts if is_readable else None


@dataclass(slots=True)
class InstalledFunction:
    schema: str
    name: str
    body: str
    is_plain: bool
    comment: str | None
    is_owned: bool

    @property
    def is_ours(self) -> bool:
        return FUNCTION_MARK in self.body

    def columns(self) -> dict[str, str] | None:
        for roles, name in SHARED_FUNCTIONS.items():
            if self.name == name:
                return {role: role for role in roles}
        if found := re.search(r"^-- columns: (\{.*\})$", self.body, re.MULTILINE):
            try:
                columns = json.loads(found[1])
            except ValueError:
                return None
            if isinstance(columns, dict) and set(columns) <= set(ROLES):
                return columns
        return None


@dataclass(slots=True)
class Table:
    """A table that holds audit columns or triggers of ours."""

    schema: str
    name: str
    is_visible: bool = False
    #: Whether it has partitions or is one: its rows may move.
    is_partitioned: bool = False
    #: Column to the text of its default, None for one without.
    columns: dict[str, str | None] = field(default_factory=dict)
    triggers: dict[str, InstalledTrigger] = field(default_factory=dict)
    #: Other people's, which may change what ours have stamped: the table or partition that has one,
    #: by schema and name, and the trigger's name.
    later_triggers: list[tuple[tuple[str, str], str]] = field(default_factory=list)

    @property
    def trigger_names(self) -> tuple[str, ...]:
        """The triggers that it should have."""
        return tuple(name for name in TRIGGER_NAMES if name != MOVE_TRIGGER or self.is_partitioned)

    @property
    def sql(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


TOKEN: Final = re.compile(
    r"""
    (?P<string> [eE]? ' (?: [^'] | '' )* ')
    | (?P<cast> :: \s* (?: "(?:[^"]|"")*" | \w+ ) (?: \. (?: "(?:[^"]|"")*" | \w+ ) )?
        (?: \s varying | \s precision )? (?: \(\d+\) )? (?: \s with (?:out)? \s time \s zone )?
        (?: \[\] )* )
    | (?P<quoted> " (?: [^"] | "" )* ")
    | (?P<operator> OPERATOR \s* \( \s* pg_catalog \. (?P<symbol> [^\s)]+ ) \s* \) )
    | (?P<word> \w+ )
    | (?P<dropped> [\s()]+ )
    | (?P<other> [^\s\w()'"]+? (?= [\s\w()'"] | :: | $ ) )
    """,
    re.VERBOSE | re.IGNORECASE,
)


#: Casts that PostgreSQL shows where a label or a time needs none; with a length, they cut.
NEEDLESS_CAST: Final = re.compile(
    r"::\s*(text|character varying|bpchar|timestamp with(out)? time zone)", re.IGNORECASE
)


def sql_tokens(text: str, *, is_exact: bool = False) -> list[str]:
    """The parts of an expression that PostgreSQL keeps when it prints it back.

    Dropped: casts, parentheses, white space, letter case, needless quotes, `pg_catalog.`. Of a
    string's quotes the first is kept, which tells it from a name. An exact list keeps parentheses,
    and casts that may change a value.
    """
    tokens: list[str] = []
    for match in TOKEN.finditer(text):
        match match.lastgroup:
            case "string":
                quoted = match["string"]
                value = quoted[quoted.index("'") + 1 : -1].replace("''", "'")
                if quoted[0] in "eE":
                    value = value.replace("\\\\", "\\")
                tokens.append(f"'{value}")
            case "cast" if is_exact and not NEEDLESS_CAST.fullmatch(match["cast"]):
                tokens.append(match["cast"].lower())
            case "dropped" if is_exact:
                tokens += [mark for mark in match["dropped"] if not mark.isspace()]
            case "quoted":
                tokens.append(match["quoted"][1:-1].replace('""', '"'))
            case "operator":
                tokens.append(match["symbol"])
            case "word":
                tokens.append(match["word"].lower())
            case "other" if match["other"] == "." and tokens[-1:] == ["pg_catalog"]:
                tokens.pop()
            case "other":
                tokens.append(match["other"])
    return tokens


def condition_tree(tokens: list[str]) -> Any:
    """What a condition of ours means, whichever parentheses it is written with.

    Knows AND, OR, IS and COLLATE, functions, and operators of one rank, as the conditions have
    them. Anything else comes out as it is, and so as another condition.
    """
    rest = iter([*tokens, ""])
    current = next(rest)

    def take() -> str:
        nonlocal current
        taken, current = current, next(rest, "")
        return taken

    def joined(word: str, part: Callable[[], Any]) -> Any:
        parts = [part()]
        while current == word:
            take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else (word, *parts)

    def either() -> Any:
        return joined("or", lambda: joined("and", test))

    def test() -> Any:
        value = operand()
        while current not in ("", "and", "or", "is", ",", ")"):
            value = (take(), value, operand())
        while current == "is":
            words = []
            while current in ("is", "not", "null", "true", "distinct", "from"):
                words.append(take())
            value = (" ".join(words), value)
        return value

    def operand() -> Any:
        if current == "(":
            take()
            value = either()
            if current == ")":
                take()
        else:
            value = take()
            while current == ".":
                value += take() + take()
            if current == "(":
                take()
                arguments = []
                while current not in ("", ")"):
                    arguments.append(either())
                    if current == ",":
                        take()
                take()
                value = (value, *arguments)
        while current == "collate" or current.startswith("::"):
            value = (
                ("collate", value, take() and take()) if current == "collate" else (take(), value)
            )
        return value

    tree = either()
    return tree if not current else (tree, *tokens)


class Catalog:
    """What one database has: tables with audit columns or triggers of ours, and the functions."""

    def __init__(self, connection: BaseDatabaseWrapper, columns: Sequence[str] = ROLES) -> None:
        """`columns`: the names to look for beside those that the triggers' comments tell."""
        self.connection = connection
        self.tables: dict[int, Table] = {}
        self.functions: dict[int, InstalledFunction] = {}
        #: Partition to the table from which it has its triggers.
        self.owners: dict[int, int] = {}
        self.read_functions()
        self.read_triggers()
        self.read_later_triggers()
        told = {
            column
            for table in self.tables.values()
            for column in (self.told_columns(table) or {}).values()
        }
        self.read_columns(sorted({*ROLES, *columns, *told}))

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def read_functions(self) -> None:
        for oid, *facts in self.rows(FUNCTIONS_QUERY, prefix=FUNCTION_PREFIX):
            self.functions[oid] = InstalledFunction(*facts)

    def read_triggers(self) -> None:
        triggers: dict[int, InstalledTrigger] = {}
        parents: dict[int, int] = {}
        tables: dict[int, int] = {}
        disabled_clones = []
        for (
            oid,
            schema,
            name,
            is_visible,
            trigger_name,
            kind,
            is_partial,
            is_enabled,
            definition,
            comment,
            function,
            trigger_oid,
            parent,
            is_partitioned,
            arguments,
        ) in self.rows(
            TRIGGERS_QUERY, names=list(TRIGGER_NAMES), prefix=FUNCTION_PREFIX, mark=FUNCTION_MARK
        ):
            tables[trigger_oid] = oid
            if parent:
                parents[trigger_oid] = parent
                # A partition's copy can be switched off by itself.
                if not is_enabled:
                    disabled_clones.append((trigger_oid, (schema, name)))
                continue
            table = self.tables.setdefault(oid, Table(schema, name, is_visible, is_partitioned))
            table.triggers[trigger_name] = triggers[trigger_oid] = InstalledTrigger(
                (schema, name),
                trigger_name,
                kind,
                is_partial,
                is_enabled,
                definition,
                comment,
                function,
                tuple(arguments),
            )
        for clone in parents:
            trigger_oid = clone
            while trigger_oid in parents:
                trigger_oid = parents[trigger_oid]
            if trigger_oid in triggers:
                self.owners[tables[clone]] = tables[trigger_oid]
        for trigger_oid, partition in disabled_clones:
            while trigger_oid in parents:
                trigger_oid = parents[trigger_oid]
            if trigger := triggers.get(trigger_oid):
                trigger.disabled_on.append(partition)

    def read_later_triggers(self) -> None:
        rows = self.rows(
            LATER_TRIGGERS_QUERY,
            tables=[*self.tables, *self.owners],
            ours=INSERT_TRIGGER,
            names=list(TRIGGER_NAMES),
        )
        for oid, name, *place in rows:
            table = self.tables[oid] if oid in self.tables else self.tables[self.owners[oid]]
            if name not in table.triggers:
                table.later_triggers.append(((place[0], place[1]), name))

    def read_columns(self, names: Sequence[str]) -> None:
        rows = self.rows(COLUMNS_QUERY, names=list(names), tables=list(self.tables))
        for oid, schema, name, is_visible, is_partitioned, column, default in rows:
            table = self.tables.setdefault(oid, Table(schema, name, is_visible, is_partitioned))
            table.columns[column] = default

    def migrated_schemas(self) -> set[str]:
        """Those that were migrated: with a function of ours, or with a default and migrations.

        A tenant's, say, that may have lost every trigger. A backup has neither.
        """
        name = MigrationRecorder.Migration._meta.db_table
        recording = {schema for (schema,) in self.rows(MIGRATED_SCHEMAS_QUERY, name=name)}
        stamping = {
            table.schema
            for table in self.tables.values()
            if any(ACTOR_VARIABLE in (default or "") for default in table.columns.values())
        }
        with_functions = {
            function.schema for function in self.functions.values() if function.is_ours
        }
        return with_functions | recording & stamping

    def told_columns(self, table: Table) -> dict[str, str] | None:
        """The columns that the triggers on a table say they fill."""
        for trigger in table.triggers.values():
            facts = trigger.facts()
            if facts and isinstance(columns := facts.get("columns"), dict) and columns:
                return columns
        for trigger in table.triggers.values():
            function = self.functions.get(trigger.function)
            if function and (columns := function.columns()):
                return columns
        return None

    def rules_in_force(self, table: Table) -> dict[str, Rules | None]:
        """What INSERT and UPDATE are ruled by now; None where no trigger of ours fires."""
        in_force = {}
        for name in (INSERT_TRIGGER, UPDATE_TRIGGER):
            trigger = table.triggers.get(name)
            function = self.functions.get(trigger.function) if trigger else None
            fires = trigger and trigger.is_enabled and function and function.is_ours
            in_force[EVENTS[name]] = Rules.told_by(trigger.arguments) if trigger and fires else None
        return in_force

    def own_rules(self, table: Table) -> tuple[bool | None, str | None]:
        """`strict` and `nobody` as the table's model or operation stated them."""
        for trigger in table.triggers.values():
            if (facts := trigger.facts()) is not None:
                return facts.get("strict"), facts.get("nobody")
        # The comments are lost: what differs from the settings was stated, as far as can be told.
        settings = Stamping.of({})
        for trigger in table.triggers.values():
            if len(trigger.arguments) >= 3:
                strict, nobody = trigger.arguments[2] == "strict", trigger.arguments[1]
                return (
                    None if strict == settings.strict else strict,
                    None if nobody == settings.nobody else nobody,
                )
        return None, None

    def told_stamping(self, table: Table) -> Stamping | None:
        """What the triggers on a table would do if they were made now, under today's settings."""
        columns = self.told_columns(table)
        if columns is None:
            return None
        strict, nobody = self.own_rules(table)
        return Stamping.of(columns, strict=strict, nobody=nobody)

    def present_stamping(self, table: Table) -> Stamping | None:
        """What they were made for: the same, under the settings of that time."""
        stamping = self.told_stamping(table)
        arguments = next((t.arguments for t in table.triggers.values() if t.arguments), ())
        if stamping is None or len(arguments) < 3:
            return stamping
        fallback, nobody, strict, *_ = arguments
        return Stamping(
            columns=stamping.columns,
            fallback=fallback,
            nobody=nobody,
            strict=strict == "strict",
            own_nobody=stamping.own_nobody,
            own_strict=stamping.own_strict,
        )
