"""What is in force? Compares what a database has with what the code would install, and repairs.

To read in this order: `tables` and `installed` read the catalog, `catalog` compares, `repairs`
mends, `releases` brings an older release's triggers up to date.
"""

from __future__ import annotations

from .catalog import (
    Coverage,
    coverage,
    differences,
    models_of_migrations,
    table_names,
    tables_of_migrations,
)
from .releases import Reinstall
from .repairs import drop_unused_functions, repair

__all__ = [
    "Coverage",
    "Reinstall",
    "coverage",
    "differences",
    "drop_unused_functions",
    "models_of_migrations",
    "repair",
    "table_names",
    "tables_of_migrations",
]
