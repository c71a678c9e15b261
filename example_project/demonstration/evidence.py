"""What is in the rows, read past Django; and what was in them on their way in.

A witness trigger, named to fire before the package's, notes each row as its statement brought it.
Compared with what was stored it tells which layer wrote a stamp: no claim is taken on trust.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

#: The four columns, as each table calls them.
LEDGER, LEGACY = "invoices_arsubledger", "legacy_charge"
KEYS = {LEDGER: "entry_number", LEGACY: "charge_code"}
COLUMNS: dict[str, dict[str, str]] = {
    LEDGER: {name: name for name in ("created_by", "updated_by", "created_at", "updated_at")},
    LEGACY: {
        "created_by": "entered_by",
        "updated_by": "changed_by",
        "created_at": "entered_on",
        "updated_at": "changed_on",
    },
}

# BEFORE triggers fire in the order of their names, and capitals come first.
WITNESS = """
CREATE TABLE demo_witness (
    number bigint GENERATED ALWAYS AS IDENTITY,
    of_table text, key text, operation text, arrived jsonb
);
CREATE FUNCTION demo_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO demo_witness (of_table, key, operation, arrived)
    VALUES (TG_TABLE_NAME, to_jsonb(NEW) ->> TG_ARGV[0], TG_OP, to_jsonb(NEW));
    RETURN NEW;
END $$;
CREATE TRIGGER "AAA_witness" BEFORE INSERT OR UPDATE ON invoices_arsubledger
    FOR EACH ROW EXECUTE FUNCTION demo_witness('entry_number');
CREATE TRIGGER "AAA_witness" BEFORE INSERT OR UPDATE ON legacy_charge
    FOR EACH ROW EXECUTE FUNCTION demo_witness('charge_code');
"""
REMOVE_WITNESS = """
DROP FUNCTION IF EXISTS demo_witness() CASCADE;
DROP TABLE IF EXISTS demo_witness;
"""


@dataclasses.dataclass(frozen=True)
class Stamp:
    created_by: str | None
    updated_by: str | None
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The rows of one way of writing: as stored, and as they arrived the last time."""

    stored: Mapping[str, Stamp]
    arrived: Mapping[str, tuple[str, Stamp]]


class Archive:
    """Reads rows through a connection of its own that has never heard of Django."""

    def __init__(self, dsn: str, password: str | None) -> None:
        self.connection = psycopg.connect(
            dsn, password=password, autocommit=True, row_factory=dict_row
        )
        self.connection.execute("SET TimeZone TO 'UTC'")

    def close(self) -> None:
        self.connection.close()

    def install_witness(self) -> None:
        self.connection.execute(REMOVE_WITNESS)
        self.connection.execute(WITNESS)

    def remove_witness(self) -> None:
        self.connection.execute(REMOVE_WITNESS)

    def disable_triggers(self) -> None:
        for table in COLUMNS:
            self.connection.execute(
                sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table))
            )

    def enable_triggers(self) -> None:
        for table in COLUMNS:
            self.connection.execute(
                sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table))
            )

    def now(self) -> datetime.datetime:
        row = self.connection.execute("SELECT clock_timestamp() AS now").fetchone()
        assert row is not None
        now: datetime.datetime = row["now"]
        return now

    def stamps(self, table: str, keys: Iterable[str]) -> dict[str, Stamp]:
        columns = [
            sql.SQL("{} AS {}").format(sql.Identifier(theirs), sql.Identifier(ours))
            for ours, theirs in COLUMNS[table].items()
        ]
        query = sql.SQL(
            "SELECT {key}::text AS key, {columns} FROM {table} WHERE {key}::text = ANY(%s)"
        )
        rows = self.connection.execute(
            query.format(
                key=sql.Identifier(KEYS[table]),
                columns=sql.SQL(", ").join(columns),
                table=sql.Identifier(table),
            ),
            [list(keys)],
        )
        return {row.pop("key"): Stamp(**row) for row in rows}

    def evidence(self, table: str, keys: Iterable[str]) -> Evidence:
        keys = list(keys)
        # `jsonb_populate_record` gives the columns their types back.
        columns = [
            sql.SQL("(jsonb_populate_record(NULL::{}, arrived)).{} AS {}").format(
                sql.Identifier(table), sql.Identifier(theirs), sql.Identifier(ours)
            )
            for ours, theirs in COLUMNS[table].items()
        ]
        query = sql.SQL(
            "SELECT DISTINCT ON (key) key, operation, {} FROM demo_witness"
            " WHERE of_table = %s AND key = ANY(%s) ORDER BY key, number DESC"
        )
        arrived = {}
        for row in self.connection.execute(
            query.format(sql.SQL(", ").join(columns)), [table, keys]
        ):
            key, operation = row.pop("key"), row.pop("operation")
            arrived[key] = (operation, Stamp(**row))
        return Evidence(self.stamps(table, keys), arrived)

    def keys_where(self, table: str, condition: str, parameters: Any) -> list[str]:
        query = sql.SQL("SELECT {}::text AS key FROM {} WHERE " + condition).format(
            sql.Identifier(KEYS[table]), sql.Identifier(table)
        )
        return [row["key"] for row in self.connection.execute(query, parameters)]


def stamping_layer(operation: str, arrived: Stamp, stored: Stamp, *, python: str | None) -> str:
    """Which layer wrote what an INSERT or UPDATE has to stamp.

    `python`: what filled the names in Django, None for a statement that named none of the columns.
    """
    names, times = ["updated_by"], ["updated_at"]
    if operation == "INSERT":
        names, times = ["created_by", *names], ["created_at", *times]

    def is_changed(columns: list[str]) -> bool:
        return any(getattr(arrived, column) != getattr(stored, column) for column in columns)

    if python is not None:
        layers = ["3 trigger" if is_changed(times) else "1 model"]
        layers.append("3 trigger" if is_changed(names) else python)
    elif operation == "INSERT":
        layers = ["3 trigger" if is_changed(names + times) else "3 default"]
    else:
        # The columns arrive as they were, and the trigger says what they are now.
        layers = ["3 trigger"]
    return " + ".join(dict.fromkeys(layers))
