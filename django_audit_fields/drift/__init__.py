"""What is in force? Compares what a database has with what the code would install, and repairs.

To read in this order: `tables`, `queries` and `installed` read the catalog, `expected` is what the
code would install, `printed` has PostgreSQL read it, `catalog` compares, `repairs` mends and
`releases` brings an older release's triggers up to date.
"""

from __future__ import annotations

from .catalog import Coverage, coverage, differences
from .expected import (
    models_of_migrations,
    models_with_trigger,
    operations_of_migrations,
    tables_of_migrations,
)
from .releases import Reinstall
from .repairs import cure_by_hand, finish_migrate, repair

__all__ = [
    "Coverage",
    "Reinstall",
    "coverage",
    "cure_by_hand",
    "differences",
    "finish_migrate",
    "models_of_migrations",
    "models_with_trigger",
    "operations_of_migrations",
    "repair",
    "tables_of_migrations",
]
