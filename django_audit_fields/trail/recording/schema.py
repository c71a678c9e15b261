"""The SQL that makes the schema `audit_trail`, its tables and functions; opens no cursor.

What a release has installed is told by COMMENTs. `RELEASE` goes up with every change of the SQL.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from typing import Final

from ...triggers import quote_identifier, quote_literal

SCHEMA: Final = "audit_trail"
#: Goes up with every change of the .sql files: `migrate` replaces what an older one has installed.
RELEASE: Final = 7
#: How many years have their partition ahead of time.
YEARS_AHEAD: Final = 10
#: Called by triggers, as the role that owns them.
RECORDERS: Final = ("record", "record_statement")
HELPERS: Final = ("refuse", "key_of", "mask")
#: Whoever may read the trail may call these, too: sealing only adds.
SEAL_FUNCTIONS: Final = (
    "digests(pg_snapshot, pg_snapshot, bigint, bigint, bigint)",
    f"seal_digest({SCHEMA}.seal)",
    "problems(bigint)",
    "verify()",
    "seal()",
)
#: Of the owner alone.
OWNER_FUNCTIONS: Final = ("chain(text, jsonb)", "prune(date, text)")
SQL_FILES: Final = ("schema.sql", "record.sql", "record_statement.sql", "seal.sql")
APPEND_ONLY: Final = "!append_only"
DEFAULT_PARTITION: Final = "event_default"


def text_of(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


@functools.cache
def release_comment() -> str:
    """What the COMMENTs say: the release, and a digest of its text."""
    text = "".join(map(text_of, SQL_FILES))
    return f"django_audit_fields {RELEASE} {hashlib.sha256(text.encode()).hexdigest()[:8]}"


def function_bodies() -> dict[str, str]:
    """The text of each function, as the catalog has it."""
    texts = {
        "record": text_of("record.sql").split("$record$"),
        "record_statement": text_of("record_statement.sql").split("$record$"),
        **{name: text_of("schema.sql").split(f"${name}$") for name in HELPERS},
    }
    return {name: parts[1] for name, parts in texts.items()}


def release_in(comment: str | None) -> int:
    """The release that a COMMENT names; 0 when it names none."""
    mark, _, rest = (comment or "").partition(" ")
    number = rest.partition(" ")[0]
    return int(number) if mark == "django_audit_fields" and number.isdecimal() else 0


def structure_sql(role: str) -> str:
    """Schema, table and functions, made or replaced; `role` is the one that runs `migrate`."""
    comment = quote_literal(release_comment())
    to = quote_identifier(role)
    parts = [
        text_of("schema.sql"),
        partition_sql(DEFAULT_PARTITION, "DEFAULT"),
        append_only_sql("event"),
        "",
        text_of("record.sql"),
        text_of("record_statement.sql"),
        text_of("seal.sql"),
        append_only_sql("seal"),
        *(f"COMMENT ON FUNCTION {SCHEMA}.{name}() IS {comment};" for name in RECORDERS),
        "-- Last: whoever reads it finds all of the above.",
        f"COMMENT ON SCHEMA {SCHEMA} IS {comment};",
        "",
        "-- The role that runs `migrate` makes triggers, which call the functions.",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {to};",
        f"GRANT SELECT ON {SCHEMA}.event, {SCHEMA}.seal TO {to};",
        *(f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{name}() TO {to};" for name in RECORDERS),
        *(f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{name} TO {to};" for name in SEAL_FUNCTIONS),
        "",
    ]
    return "\n".join(parts)


def append_only_sql(table: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {quote_identifier(APPEND_ONLY)}"
        f" BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}.{quote_identifier(table)}\n"
        f"    FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse();"
    )


def partition_sql(name: str, bounds: str) -> str:
    table = quote_identifier(name)
    return (
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{table} PARTITION OF {SCHEMA}.event {bounds};\n"
        f"REVOKE ALL ON {SCHEMA}.{table} FROM PUBLIC;\n"
        f"{append_only_sql(name)}"
    )


def year_bounds(year: int) -> str:
    return f"FOR VALUES FROM ('{year}-01-01 00:00:00+00') TO ('{year + 1}-01-01 00:00:00+00')"


def partitions_sql(years: Iterable[int]) -> str:
    return "".join(f"{partition_sql(f'event_{year}', year_bounds(year))}\n" for year in years)


def schema_sql(role: str, this_year: int) -> str:
    """All of it, for a database that has none."""
    years = range(this_year, this_year + YEARS_AHEAD + 1)
    return f"{structure_sql(role)}\n-- A year each.\n{partitions_sql(years)}"
