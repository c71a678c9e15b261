"""What the triggers do to rows, written and read back by plain SQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_audit_fields.triggers.quoting import quote_identifier
from django_audit_fields.triggers.rules import LABEL_ROLES, ROLES, TIME_ROLES, Stamping
from tests.triggers.audited_tables import install_sql_of

EARLIER = datetime(2020, 1, 1, tzinfo=UTC)
LATER = EARLIER + timedelta(seconds=1)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)
#: What a statement that leaves the column out finds in the row.
UNCHANGED = "(unchanged)"

Row = dict[str, Any]


def oracle(
    old: Row | None, new: Row, *, actor: str | None, preserve: str | None, mode: Stamping, now: Any
) -> Row | type[Exception]:
    """The truth table of the contract, in Python. `old` is None for an INSERT."""
    actor = actor or None
    if actor is None and mode.nobody == "session_user":
        label: str | None = "SESSION"
    elif actor is None and mode.nobody == "refuse":
        label = None
    else:
        label = actor or mode.fallback
    preserving = preserve == "on"
    strict = mode.strict and actor is not None and not preserving
    row = dict(new)
    stamped = False

    def is_missing(value: str | None) -> bool:
        return value is None or (value == "" and not preserving)

    if old is None:
        if "created_at" in row and row["created_at"] is None:
            row["created_at"] = now
        if "updated_at" in row and row["updated_at"] is None:
            row["updated_at"] = row.get("created_at", now)
        for role in LABEL_ROLES:
            if role in row and (strict or is_missing(row[role])):
                row[role], stamped = label, True
    elif preserving:
        row = {role: old[role] if value is None else value for role, value in row.items()}
    else:
        for role in ("created_at", "created_by"):
            if role in row and old[role] is not None:
                row[role] = old[role]
        if "updated_at" in row:
            before, after = old["updated_at"], row["updated_at"]
            if after is None or (before is not None and after <= before):
                row["updated_at"] = now if before is None else max(now, before)
        if "updated_by" in row and (
            strict or not row["updated_by"] or row["updated_by"] == old["updated_by"]
        ):
            row["updated_by"], stamped = label, True
    return psycopg.errors.IntegrityConstraintViolation if stamped and label is None else row


COLUMNS_BY_PAIR = {
    "both": ROLES,
    "labels": LABEL_ROLES,
    "times": TIME_ROLES,
    "three": ("created_at", "created_by", "updated_by"),
}
MODES = {
    (pair, strict, nobody): Stamping.of(
        {role: role for role in roles}, strict=strict, nobody=nobody
    )
    for pair, roles in COLUMNS_BY_PAIR.items()
    for strict in (False, True)
    for nobody in ("fallback", "session_user", "refuse")
}

times = st.sampled_from([None, EARLIER, LATER, FUTURE])
labels = st.sampled_from([None, "", "7", "42", "o'brien \\ %s"])
values = {role: times if role in TIME_ROLES else labels for role in ROLES}
#: Complete ones are what WHEN keeps from the function, and rare among rows made of any values.
complete_times = st.sampled_from([EARLIER, LATER, FUTURE])
complete_labels = st.sampled_from(["7", "42", "system"])
complete = {role: complete_times if role in TIME_ROLES else complete_labels for role in ROLES}
rows = st.fixed_dictionaries(values) | st.fixed_dictionaries(complete)
changes = st.fixed_dictionaries(
    {role: st.just(UNCHANGED) | strategy for role, strategy in values.items()}
) | st.fixed_dictionaries(
    {
        "created_at": st.just(UNCHANGED),
        "created_by": st.just(UNCHANGED) | complete_labels,
        "updated_at": st.just(FUTURE),
        "updated_by": complete_labels,
    }
)


#: A table without partitions, one whose row is changed where it is, one whose row moves.
PLACES = ("plain", "stays", "moves")


def table_name(key: tuple[str, bool, str], place: str) -> str:
    return " ".join(["plain" if place == "plain" else "parted", *map(str, key)])


@pytest.fixture(scope="module")
def plain_connection(
    django_db_setup: None, django_db_blocker: Any
) -> Iterator[psycopg.Connection[Any]]:
    """A connection that knows nothing of Django, with a table for each mode; rolled back after."""
    parameters = connection.get_connection_params()
    for name in ("context", "cursor_factory"):
        parameters.pop(name, None)
    with psycopg.connect(**parameters) as plain:
        plain.execute("SET TIME ZONE 'UTC'")
        plain.execute("CREATE SCHEMA plain_triggers")
        plain.execute("SET search_path TO plain_triggers")
        for (key, mode), place in itertools.product(MODES.items(), ("plain", "moves")):
            name = table_name(key, place)
            quoted = quote_identifier(name)
            columns = ", ".join(
                f"{role} {'timestamptz' if role in TIME_ROLES else 'varchar(50)'}"
                for role in mode.roles
            )
            suffix = "" if place == "plain" else "PARTITION BY LIST (id)"
            plain.execute(f"CREATE TABLE {quoted} (id int, {columns}) {suffix}")
            for number in (1, 2) if suffix else ():
                partition = quote_identifier(f"{name} {number}")
                plain.execute(
                    f"CREATE TABLE {partition} PARTITION OF {quoted} FOR VALUES IN ({number})"
                )
            plain.execute(install_sql_of(quoted, mode, plain))
        yield plain
        plain.rollback()


def read_row(plain: psycopg.Connection[Any], query: str, parameters: Any) -> tuple[Any, ...] | None:
    return plain.execute(query, parameters).fetchone()


@given(
    key=st.sampled_from(sorted(MODES)),
    place=st.sampled_from(PLACES),
    old=st.none() | rows,
    new=rows,
    changed=changes,
    actor=st.sampled_from([None, "", "7", "99"]),
    preserve=st.sampled_from([None, "", "on", "off"]),
)
@example(
    key=("both", True, "fallback"),
    place="moves",
    old=dict.fromkeys(ROLES),
    new=dict.fromkeys(ROLES),
    changed=dict.fromkeys(ROLES, UNCHANGED),
    actor="7",
    preserve=None,
)
@settings(
    max_examples=3000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_row_ends_as_the_truth_table_says(
    plain_connection: psycopg.Connection[Any],
    key: tuple[str, bool, str],
    place: str,
    old: Row | None,
    new: Row,
    changed: Row,
    actor: str | None,
    preserve: str | None,
) -> None:
    """Old row x new row x variables x mode: PostgreSQL stores what the contract's table says.

    Also in a partitioned table, and in the row that an UPDATE moves to another partition.
    """
    plain, mode, quoted = plain_connection, MODES[key], quote_identifier(table_name(key, place))
    roles = mode.roles
    with plain.transaction(force_rollback=True):
        if old is not None:
            plain.execute("SET LOCAL session_replication_role TO replica")
            plain.execute(
                f"INSERT INTO {quoted} VALUES (1, {', '.join('%s' for _ in roles)})",
                [old[role] for role in roles],
            )
            plain.execute("SET LOCAL session_replication_role TO origin")
        for name, value in (("app.current_user", actor), ("app.audit_preserve", preserve)):
            if value is not None:
                plain.execute("SELECT set_config(%s, %s, true)", [name, value])
        if old is None:
            given_row = {role: new[role] for role in roles}
            statement = f"INSERT INTO {quoted} VALUES (1, {', '.join('%s' for _ in roles)})"
            parameters = list(given_row.values())
        else:
            named = {role: changed[role] for role in roles if changed[role] != UNCHANGED}
            given_row = {role: named.get(role, old[role]) for role in roles}
            assignments = ", ".join(
                [
                    "id = 2" if place == "moves" else "id = 1",
                    *(f"{role} = %s" for role in named),
                ]
            )
            statement = f"UPDATE {quoted} SET {assignments}"
            parameters = list(named.values())
        statement += f" RETURNING statement_timestamp(), session_user::text, {', '.join(roles)}"
        try:
            stored = read_row(plain, statement, parameters)
        except psycopg.errors.IntegrityConstraintViolation:
            stored = None
        now, role_name = (stored[0], stored[1]) if stored else (FUTURE, "")
        expected = oracle(
            None if old is None else {role: old[role] for role in roles},
            given_row,
            actor=actor,
            preserve=preserve,
            mode=mode,
            now=now,
        )
        if stored is None:
            assert expected is psycopg.errors.IntegrityConstraintViolation
        else:
            assert isinstance(expected, dict)
            assert dict(zip(roles, stored[2:], strict=True)) == {
                role: role_name if value == "SESSION" else value for role, value in expected.items()
            }
