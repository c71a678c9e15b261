"""Judges rows against what they should hold, and prints the table."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from .evidence import Evidence, Stamp, stamping_layer

#: The clocks of this machine and the server's may differ a little, and Python's is used by layer 1.
TOLERANCE = datetime.timedelta(seconds=2)


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What all rows of one way of writing hold afterwards."""

    scenario: str
    how: str
    created_by: str | None
    updated_by: str | None
    #: what filled the names in Python, None for plain SQL
    python: str | None
    #: the clock before and after the write
    start: datetime.datetime
    end: datetime.datetime
    #: for rows that were there before: as they were
    before: Mapping[str, Stamp] = dataclasses.field(default_factory=dict)
    #: how many rows must be there
    rows: int = 1


@dataclasses.dataclass(frozen=True)
class Outcome:
    expected: Expectation
    sample: Stamp | None
    right: int
    faults: list[str]
    layer: str

    @property
    def passed(self) -> bool:
        return not self.faults


def judge(expected: Expectation, evidence: Evidence) -> Outcome:
    faults = []
    right = 0
    layers: dict[str, None] = {}
    if len(evidence.stored) != expected.rows:
        faults.append(f"{len(evidence.stored)} rows instead of {expected.rows}")
    for key, stamp in evidence.stored.items():
        wrong = stamp_faults(expected, stamp, expected.before.get(key))
        faults += [f"row {key}: {fault}" for fault in wrong]
        right += not wrong
        if key not in evidence.arrived:
            faults.append(f"row {key}: nobody saw it being written")
            continue
        if wrong:
            continue
        operation, arrived = evidence.arrived[key]
        layers[stamping_layer(operation, arrived, stamp, python=expected.python)] = None
    sample = next(iter(evidence.stored.values()), None)
    return Outcome(expected, sample, right, faults, " / ".join(layers))


def stamp_faults(expected: Expectation, stamp: Stamp, before: Stamp | None) -> list[str]:
    faults = [
        f"{name} is {getattr(stamp, name)!r} instead of {getattr(expected, name)!r}"
        for name in ("created_by", "updated_by")
        if getattr(stamp, name) != getattr(expected, name)
    ]
    start, end = expected.start - TOLERANCE, expected.end + TOLERANCE
    if stamp.updated_at is None or not start <= stamp.updated_at <= end:
        faults.append(f"updated_at {stamp.updated_at} is not the time of the write")
    if before is None:
        if stamp.created_at is None or not start <= stamp.created_at <= end:
            faults.append(f"created_at {stamp.created_at} is not the time of the write")
        elif stamp.updated_at is not None and stamp.updated_at < stamp.created_at:
            faults.append("updated_at is before created_at")
    else:
        if stamp.created_at != before.created_at:
            faults.append(f"created_at moved from {before.created_at} to {stamp.created_at}")
        if before.updated_at and stamp.updated_at and stamp.updated_at <= before.updated_at:
            faults.append("updated_at did not move forward")
    return faults


def table(outcomes: list[Outcome], names: Mapping[str, str]) -> str:
    """The outcomes as text; `names` tells which person a label is."""

    def person(label: str | None) -> str:
        if label is None:
            return "(none)"
        return f"{label} ({names[label]})" if label in names else label

    def time(moment: datetime.datetime | None, today: datetime.datetime) -> str:
        if moment is None:
            return "(none)"
        # Rows from before this run have a date worth showing.
        return f"{moment:%H:%M:%S.%f}" if moment > today else f"{moment:%Y-%m-%d %H:%M}"

    if not outcomes:
        return "Nothing was written."
    first = min(outcome.expected.start for outcome in outcomes) - TOLERANCE
    rows = [["scenario", "how it was written", "created_by", "updated_by"]]
    rows[0] += ["created_at", "updated_at", "stamped by", "rows", "result"]
    for outcome in outcomes:
        stamp = outcome.sample or Stamp(None, None, None, None)
        rows.append(
            [
                outcome.expected.scenario,
                outcome.expected.how,
                person(stamp.created_by),
                person(stamp.updated_by),
                time(stamp.created_at, first),
                time(stamp.updated_at, first),
                outcome.layer,
                f"{outcome.right}/{outcome.expected.rows}",
                "pass" if outcome.passed else "FAIL",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for outcome in outcomes:
        lines += [f"FAIL {outcome.expected.how}: {fault}" for fault in outcome.faults[:5]]
        if (more := len(outcome.faults) - 5) > 0:
            lines.append(f"     and {more} more like it")
    return "\n".join(lines)
