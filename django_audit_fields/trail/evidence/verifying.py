"""Finds what was changed in the trail past its triggers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from ..recording import text_of
from .seals import one_snapshot

#: Told how many events of how many are done.
Progress = Callable[[int, int], None]

#: Compared with what the database has: who could replace one could have it find nothing.
CHECKED_FUNCTIONS: Final = ("digests", "seal_digest", "problems")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was sealed, or as the trail says."""

    problem: str
    seal: int | None = None
    table: str | None = None
    #: At most 20 of the rows' keys.
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"seal {self.seal}" if self.seal is not None else self.table
        keys = f": {', '.join(self.keys)}" if self.keys else ""
        return f"{place}: {self.problem}{keys}" if place else f"{self.problem}{keys}"


def parse_anchor(text: str) -> tuple[int, str]:
    """`7:3f…`, as `seal` prints it."""
    number, _, digest = text.strip().partition(":")
    digest = digest.lower()
    if not number.isdecimal() or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(
            f"An anchor is a seal's number and its digest, such as 7:3f…, not {text!r}."
        )
    return int(number), digest


def verify(
    connection: BaseDatabaseWrapper,
    *,
    anchors: Iterable[str] = (),
    progress: Progress | None = None,
) -> list[Finding]:
    """Recompute all seals; an anchor is `N:DIGEST`, else ValueError."""
    exported = [parse_anchor(text) for text in anchors]
    with one_snapshot(connection), connection.cursor() as cursor:
        return [
            *replaced_functions(cursor),
            *broken_seals(cursor, progress),
            *missed_anchors(cursor, exported),
        ]


def replaced_functions(cursor: Any) -> Iterator[Finding]:
    cursor.execute(
        "SELECT proname::text, prosrc FROM pg_catalog.pg_proc"
        " WHERE pronamespace = 'audit_trail'::pg_catalog.regnamespace"
    )
    installed = dict(cursor.fetchall())
    text = text_of("seal.sql")
    for name in CHECKED_FUNCTIONS:
        if installed.get(name) != text.split(f"${name}$")[1]:
            yield Finding(
                f"audit_trail.{name}() is not that of this release: "
                "run migrate, and ask who replaced it"
            )


def broken_seals(cursor: Any, progress: Progress | None) -> Iterator[Finding]:
    cursor.execute("SELECT number, events FROM audit_trail.seal ORDER BY number")
    seals = cursor.fetchall()
    total = sum(events for _, events in seals)
    done = 0
    for number, events in seals:
        cursor.execute("SELECT audit_trail.problems(%s)", [number])
        for (problem,) in cursor.fetchall():
            yield Finding(problem, seal=number)
        done += events
        if progress is not None:
            progress(done, total)


def missed_anchors(cursor: Any, exported: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    cursor.execute("SELECT number, encode(digest, 'hex') FROM audit_trail.seal")
    digests = dict(cursor.fetchall())
    for number, digest in exported:
        if number not in digests:
            yield Finding("it was exported, and is gone", seal=number)
        elif digests[number] != digest:
            yield Finding("it is not the one that was exported", seal=number)


def unsealed_events(connection: BaseDatabaseWrapper) -> int:
    """How many events no seal covers yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_trail.event LEFT JOIN"
            " (SELECT * FROM audit_trail.seal ORDER BY number DESC LIMIT 1) AS last ON true"
            " WHERE last.number IS NULL OR id > last.boundary AND"
            " (transaction_id >= pg_snapshot_xmin(last.snapshot)::text::bigint"
            "  AND NOT pg_visible_in_snapshot(transaction_id::text::xid8, last.snapshot))"
        )
        return int(cursor.fetchone()[0])
