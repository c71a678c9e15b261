"""The ledger as a CSV file: its columns, and the way in and out of it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import transaction

from django_audit_fields import acting_as

from .models import ARSubledger

LEDGER_FILE = Path(settings.BASE_DIR) / "data" / "ledger.csv"
COLUMNS = ["patient_account", "entry_date", "description", "debit", "credit", "status"]


def write_ledger(path: Path, entries: Iterable[ARSubledger]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(entry, name) for name in COLUMNS] for entry in entries)


def import_label(path: Path) -> str:
    """Who the rows of this file are from: its name, so that it can be looked up later."""
    return f"import:{path.stem}"


def import_ledger(path: Path) -> int:
    """Add the file's entries and answer how many; none when the same file is in already."""
    label = import_label(path)
    with path.open(newline="", encoding="utf-8") as file:
        entries = [ARSubledger(**row) for row in csv.DictReader(file)]
    with acting_as(label), transaction.atomic():
        if ARSubledger.objects.filter(created_by=label).exists():
            return 0
        for entry in entries:
            entry.full_clean(validate_unique=False, validate_constraints=False)
        return len(ARSubledger.objects.bulk_create(entries, batch_size=500))
