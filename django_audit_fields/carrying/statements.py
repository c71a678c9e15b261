"""What a statement may do, read from its text. Knows no connection and sends nothing."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Final

#: Longer texts (a bulk insert's placeholders) are read anew: caching them would only hold memory.
LONGEST_CACHED_TEXT: Final = 4_096


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """What matters about a text that is about to be executed.

    Everything not known to write counts as reading, also what PostgreSQL may invent: it is never
    given a transaction that it did not have.
    """

    #: May change rows, so the actor has to go with it.
    writes: bool = False
    #: One statement that libpq can send in a pipeline; COPY through the client cannot be, nor
    #: several at once. Nor can what names a `$1` of its own, for which the error would be another.
    is_pipelinable: bool = True
    #: Runs in a transaction block that was opened for it. Not so what controls transactions itself
    #: or what PostgreSQL refuses in a block.
    may_be_wrapped: bool = True
    #: CALL and DO, whose body may commit.
    may_commit: bool = False
    #: BEGIN, SAVEPOINT, ROLLBACK TO and their kin.
    controls_transaction: bool = False
    #: It may undo what was sent: afterwards a variable may hold an older value, or none.
    may_undo: bool = False
    #: The savepoint, as it is written, that the first of several statements rolls back to.
    rolls_back_to: str = ""
    #: Several, or it calls `set_config`, perhaps with the variable's name in a parameter: what the
    #: variables hold has to be said again.
    may_set: bool = False
    #: The variables that the text sets by name, in lower case.
    sets: frozenset[str] = frozenset()
    #: Reads tables, and does not write.
    reads: bool = False

    @property
    def has_effects(self) -> bool:
        """Whether the variables may hold something else afterwards."""
        return self.may_undo or self.may_set or bool(self.sets)


_SKIPPED: Final = re.compile(r"(?:[\s(;\ufeff]+|--[^\r\n]*)+")
_KEYWORD: Final = re.compile(r"[A-Za-z_]+")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")

# What can hold a semicolon that separates nothing. A `$` or an E right behind a letter belongs to
# an identifier: `a$b$c`, `fee'…'`.
_OPAQUE: Final = re.compile(
    r"""
      (?<![\w$])[eE]'(?P<escaped>[^'\\]*(?:(?:\\.|'')[^'\\]*)*)'?
    | '(?P<text>[^']*(?:''[^']*)*)'?
    | "[^"]*"?
    | --[^\r\n]*
    | (?P<comment>/\*)
    | (?<![\w$])(?P<dollar>\$(?:[^\W\d]\w*)?\$)
    """,
    re.VERBOSE | re.DOTALL,
)

_WRITING: Final = frozenset(
    ["INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "CALL", "DO", "COPY", "EXECUTE", "TRUNCATE"]
)
_PLAIN_WRITES: Final = frozenset(["INSERT ", "UPDATE ", "DELETE "])
_READING: Final = frozenset(["SELECT", "TABLE", "DECLARE", "FETCH"])
_CONTROLLING: Final = frozenset(
    ["BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK", "SAVEPOINT", "RELEASE"]
)
_UNDOING: Final = frozenset(["BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK"])
_OUTSIDE_BLOCKS: Final = re.compile(
    r"VACUUM\b|CLUSTER\b|DISCARD\s+ALL\b|PREPARE\s+TRANSACTION\b|ALTER\s+SYSTEM\b"
    r"|(?:CREATE|DROP|ALTER)\s+(?:DATABASE|TABLESPACE|SUBSCRIPTION)\b"
    r"|(?:CREATE|DROP|REINDEX|ALTER)\b.*\bCONCURRENTLY\b|REINDEX\s+(?:DATABASE|SYSTEM)\b",
    re.IGNORECASE | re.DOTALL,
)
_RESETS_OURS: Final = re.compile(r"RESET\s+(?:ALL\b|\"?app\b)", re.IGNORECASE)
_EXPLAIN: Final = re.compile(
    r"EXPLAIN\s*(?P<options>(?:\([^)]*\)|\b(?:ANALYZE|ANALYSE|VERBOSE)\b|\s+)*)", re.IGNORECASE
)
_CLIENT_COPY: Final = re.compile(r"\b(?:FROM|TO)\s+(?:STDIN|STDOUT)\b", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'[^']*'")
#: In place of a semicolon in a quoted name, which separates nothing.
_NO_SEPARATOR: Final = "\uffff"
_PARAMETER: Final = re.compile(r"(?<![\w$])\$\d")
_NAME: Final = r"""(?P<name>(?:"[^"]+"|[\w$]+)(?:\s*\.\s*(?:"[^"]+"|[\w$]+))*)"""
_SET: Final = re.compile(rf"SET\s+(?:(?:SESSION|LOCAL)\s+)?{_NAME}\s*(?:=|\bTO\b)", re.IGNORECASE)
_ROLLBACK_TO: Final = re.compile(
    r"""\s*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?("[^"\uffff]+"|[\w$]+)\s*$""",
    re.IGNORECASE,
)
_SET_CONFIG: Final = re.compile(r"\bset_config\s*\(\s*[eE]?'([^']*)'", re.IGNORECASE)


def read_statement(text: str, *, standard_strings: bool = True) -> Statement:
    """Classify `text`; placeholders may stand in it.

    Without `standard_strings` (`standard_conforming_strings` is off) a backslash escapes in plain
    quotes as well, so that whatever holds a semicolon and a backslash counts as several.
    """
    if len(text) > LONGEST_CACHED_TEXT:
        return _read(text, standard_strings)
    return _read_cached(text, standard_strings)


