"""What does the database do? The triggers of one table: their rules, and SQL that installs them.

Runs nothing; what a database has is `drift`'s to find. To read in this order: `quoting`, `rules`,
`stamp.sql`, `sql`, `expressions`, `constraint`; `operation` and `history` are of migrations.
"""

from __future__ import annotations

from .constraint import (
    AuditTrigger,
    any_model_stamps_session_user,
    attach_trigger,
    audit_fields_of,
    column_defaults,
    named_triggers,
    trigger_of,
)
from .expressions import TIME_DEFAULT_SQL, ActorDefault, TimeDefault
from .history import operations_in_force, operations_on_disk
from .operation import TableOperation
from .quoting import quote_identifier, quote_literal, table_names
from .rules import (
    EVENTS,
    FUNCTION_MARK,
    FUNCTION_PREFIX,
    INSERT_TRIGGER,
    LABEL_ROLES,
    OBSOLETE_TRIGGERS,
    PARTITIONS_ENDING,
    ROLES,
    SHARED_FUNCTIONS,
    TIME_ROLES,
    TRIGGER_NAMES,
    UPDATE_TRIGGER,
    Rules,
    Stamping,
)
from .sql import drop_sql, install_sql, remove_sql
from .target import (
    comment_facts,
    examine_table,
    own_triggers,
    stamped_columns,
    tables_without_trigger,
)

__all__ = [
    "EVENTS",
    "FUNCTION_MARK",
    "FUNCTION_PREFIX",
    "INSERT_TRIGGER",
    "LABEL_ROLES",
    "OBSOLETE_TRIGGERS",
    "PARTITIONS_ENDING",
    "ROLES",
    "SHARED_FUNCTIONS",
    "TIME_DEFAULT_SQL",
    "TIME_ROLES",
    "TRIGGER_NAMES",
    "UPDATE_TRIGGER",
    "ActorDefault",
    "AuditTrigger",
    "Rules",
    "Stamping",
    "TableOperation",
    "TimeDefault",
    "any_model_stamps_session_user",
    "attach_trigger",
    "audit_fields_of",
    "column_defaults",
    "comment_facts",
    "drop_sql",
    "examine_table",
    "install_sql",
    "named_triggers",
    "operations_in_force",
    "operations_on_disk",
    "own_triggers",
    "quote_identifier",
    "quote_literal",
    "remove_sql",
    "stamped_columns",
    "table_names",
    "tables_without_trigger",
    "trigger_of",
]
