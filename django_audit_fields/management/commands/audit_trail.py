"""`manage.py audit_trail`: what makes the trail, what state it is in, what keeps it going."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_audit_fields.management.evidence import EvidenceActions
from django_audit_fields.trail import (
    Place,
    hidden_rows_fault,
    installed_release,
    maintain,
    may_write_events,
    printed_sql,
    recorded_places,
    status_of,
    write_baseline,
)

#: The exit code of wrong use; 1 is a finding.
WRONG_USE = 2


class Command(EvidenceActions, BaseCommand):
    help = "Print what makes the trail, tell its state, or keep it going."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, meaning in (
            ("sql", "print what makes the schema, tables and functions"),
            ("status", "which tables have a trail and what is open; exits 1 on a finding"),
            ("baseline", "write an event for each row of a table that has none"),
            *self.evidence_actions.items(),
            ("maintain", "make the partitions of years to come, and empty the DEFAULT one"),
        ):
            action = actions.add_parser(name, help=meaning, description=meaning)
            action.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the alias")
            action.add_argument("--json", action="store_true", help="print JSON")
            if name == "baseline":
                action.add_argument("table", nargs="+", help="a table, or schema.table")
            self.add_evidence_arguments(name, action)

    def handle(self, *, action: str, database: str, **options: Any) -> None:
        if database not in connections:
            raise CommandError(f"There is no database alias {database!r}.", returncode=WRONG_USE)
        connection = connections[database]
        if connection.vendor != "postgresql":
            raise CommandError(
                f"The database {database!r} is not PostgreSQL but {connection.display_name}: "
                "it has no trail.",
                returncode=WRONG_USE,
            )
        if (
            action in ("baseline", "maintain", *self.evidence_actions)
            and installed_release(connection) is None
        ):
            raise CommandError(
                f"The database {database!r} has no trail: run migrate first.",
                returncode=WRONG_USE,
            )
        getattr(self, f"print_{action}")(connection, **options)

    def print_sql(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        sql = printed_sql(connection)
        self.print_json({"sql": sql}) if options["json"] else self.stdout.write(sql)

    def print_status(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        found = status_of(connection)
        if options["json"]:
            self.print_json(dataclasses.asdict(found))
        else:
            self.stdout.write(f"mode: {found.mode}")
            for table in found.tables:
                facts = [f"{name}={value}" for name, value in table.items() if name != "table"]
                self.stdout.write(f"{table['table']}  {'  '.join(facts)}")
            for text in found.open:
                self.stdout.write(f"open: {text}")
            for text in found.findings:
                self.stdout.write(f"finding: {text}")
        if found.findings:
            sys.exit(1)

    def print_baseline(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        recorded = recorded_places(connection)
        places = [self.place_of(name, list(recorded)) for name in options["table"]]
        if not may_write_events(connection):
            raise CommandError(
                "This role may not write to the trail: run baseline as the role that owns it, or "
                "as a member of the writer where the trail is hardened.",
                returncode=WRONG_USE,
            )
        for place in places:
            if fault := hidden_rows_fault(connection, place):
                raise CommandError(f"{fault[0].upper()}{fault[1:]}.", returncode=WRONG_USE)
        written_of: dict[str, int] = {}
        for place in places:
            name = ".".join(place)
            written_of[name] = seen = 0
            for rows, written in write_baseline(connection, place, recorded[place]):
                seen += rows
                written_of[name] += written
                if options["verbosity"] > 0:
                    self.stderr.write(f"{name}: {seen} rows, {written_of[name]} events")
            if not options["json"]:
                self.stdout.write(f"{name}: {written_of[name]} baseline events written")
        if options["json"]:
            self.print_json(written_of)

    def place_of(self, name: str, places: list[Place]) -> Place:
        found = [place for place in places if name in (place[1], ".".join(place))]
        if len(found) == 1:
            return found[0]
        reason = "has no trail here" if not found else "is in several schemas: name one as well"
        raise CommandError(f"Table {name!r} {reason}.", returncode=WRONG_USE)

    def print_maintain(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        done = maintain(connection)
        if options["json"]:
            self.print_json(done)
        for text in [] if options["json"] else done:
            self.stdout.write(text)

    def print_json(self, content: Any) -> None:
        self.stdout.write(json.dumps(content, indent=2))
