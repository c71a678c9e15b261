"""The text of SQL: names, literals and templates, whatever they hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

#: PostgreSQL cuts longer identifiers off, silently.
MAX_IDENTIFIER_BYTES: Final = 63


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str, *, without: str = "") -> str:
    """`text` as a literal of SQL; the characters in `without` are written by their numbers."""
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    for character in without:
        quoted = quoted.replace(character, f"\\x{ord(character):02x}")
    # The E form means the same whatever standard_conforming_strings says.
    return f"E{quoted}" if "\\" in quoted else quoted


def table_names(quoted: str) -> tuple[str | None, str]:
    """Schema and table of `"table"` or `"schema"."table"`, as a `db_table` may have it."""
    names = [name.replace('""', '"') for name in re.findall(r'"((?:[^"]|"")*)"', quoted)]
    return (names[-2] if len(names) > 1 else None), names[-1]


def operator(symbol: str) -> str:
    """Whatever operators of that name the search path holds."""
    return f"OPERATOR(pg_catalog.{symbol})"


#: Labels are compared byte by byte, whatever their columns' collations take for the same.
BYTEWISE: Final = 'COLLATE pg_catalog."C"'


def as_text(label: str) -> str:
    return f"{label} {BYTEWISE}"


def dollar_quote(text: str, tag: str) -> str:
    while f"${tag}$" in text:
        tag += "_"
    return f"${tag}${text}${tag}$"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def shorten(name: str) -> str:
    """`name` when PostgreSQL would keep it whole, else its beginning and a digest of it."""
    if len(name.encode()) <= MAX_IDENTIFIER_BYTES:
        return name
    ending = f"_{digest(name)}"
    kept = name.encode()[: MAX_IDENTIFIER_BYTES - len(ending.encode())]
    return kept.decode(errors="ignore") + ending


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each `{name}` in one pass, so that a value holding braces stays as it is."""
    parts = template.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        filled.append(values[name] + rest)
    return "".join(filled)
