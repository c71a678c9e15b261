"""What happened to a row? Every change of a table with a trail, with who, when and why.

The database keeps it: `schema.sql` and the functions `record*.sql`, called by each table's
triggers (`sql`, `columns`, `constraint`, `attach`), installed by `migrate` (`schema`, `install`).
"""

from __future__ import annotations

from .attach import attach_trail, trails_of
from .constraint import AuditTrail
from .install import install_before_migrate

__all__ = ["AuditTrail", "attach_trail", "install_before_migrate", "trails_of"]
