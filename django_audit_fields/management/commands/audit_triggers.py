"""`manage.py audit_triggers`: what is installed, what has drifted, repair."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_audit_fields.drift import Coverage, coverage, differences, repair
from django_audit_fields.trail import repair_trails, trail_differences


class Command(BaseCommand):
    help = "List the audit triggers of a database, check them against the code, or repair them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=("list", "check", "install"),
            help="list: every table with audit columns. check: what differs from what the code "
            "would install; exits 1 on any difference. install: repair what differs; exits 1 when "
            "a table cannot be.",
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the alias to look at")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *, action: str, database: str, **options: Any) -> None:
        if database not in connections:
            raise CommandError(f"There is no database alias {database!r}.")
        connection = connections[database]
        if connection.vendor != "postgresql":
            raise CommandError(
                f"The database {database!r} is not PostgreSQL but {connection.display_name}: "
                "it has no audit triggers."
            )
        actions = {"list": self.list_tables, "check": self.compare, "install": self.install}
        actions[action](connection, as_json=options["json"])

    def list_tables(self, connection: BaseDatabaseWrapper, *, as_json: bool) -> None:
        entries = coverage(connection)
        if as_json:
            self.print_json([described(entry) for entry in entries])
            return
        for entry in entries:
            facts = [entry.table.label, entry.status, entry.source or "", *rules_of(entry)]
            self.stdout.write("  ".join(fact for fact in facts if fact))

    def compare(self, connection: BaseDatabaseWrapper, *, as_json: bool) -> None:
        found: list[Any] = [*differences(connection), *trail_differences(connection)]
        if as_json:
            self.print_json([dataclasses.asdict(difference) for difference in found])
        else:
            for difference in found:
                self.stdout.write(str(difference))
        if found:
            sys.exit(1)

    def install(self, connection: BaseDatabaseWrapper, *, as_json: bool) -> None:
        repairs = repair(connection)
        trails = repair_trails(connection)
        if as_json:
            self.print_json(
                [
                    {**described(done.entry), "fault": done.fault, "cure": done.cure}
                    for done in repairs
                ]
                + [{**dataclasses.asdict(entry), "fault": fault} for entry, fault in trails]
            )
        else:
            for done in repairs:
                outcome = "repaired" if done.fault is None else "not repaired"
                for difference in done.entry.differences:
                    self.stdout.write(f"{difference}: {outcome}")
                if done.fault is not None:
                    self.stdout.write(f"{done.entry.table.label}: {done.fault}. {done.cure}")
            for entry, fault in trails:
                self.stdout.write(f"{entry}: {f'not repaired: {fault}' if fault else 'repaired'}")
        if any(done.fault is not None for done in repairs) or any(fault for _, fault in trails):
            sys.exit(1)

    def print_json(self, content: list[dict[str, Any]]) -> None:
        self.stdout.write(json.dumps(content, indent=2))


def rules_of(entry: Coverage) -> Iterator[str]:
    """The rules in force, and after them the expected ones where they are others."""
    expected = entry.expected_rules
    in_force = set(entry.in_force.values())
    if in_force == {expected}:
        yield "" if expected is None else str(expected)
    elif expected is not None or in_force - {None}:
        texts = {event: str(rules or "none in force") for event, rules in entry.in_force.items()}
        if len(in_force) == 1:
            yield texts["INSERT"]
        else:
            yield "; ".join(f"{event}: {text}" for event, text in texts.items())
        yield f"expected: {expected or 'no labels'}"


def described(entry: Coverage) -> dict[str, Any]:
    stamping = entry.stamping
    expected = entry.expected_rules
    in_force = {
        event: dataclasses.asdict(rules) if rules else None
        for event, rules in entry.in_force.items()
    }
    agreed = set(entry.in_force.values())
    rules = agreed.pop() if len(agreed) == 1 else None
    differs = bool(agreed) or rules != expected
    return {
        "table": entry.table.label,
        "schema": entry.table.schema,
        "name": entry.table.name,
        "status": entry.status,
        "source": entry.source,
        "triggers": sorted(entry.table.triggers),
        "function": stamping.function_name if stamping else None,
        "columns": dict(stamping.columns) if stamping else None,
        "nobody": rules and rules.nobody,
        "fallback": rules and rules.fallback,
        "strict": rules and rules.strict,
        "in_force": in_force,
        "expected": dataclasses.asdict(expected) if expected and differs else None,
        "differences": [dataclasses.asdict(difference) for difference in entry.differences],
    }
