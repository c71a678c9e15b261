"""How is a change recorded? By triggers of each table with a trail, which `migrate` installs.

What a project declares: `constraint`, `operation`; `attach` finds it again. The statements: `sql`,
`columns`, `tables`. What all tables share, `schema.sql`, `record*.sql` and `seal.sql`: `schema`,
`install`, `partitions`. What is in force: `expected`, `installed`, `repairs`.
"""

from __future__ import annotations

from .attach import attach_trail, is_name_taken, trails_of
from .columns import columns_of, local_columns
from .constraint import AuditTrail
from .expected import expected_tables, is_recorded, needs_reason, tables_of_operations
from .install import (
    current_role,
    has_trail,
    install_before_migrate,
    installed_release,
    printed_sql,
    this_year,
)
from .installed import (
    InstalledTrigger,
    Place,
    TrailDifference,
    installed_triggers,
    is_hardened,
    partitions_of,
    rows,
    sql_of,
    trail_differences,
)
from .operation import AuditTrailOperation
from .partitions import maintain, maintain_after_migrate
from .repairs import repair_trails
from .schema import APPEND_ONLY, HELPERS, RECORDERS, RELEASE, SCHEMA, SEAL_FUNCTIONS, text_of
from .sql import TRAIL_TRIGGERS, TRUNCATE_TRIGGER

__all__ = [
    "APPEND_ONLY",
    "HELPERS",
    "RECORDERS",
    "RELEASE",
    "SCHEMA",
    "SEAL_FUNCTIONS",
    "TRAIL_TRIGGERS",
    "TRUNCATE_TRIGGER",
    "AuditTrail",
    "AuditTrailOperation",
    "InstalledTrigger",
    "Place",
    "TrailDifference",
    "attach_trail",
    "columns_of",
    "current_role",
    "expected_tables",
    "has_trail",
    "install_before_migrate",
    "installed_release",
    "installed_triggers",
    "is_hardened",
    "is_name_taken",
    "is_recorded",
    "local_columns",
    "maintain",
    "maintain_after_migrate",
    "needs_reason",
    "partitions_of",
    "printed_sql",
    "repair_trails",
    "rows",
    "sql_of",
    "tables_of_operations",
    "text_of",
    "this_year",
    "trail_differences",
    "trails_of",
]
