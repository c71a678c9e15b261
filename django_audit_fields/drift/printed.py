"""What PostgreSQL prints of conditions and defaults, once it has read what the code would install.

It prints an expression in a form of its own, which no text of ours equals. So the expected ones are
read by it as well: on temporary tables, in a transaction that is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors

from ..triggers import EVENTS, Stamping, quote_identifier, quote_literal

PROBE: Final = "audit_fields_probe"
PRINTED_QUERY: Final = """
    SELECT relname, tgname, pg_catalog.pg_get_triggerdef(pg_trigger.oid)
    FROM pg_catalog.pg_trigger JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    WHERE pg_catalog.starts_with(relname, %(probe)s)
        AND relnamespace = pg_catalog.pg_my_temp_schema()
    UNION ALL
    SELECT relname, attname, pg_catalog.pg_get_expr(adbin, adrelid)
    FROM pg_catalog.pg_attrdef
    JOIN pg_catalog.pg_attribute ON attrelid = adrelid AND attnum = adnum
    JOIN pg_catalog.pg_class ON pg_class.oid = adrelid
    WHERE pg_catalog.starts_with(relname, %(probe)s)
        AND relnamespace = pg_catalog.pg_my_temp_schema()
"""

#: What a role may not do, or a server.
UNPRINTABLE: Final[tuple[type[Any], ...]] = (
    errors.InsufficientPrivilege,
    errors.ReadOnlySqlTransaction,
    errors.FeatureNotSupported,
)


class Wanted(NamedTuple):
    """What is to be printed; tables that want the same share it."""

    stamping: Stamping
    #: The function that the triggers call, as SQL names it.
    function: str
    #: Column and type, of those that the triggers fill.
    types: tuple[tuple[str, str], ...]
    #: Column and default.
    defaults: tuple[tuple[str, str], ...]


#: Trigger to rule, and column to default.
Printed = Mapping[str, str]


def rule_of(definition: str) -> str:
    """All that stands behind FOR EACH ROW: the condition, and the call of the function."""
    return definition.partition(" FOR EACH ROW ")[2]


def probe_sql(name: str, wanted: Wanted) -> Iterable[str]:
    defaults = dict(wanted.defaults)
    columns = ", ".join(
        f"{quote_identifier(column)} {kind}"
        + (f" DEFAULT {defaults[column]}" if column in defaults else "")
        for column, kind in wanted.types
    )
    yield f"CREATE TEMPORARY TABLE {name} ({columns})"
    arguments = ", ".join(map(quote_literal, wanted.stamping.arguments))
    for trigger, event in EVENTS.items():
        yield (
            f"CREATE TRIGGER {quote_identifier(trigger)} BEFORE {event} ON pg_temp.{name}"
            f" {wanted.stamping.definition(event)}"
            f" EXECUTE FUNCTION {wanted.function}({arguments})"
        )


def print_expected(
    connection: BaseDatabaseWrapper, wanted: Iterable[Wanted]
) -> dict[Wanted, Printed]:
    """Nothing, where this role may make no temporary table or the server takes no writes.

    The comments of triggers and functions are still compared then.
    """
    names = {f"{PROBE}_{number}": one for number, one in enumerate(dict.fromkeys(wanted))}
    if not names:
        return {}
    script = [statement for name, one in names.items() for statement in probe_sql(name, one)]
    printed: dict[str, dict[str, str]] = {name: {} for name in names}
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("; ".join(script))
            cursor.execute(PRINTED_QUERY, {"probe": PROBE})
            for table, name, text in cursor.fetchall():
                printed[table][name] = rule_of(text) if name in EVENTS else text
            transaction.set_rollback(True, using=connection.alias)
    except DatabaseError as error:
        if not isinstance(error.__cause__, UNPRINTABLE):
            raise
        return {}
    return {one: printed[name] for name, one in names.items()}
