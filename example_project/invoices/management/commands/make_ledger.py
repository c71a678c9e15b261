"""Writes data/ledger.csv anew: the same rows each time, since the chance is seeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factory.random
from django.core.management.base import BaseCommand, CommandParser

from ...factories import EntryFactory
from ...ledger_file import LEDGER_FILE, write_ledger


class Command(BaseCommand):
    help = "Make up a ledger and write it to a CSV file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rows", type=int, default=1200)
        parser.add_argument("--seed", default="clinic-2026")
        parser.add_argument("--output", type=Path, default=LEDGER_FILE)

    def handle(self, *args: Any, rows: int, seed: str, output: Path, **options: Any) -> None:
        factory.random.reseed_random(seed)
        # Every third line is a payment.
        entries = [EntryFactory.build(payment=number % 3 == 2) for number in range(rows)]
        entries.sort(key=lambda entry: entry.entry_date)
        write_ledger(output, entries)
        self.stdout.write(f"Wrote {rows} entries to {output}.")
