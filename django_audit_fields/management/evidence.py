"""What `manage.py audit_trail` does to seal the trail, to verify it and to hand it over."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from psycopg import errors

from django_audit_fields.trail import (
    FORMATS,
    Seal,
    Wanted,
    count_events,
    current_role,
    export,
    harden_sql,
    is_superuser,
    maintain,
    newest_seal,
    prune,
    reported_events,
    run_sql,
    seal,
    soften_sql,
    unsealed_events,
    verify,
    verify_tables,
)

WRONG_USE = 2


class ProgressBar:
    """On a terminal; in a file or a pipe it would be noise."""

    def __init__(self, stream: Any, what: str) -> None:
        self.stream = stream
        self.what = what
        self.shown = ""

    @property
    def is_shown(self) -> bool:
        return bool(self.stream.isatty())

    def __call__(self, done: int, total: int) -> None:
        share = done / total if total else 1.0
        bar = "#" * int(share * 40)
        text = f"{self.what} [{bar:<40}] {share:4.0%} of {total}"
        if self.is_shown and text != self.shown:
            self.shown = text
            self.stream.write(f"\r{text}", ending="")
            self.stream.flush()

    def end(self) -> None:
        if self.shown:
            self.stream.write("")


def day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a day is such as 2026-01-31, not {text!r}") from error


def moment(text: str) -> datetime.datetime:
    """A day or a time, in the project's time zone unless it names one."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"a time is such as 2026-01-31 or 2026-01-31T12:00+01:00, not {text!r}"
        raise argparse.ArgumentTypeError(message) from error
    return found if timezone.is_aware(found) else timezone.make_aware(found)


@contextlib.contextmanager
def says_who_may(connection: BaseDatabaseWrapper) -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise
        reason = str(error).partition("\n")[0]
        raise CommandError(
            f"Role {current_role(connection)} may not do that: {reason}. "
            "Have a DBA do it: `harden` and `soften` print what to run with --sql, and prune is "
            "SELECT audit_trail.prune(before, reason), as the trail's owner."
        ) from error


class EvidenceActions(BaseCommand):
    """The actions of `audit_trail` that stand on seals."""

    evidence_actions: ClassVar[dict[str, str]] = {
        "seal": "close the range of events that came since the last seal",
        "verify": "find what was changed in the trail; exits 1 on a finding",
        "report": "what somebody did, or what happened to a row",
        "prune": "drop the sealed partitions of years gone by",
        "harden": "give the trail to roles that nobody logs in as",
        "soften": "give the trail back to the role of this connection",
    }

    def add_evidence_arguments(self, name: str, action: argparse.ArgumentParser) -> None:
        if name == "seal":
            action.add_argument("--export", metavar="FILE", help="add the seal to a file")
        elif name == "verify":
            action.add_argument(
                "--anchor",
                action="append",
                default=[],
                metavar="N:DIGEST",
                help="a seal as it was exported; may be given several times",
            )
            action.add_argument(
                "--tables", action="store_true", help="compare live rows with their last images"
            )
        elif name == "report":
            action.add_argument("--actor", help="the label of who acted")
            action.add_argument("--since", type=moment, metavar="T", help="this time or later")
            action.add_argument("--until", type=moment, metavar="T", help="before this time")
            action.add_argument("--table", help="a table, or schema.table")
            action.add_argument("--key", help="a row's key, as the trail has it")
            action.add_argument("--format", choices=list(FORMATS), help="the default is table")
        elif name == "prune":
            action.add_argument(
                "--before", type=day, required=True, metavar="DATE", help="such as 2020-01-01"
            )
            action.add_argument("--reason", required=True, help="what the seal says of it")
        elif name in ("harden", "soften"):
            if name == "harden":
                action.add_argument("--owner", required=True, metavar="ROLE", help="may not log in")
                action.add_argument("--writer", required=True, metavar="ROLE", help="may only add")
            action.add_argument("--sql", action="store_true", help="print it for a DBA to run")

    def print_seal(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        maintain(connection)
        made = seal(connection)
        if options["export"]:
            try:
                export(made, options["export"])
            except OSError as error:
                raise CommandError(
                    f"Seal {made.anchor} is made but not exported: {error}"
                ) from error
        self.print_one_seal(made, **options)

    def print_one_seal(self, made: Seal, **options: Any) -> None:
        if options["json"]:
            self.print_json(made.as_json())
        else:
            self.stdout.write(f"{made.kind} {made.anchor}  {made.events} events")

    def print_verify(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        bar = ProgressBar(self.stderr, "verifying")
        try:
            findings = verify(connection, anchors=options["anchor"], progress=bar)
        except ValueError as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        bar.end()
        if options["tables"]:
            findings += verify_tables(connection)
        newest = newest_seal(connection)
        facts = {
            "seals": newest.number if newest else 0,
            "newest": newest.anchor if newest else None,
            "unsealed": unsealed_events(connection),
        }
        if options["json"]:
            self.print_json(
                {**facts, "findings": [dataclasses.asdict(finding) for finding in findings]}
            )
        else:
            for finding in findings:
                self.stdout.write(str(finding))
            self.stdout.write(
                f"{facts['seals']} seals, {len(findings)} findings; "
                f"{facts['unsealed']} events are not sealed yet"
            )
        if findings:
            sys.exit(1)

    def print_report(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        if options["json"] and options["format"] not in (None, "jsonl"):
            raise CommandError("--json is --format jsonl: give one.", returncode=WRONG_USE)
        name = options["format"] or ("jsonl" if options["json"] else "table")
        wanted = Wanted(
            **{key: options[key] for key in ("actor", "since", "until", "table", "key")}
        )
        bar = ProgressBar(self.stderr, "reporting")
        # Beside lines on the same terminal a bar would be in their way.
        is_watched = bar.is_shown and not self.stdout.isatty()
        total = count_events(connection, wanted) if is_watched else 0
        lines = FORMATS[name](reported_events(connection, wanted))
        for done, line in enumerate(lines, 1):
            self.stdout.write(line)
            if is_watched and done % 1000 == 0:
                bar(min(done, total), total)
        bar.end()

    def print_prune(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        if findings := verify(connection):
            # What was tampered with is not to vanish under a seal.
            for finding in findings:
                self.stderr.write(str(finding))
            raise CommandError("Nothing is pruned as long as verify finds something.")
        try:
            with says_who_may(connection):
                made = prune(connection, before=options["before"], reason=options["reason"])
        except ValueError as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        if made is not None:
            self.print_one_seal(made, **options)
        elif options["json"]:
            self.print_json(None)
        else:
            self.stdout.write(f"no partition is wholly before {options['before']}")

    def print_harden(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        if is_superuser(connection):
            self.stderr.write("This connection's role is a superuser, whom no hardening stops.")
        try:
            statements = harden_sql(connection, owner=options["owner"], writer=options["writer"])
        except ValueError as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        self.run_or_print(connection, statements, **options)

    def print_soften(self, connection: BaseDatabaseWrapper, **options: Any) -> None:
        try:
            statements = soften_sql(connection)
        except ValueError as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        self.run_or_print(connection, statements, **options)

    def run_or_print(
        self, connection: BaseDatabaseWrapper, statements: str, **options: Any
    ) -> None:
        if options["sql"]:
            text = f"BEGIN;\n{statements}COMMIT;\n"
            self.print_json({"sql": text}) if options["json"] else self.stdout.write(text)
            return
        with says_who_may(connection):
            run_sql(connection, statements)
        made = newest_seal(connection)
        if made is not None:
            self.print_one_seal(made, **options)

    def print_json(self, content: Any) -> None:
        raise NotImplementedError
