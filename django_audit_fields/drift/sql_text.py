"""What the text of an expression means, written here or printed by PostgreSQL. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

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


def place_of(tokens: list[str], words: tuple[str, ...]) -> int:
    """Where these words stand one after the other, or the end."""
    places = range(len(tokens) - len(words) + 1)
    return next((at for at in places if tuple(tokens[at : at + len(words)]) == words), len(tokens))


def condition_of(definition: str) -> Any:
    """What a trigger's WHEN means: names and literals may hold any of the words around it."""
    tokens = sql_tokens(definition, is_exact=True)
    tokens = tokens[place_of(tokens, ("for", "each", "row")) + 3 :]
    tokens = tokens[: place_of(tokens, ("execute", "function"))]
    return condition_tree(tokens[1:]) if tokens[:1] == ["when"] else None