def is_one_write(text: str) -> bool:
    """Whether `text` surely is one INSERT, UPDATE or DELETE with no effect on the variables.

    Not whether it is none: a long text, or one that settings of the server may change, is left to
    `read_statement`.
    """
    return (
        text[:7] in _PLAIN_WRITES
        and len(text) <= LONGEST_CACHED_TEXT
        and "\\" not in text
        and _is_plain(text)
    )


@functools.lru_cache(maxsize=1_024)
def _is_plain(text: str) -> bool:
    statement = _read_cached(text, True)
    return statement.is_pipelinable and statement.may_be_wrapped and not statement.has_effects


def _read(text: str, standard_strings: bool) -> Statement:
    start = _first_word(text)
    if ";" not in text[start:].rstrip("; \t\r\n"):
        return _read_one(text[start:])
    if not standard_strings and "\\" in text:
        return dataclasses.replace(_read_all([text[start:]]), is_pipelinable=False, writes=True)
    parts = _split(text)
    return _read_one(text[start:]) if len(parts) < 2 else _read_all(parts)


_read_cached = functools.lru_cache(maxsize=1_024)(_read)


def _read_one(text: str) -> Statement:
    """Read the statement whose first word `text` begins with."""
    word = _KEYWORD.match(text)
    keyword = word.group().upper() if word else ""
    # Most statements end here. The others need a closer look.
    sets_config = "set_config" in text.lower()
    if keyword in ("EXPLAIN", "SET", "RESET", "DISCARD"):
        text = "".join(_split(text))  # comments may stand between the words
    if keyword == "EXPLAIN":
        return _read_explained(text)
    if keyword == "COPY" and _CLIENT_COPY.search("".join(_split(text))):
        # execute() refuses these, and in a pipeline libpq would not recover: copy() is their way.
        return Statement(is_pipelinable=False, may_be_wrapped=False)
    if keyword == "SET":
        found = _SET.match(text)
        return Statement(sets=frozenset([_plain_name(found["name"])] if found else []))
    if keyword == "RESET":
        return Statement(may_undo=_RESETS_OURS.match(text) is not None)
    if keyword in _CONTROLLING:
        return Statement(
            may_be_wrapped=False, controls_transaction=True, may_undo=keyword in _UNDOING
        )
    if keyword == "DISCARD" and not re.match(r"DISCARD\s+ALL\b", text, re.IGNORECASE):
        return Statement()
    if _OUTSIDE_BLOCKS.match(_QUOTED.sub("''", text)):
        return Statement(
            may_be_wrapped=False,
            controls_transaction=keyword == "PREPARE",
            may_undo=keyword in ("PREPARE", "DISCARD"),
        )
    return Statement(
        writes=keyword in _WRITING,
        is_pipelinable=not _names_parameter(text),
        may_commit=keyword in ("CALL", "DO"),
        # What was prepared by hand is not read again.
        may_set=keyword == "EXECUTE" or sets_config,
        sets=frozenset(name.lower() for name in _SET_CONFIG.findall(text)),
        reads=keyword in _READING,
    )


def _read_explained(text: str) -> Statement:
    """EXPLAIN executes nothing, EXPLAIN ANALYZE does."""
    found = _EXPLAIN.match(text)
    if found is None or not re.search(r"\bANALY[ZS]E\b", found["options"], re.IGNORECASE):
        return Statement()
    rest = text[found.end() :]
    return _read_one(rest[_first_word(rest) :])


def _read_all(parts: Sequence[str]) -> Statement:
    """Read several statements in one string: together they do what any of them does."""
    read = [_read_one(part[_first_word(part) :]) for part in parts]
    rollback = _ROLLBACK_TO.match(parts[0])
    return Statement(
        # A string of several statements counts as writing: what else it holds may call functions.
        writes=True,
        is_pipelinable=False,
        may_be_wrapped=all(one.may_be_wrapped for one in read),
        controls_transaction=any(one.controls_transaction for one in read),
        may_undo=any(one.may_undo for one in read),
        rolls_back_to=rollback[1] if rollback else "",
        may_set=True,
        sets=frozenset().union(*(one.sets for one in read)),
    )


def _names_parameter(text: str) -> bool:
    return "$" in text and any(_PARAMETER.search(part) for part in _split(text))


def _plain_name(name: str) -> str:
    return re.sub(r'["\s]', "", name).lower()


def _first_word(text: str) -> int:
    """Where the first word begins, behind white space, `(`, `;` and comments."""
    position = 0
    while True:
        if found := _SKIPPED.match(text, position):
            position = found.end()
        if not text.startswith("/*", position):
            return position
        position = _comment_end(text, position)


def _comment_end(text: str, position: int) -> int:
    """Where the comment that begins at `position` ends: PostgreSQL's comments nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if not depth:
            return edge.end()
    return len(text)


def _split(text: str) -> list[str]:
    """Split at the semicolons that separate statements; quoted text and comments are left out.

    `set_config('…'` keeps its name: which variable it sets matters.
    """
    kept: list[str] = []
    position = 0
    while found := _OPAQUE.search(text, position):
        kept.append(text[position : found.start()])
        position = found.end()
        if found["comment"]:
            position = _comment_end(text, found.start())
            kept.append(" ")
        elif tag := found["dollar"]:
            closing = text.find(tag, position)
            position = len(text) if closing < 0 else closing + len(tag)
            kept.append("''")
        elif found.group().startswith("--"):
            kept.append(" ")
        elif found.group().startswith('"'):
            kept.append(found.group().replace(";", _NO_SEPARATOR))
        else:
            content = found["text"] or ""
            kept.append(f"'{content}'" if re.fullmatch(r"[\w.]+", content) else "''")
    kept.append(text[position:])
    return [part for part in "".join(kept).split(";") if part.strip()]
