"""Could anybody have touched the trail, and what does an auditor get?

`seals` close what was recorded (`recording/seal.sql`); `verifying` and `comparing` find what was
changed since. `hardening` takes the tables from the application, `status` says what stands open.
`report` and `fhir` hand events over, `baseline` begins the past of rows that are older.
"""

from __future__ import annotations

from .baseline import hidden_rows_fault, may_write_events, recorded_places, write_baseline
from .comparing import verify_tables
from .hardening import harden_sql, is_superuser, run_sql, soften_sql
from .report import FORMATS, Wanted, count_events, reported_events
from .seals import Seal, export, newest_seal, prune, seal
from .status import status_of
from .verifying import Finding, unsealed_events, verify

__all__ = [
    "FORMATS",
    "Finding",
    "Seal",
    "Wanted",
    "count_events",
    "export",
    "harden_sql",
    "hidden_rows_fault",
    "is_superuser",
    "may_write_events",
    "newest_seal",
    "prune",
    "recorded_places",
    "reported_events",
    "run_sql",
    "seal",
    "soften_sql",
    "status_of",
    "unsealed_events",
    "verify",
    "verify_tables",
    "write_baseline",
]
