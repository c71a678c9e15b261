"""What `audit_trail status` tells: the mode, the tables, who could get past it, what is open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from ..recording import (
    RELEASE,
    installed_release,
    is_hardened,
    rows,
    sql_of,
    this_year,
    trail_differences,
)
from .baseline import recorded_places

OWNER_QUERY: Final = """
    SELECT pg_catalog.pg_get_userbyid(relowner)::text, rolcanlogin FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_roles ON pg_roles.oid = relowner
    WHERE pg_class.oid = pg_catalog.to_regclass(%s)
"""
STRAY_QUERY: Final = (
    "SELECT count(*) FROM (SELECT FROM audit_trail.event_default LIMIT 1000) AS rows"
)
YEAR_QUERY: Final = "SELECT pg_catalog.to_regclass(%s) IS NOT NULL"


@dataclass(slots=True)
class Status:
    """`findings` are to be put right; `open` is what the mode leaves to trust."""

    mode: str
    release: int | None
    tables: list[dict[str, Any]] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def status_of(connection: BaseDatabaseWrapper) -> Status:
    release = installed_release(connection)
    found = Status("not installed" if release is None else "default", release)
    found.findings = [str(difference) for difference in trail_differences(connection)]
    if release is None:
        return found
    if is_hardened(connection):
        found.mode = "hardened"
    if release > RELEASE:
        found.open.append("a newer release made the schema: this one leaves it as it is")
    tables_of(connection, found)
    keeping_of(connection, found)
    return found


def tables_of(connection: BaseDatabaseWrapper, found: Status) -> None:
    owners = set()
    for place, trigger in recorded_places(connection).items():
        keys, hidden, masked, reason, nobody, fallback = trigger.arguments
        [(owner, may_log_in)] = rows(connection, OWNER_QUERY, sql_of(place))
        if may_log_in:
            owners.add(owner)
        found.tables.append(
            {
                "table": ".".join(place),
                "key": keys,
                "excluded": hidden,
                "masked": masked,
                "reason": reason == "reason",
                "nobody": nobody,
                "fallback": fallback,
                "owner": owner,
            }
        )
    found.owners = sorted(owners)
    found.open += [
        f"role {owner} can log in and owns audited tables: it may disable their triggers"
        for owner in found.owners
    ]
    if found.mode == "default":
        [(owner, _)] = rows(connection, OWNER_QUERY, "audit_trail.event")
        found.open.append(f"role {owner} owns the trail: it may disable what keeps it unchanged")


def keeping_of(connection: BaseDatabaseWrapper, found: Status) -> None:
    [(stray,)] = rows(connection, STRAY_QUERY)
    if stray:
        found.findings.append("audit_trail.event_default: has rows; run audit_trail maintain")
    [(is_ahead,)] = rows(connection, YEAR_QUERY, f"audit_trail.event_{this_year() + 1}")
    if not is_ahead:
        found.findings.append(
            "audit_trail.event: next year has no partition; run audit_trail maintain"
        )
