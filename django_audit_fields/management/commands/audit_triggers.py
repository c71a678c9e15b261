"""`manage.py audit_triggers`: what is installed, what has drifted, repair."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_audit_fields.catalog import Coverage, coverage, differences
from django_audit_fields.repairs import repair


class Command(BaseCommand):
    help = "List the audit triggers of a database, check them against the code, or repair them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=("list", "check", "install"),
            help="list: every table with audit columns. check: what differs from what the code "
            "would install; exits 1 on any difference. install: repair what differs.",
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
            facts = [entry.table.label, entry.status, entry.source or "", rules_of(entry)]
            self.stdout.write("  ".join(fact for fact in facts if fact))

    def compare(self, connection: BaseDatabaseWrapper, *, as_json: bool) -> None:
        found = differences(connection)
        if as_json:
            self.print_json([dataclasses.asdict(difference) for difference in found])
        else:
            for difference in found:
                self.stdout.write(str(difference))
        if found:
            sys.exit(1)

    def install(self, connection: BaseDatabaseWrapper, *, as_json: bool) -> None:
        repaired = repair(connection)
        if as_json:
            self.print_json([described(entry) for entry in repaired])
            return
        for entry in repaired:
            for difference in entry.differences:
                outcome = "not repaired" if entry.missing_columns else "repaired"
                self.stdout.write(f"{difference}: {outcome}")

    def print_json(self, content: list[dict[str, Any]]) -> None:
        self.stdout.write(json.dumps(content, indent=2))


def rules_of(entry: Coverage) -> str:
    if entry.stamping is None:
        return ""
    rules = [f"nobody={entry.stamping.nobody}"]
    if entry.stamping.nobody == "fallback":
        rules.append(f"fallback={entry.stamping.fallback!r}")
    if entry.stamping.strict:
        rules.append("strict")
    return " ".join(rules)


def described(entry: Coverage) -> dict[str, Any]:
    stamping = entry.stamping
    return {
        "table": entry.table.label,
        "schema": entry.table.schema,
        "name": entry.table.name,
        "status": entry.status,
        "source": entry.source,
        "triggers": sorted(entry.table.triggers),
        "function": stamping.function_name if stamping else None,
        "columns": dict(stamping.columns) if stamping else None,
        "fallback": stamping.fallback if stamping else None,
        "nobody": stamping.nobody if stamping else None,
        "strict": stamping.strict if stamping else None,
        "differences": [dataclasses.asdict(difference) for difference in entry.differences],
    }
