"""What happened to a row? Every change of a table with a trail, with who, when and why.

The database keeps it: `schema.sql` and the functions `record*.sql`, called by each table's
triggers (`sql`, `columns`, `constraint`, `attach`), installed by `migrate` (`schema`, `install`).
"""

from __future__ import annotations

from .attach import attach_trail, is_name_taken, trails_of
from .baseline import recorded_places, write_baseline
from .constraint import AuditTrail
from .expected import expected_tables, table_names, tables_of_operations
from .install import has_trail, install_before_migrate, installed_release, printed_sql
from .installed import Place, TrailDifference, is_hardened, trail_differences
from .operation import AuditTrailOperation
from .partitions import maintain, maintain_after_migrate
from .repairs import repair_trails
from .status import status_of

__all__ = [
    "AuditTrail",
    "AuditTrailOperation",
    "Place",
    "TrailDifference",
    "attach_trail",
    "expected_tables",
    "has_trail",
    "install_before_migrate",
    "installed_release",
    "is_hardened",
    "is_name_taken",
    "maintain",
    "maintain_after_migrate",
    "printed_sql",
    "recorded_places",
    "repair_trails",
    "status_of",
    "table_names",
    "tables_of_operations",
    "trail_differences",
    "trails_of",
    "write_baseline",
]
