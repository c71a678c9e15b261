"""What happened to a row? Every change of a table with a trail, with who, when and why.

The database keeps it: `schema.sql` and the functions `record*.sql`, called by each table's
triggers (`sql`, `columns`, `constraint`, `attach`), installed by `migrate` (`schema`, `install`).
`seal.sql` closes what was recorded (`seals`); `verifying` and `comparing` find what was changed.

It is read by `accessor` and `queries` (which events), `events` and `changes` (what they tell);
`places` knows whose an event is, `images` and `values` what a column held.
"""

from __future__ import annotations

from .accessor import TrailManager, attach_accessor, trail_of
from .attach import attach_trail, is_name_taken, trails_of
from .baseline import may_write_events, recorded_places, write_baseline
from .changes import Change
from .comparing import verify_tables
from .constraint import AuditTrail
from .events import EventReading
from .expected import expected_tables, tables_of_operations
from .hardening import harden_sql, is_superuser, run_sql, soften_sql
from .images import Unreadable
from .install import current_role, has_trail, install_before_migrate, installed_release, printed_sql
from .installed import Place, TrailDifference, is_hardened, trail_differences
from .operation import AuditTrailOperation
from .partitions import maintain, maintain_after_migrate
from .queries import AuditEventManager, AuditEventQuerySet
from .repairs import repair_trails
from .report import FORMATS, Wanted, count_events, reported_events
from .reverting import RevertError
from .seals import Seal, export, newest_seal, prune, seal
from .status import status_of
from .values import RowImage
from .verifying import Finding, unsealed_events, verify

__all__ = [
    "FORMATS",
    "AuditEventManager",
    "AuditEventQuerySet",
    "AuditTrail",
    "AuditTrailOperation",
    "Change",
    "EventReading",
    "Finding",
    "Place",
    "RevertError",
    "RowImage",
    "Seal",
    "TrailDifference",
    "TrailManager",
    "Unreadable",
    "Wanted",
    "attach_accessor",
    "attach_trail",
    "count_events",
    "current_role",
    "expected_tables",
    "export",
    "harden_sql",
    "has_trail",
    "install_before_migrate",
    "installed_release",
    "is_hardened",
    "is_name_taken",
    "is_superuser",
    "maintain",
    "maintain_after_migrate",
    "may_write_events",
    "newest_seal",
    "printed_sql",
    "prune",
    "recorded_places",
    "repair_trails",
    "reported_events",
    "run_sql",
    "seal",
    "soften_sql",
    "status_of",
    "tables_of_operations",
    "trail_differences",
    "trail_of",
    "trails_of",
    "unsealed_events",
    "verify",
    "verify_tables",
    "write_baseline",
]
