"""System checks: one function for each thing that a project can get wrong.

The IDs are documented in docs/reference/checks.md and are never used again for something else.
"""

from __future__ import annotations

from .database import check_database, check_migrations, check_vendors, check_written_columns
from .models import check_columns, check_inheritance, check_managers
from .project import check_celery, check_middleware, check_user_label
from .settings import check_setting_name, check_settings
from .trails import check_trail_databases, check_trail_vendors, check_trails
from .unmanaged import check_unmanaged, check_unmanaged_trails

__all__ = [
    "check_celery",
    "check_columns",
    "check_database",
    "check_inheritance",
    "check_managers",
    "check_middleware",
    "check_migrations",
    "check_setting_name",
    "check_settings",
    "check_trail_databases",
    "check_trail_vendors",
    "check_trails",
    "check_unmanaged",
    "check_unmanaged_trails",
    "check_user_label",
    "check_vendors",
    "check_written_columns",
]
