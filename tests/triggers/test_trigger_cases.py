"""The hard cases that the truth table does not show: upserts, neighbours, hostile paths."""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest
from django.db import IntegrityError, NotSupportedError, connection, transaction

from django_audit_fields.drift.catalog import differences
from django_audit_fields.operations import InstallAuditTriggers
from tests.triggers.audited_tables import (
    ROLE_TYPES,
    act_as,
    columns_sql,
    execute,
    install,
    make_table,
    people_of,
    row,
    stamps_of,
)

pytestmark = pytest.mark.django_db

LONG_AGO = dt.datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=dt.UTC)


@pytest.mark.parametrize("strict", [False, True])
def test_upsert_keeps_the_maker_and_names_the_changer(strict: bool) -> None:
    """INSERT … ON CONFLICT DO UPDATE fires both triggers; EXCLUDED has what the first stamped."""
    make_table("upserted")
    execute("ALTER TABLE upserted ADD PRIMARY KEY (id)")
    install("upserted", strict=strict)
    act_as("maker")
    execute("INSERT INTO upserted (id) VALUES (1)")
    made = stamps_of("upserted")
    act_as("changer")
    execute(
        "INSERT INTO upserted (id, body) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET "
        "body = EXCLUDED.body, created_by = EXCLUDED.created_by, created_at = EXCLUDED.created_at, "
        "updated_by = EXCLUDED.updated_by, updated_at = EXCLUDED.updated_at"
    )
    changed = stamps_of("upserted")
    assert (changed["created_at"], changed["created_by"]) == (made["created_at"], "maker")
    assert changed["updated_by"] == "changer"
    assert changed["updated_at"] > made["updated_at"]
    act_as(None)
    execute(
        "INSERT INTO upserted (id, body) VALUES (1, 'y') "
        "ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body"
    )
    assert people_of("upserted") == ("maker", "system")


def test_merge_stamps_what_it_inserts_and_what_it_updates() -> None:
    """MERGE fires the trigger of the event that it turns into."""
    if connection.pg_version < 150000:
        pytest.skip("PostgreSQL has MERGE from 15 on")
    make_table("merged")
    install("merged")
    act_as("maker")
    execute("INSERT INTO merged (id) VALUES (1)")
    act_as("merger")
    execute(
        "MERGE INTO merged USING (VALUES (1), (2)) AS source (id) ON merged.id = source.id "
        "WHEN MATCHED THEN UPDATE SET body = 'x', created_by = 'merger' "
        "WHEN NOT MATCHED THEN INSERT (id) VALUES (source.id)"
    )
    assert people_of("merged", 1) == ("maker", "merger")
    assert people_of("merged", 2) == ("merger", "merger")


def test_triggers_run_after_the_tables_other_triggers() -> None:
    """What another BEFORE trigger puts into the row is judged like the statement's own doing."""
    make_table("neighbours")
    install("neighbours")
    execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "NEW.created_by := CASE TG_OP WHEN 'INSERT' THEN '' ELSE 'meddler' END; "
        "NEW.updated_at := '1999-01-01'; RETURN NEW; END $$"
    )
    for name in ("zzz_meddle", "~meddle", "meddle"):
        execute(
            f'CREATE TRIGGER "{name}" BEFORE INSERT OR UPDATE ON neighbours '
            "FOR EACH ROW EXECUTE FUNCTION meddle()"
        )
    act_as("7")
    execute("INSERT INTO neighbours (id) VALUES (1)")
    assert people_of("neighbours") == ("7", "7")
    act_as("8")
    execute("UPDATE neighbours SET body = 'x', updated_by = 'given'")
    stamps = stamps_of("neighbours")
    assert (stamps["created_by"], stamps["updated_by"]) == ("7", "given")
    assert stamps["updated_at"].year > 1999, "put back by the neighbour, and so moved on"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("search_path", ["''", "hostile, pg_catalog", "pg_temp"])
def test_search_path_does_not_matter(search_path: str, strict: bool) -> None:
    """An empty search path, and one with liars in front of pg_catalog, stamp the same."""
    make_table("public.anywhere")
    install("public.anywhere", strict=strict)
    execute("CREATE SCHEMA hostile")
    execute(
        "CREATE FUNCTION hostile.current_setting(text, boolean) RETURNS text LANGUAGE sql "
        "AS $$ SELECT 'liar' $$"
    )
    execute(
        "CREATE FUNCTION hostile.statement_timestamp() RETURNS timestamptz LANGUAGE sql "
        "AS $$ SELECT '1999-01-01'::timestamptz $$"
    )
    for symbol in ("=", "<>"):
        execute(
            f"CREATE FUNCTION hostile.lie_{'eq' if symbol == '=' else 'ne'}(text, text) "
            "RETURNS boolean LANGUAGE sql AS $$ SELECT true $$"
        )
        execute(
            f"CREATE OPERATOR hostile.{symbol} (LEFTARG = text, RIGHTARG = text, "
            f"FUNCTION = hostile.lie_{'eq' if symbol == '=' else 'ne'})"
        )
    act_as("7")
    execute(f"SET LOCAL search_path TO {search_path}")
    execute("INSERT INTO public.anywhere (id) VALUES (1)")
    execute("UPDATE public.anywhere SET body = 'x'")
    stamps = stamps_of("public.anywhere")
    assert (stamps["created_by"], stamps["updated_by"]) == ("7", "7")
    assert stamps["created_at"].year > 2000


def test_now_is_the_statements_start() -> None:
    """Two changes in one transaction are told apart, and no row is older than its own creation."""
    make_table("clocked")
    install("clocked")
    execute("INSERT INTO clocked (id) VALUES (1)")
    execute("INSERT INTO clocked (id) VALUES (2), (3)")
    first, second, third = (stamps_of("clocked", key)["created_at"] for key in (1, 2, 3))
    assert first < second == third
    execute("UPDATE clocked SET body = 'x'")
    changed = [stamps_of("clocked", key)["updated_at"] for key in (1, 2, 3)]
    assert len(set(changed)) == 1
    assert changed[0] > second


def test_copy_is_stamped() -> None:
    """COPY leaves out, and carries empty, what the trigger fills; what it carries is kept."""
    make_table("copied")
    install("copied")
    act_as("importer")
    with connection.cursor() as cursor:
        with cursor.copy("COPY copied (id) FROM STDIN") as copy:
            copy.write_row([1])
        with cursor.copy("COPY copied (id, created_at, created_by, updated_by) FROM STDIN") as copy:
            copy.write_row([2, LONG_AGO, "", "given"])
    assert people_of("copied", 1) == ("importer", "importer")
    assert stamps_of("copied", 2) == {
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "created_by": "importer",
        "updated_by": "given",
    }


def test_strict_lets_nobody_write_in_anothers_name() -> None:
    """INSERT and UPDATE that carry another label are corrected; under preserve they are kept."""
    make_table("strictly")
    install("strictly", strict=True)
    act_as("7")
    execute("INSERT INTO strictly (id, created_by, updated_by) VALUES (1, 'other', 'another')")
    assert people_of("strictly") == ("7", "7")
    execute("UPDATE strictly SET updated_by = 'other', created_by = 'other'")
    assert people_of("strictly") == ("7", "7")
    execute("UPDATE strictly SET updated_by = 'other', updated_at = '2999-01-01'")
    assert people_of("strictly") == ("7", "7")
    complete = "created_at, updated_at, created_by, updated_by) VALUES (3, '2020-1-1', '2020-1-1'"
    for created_by, updated_by in (("7", "other"), ("other", "7"), ("other", "other")):
        execute(f"INSERT INTO strictly (id, {complete}, '{created_by}', '{updated_by}')")
        assert people_of("strictly", 3) == ("7", "7")
        execute("DELETE FROM strictly WHERE id = 3")
    act_as("7", preserve=True)
    execute("INSERT INTO strictly (id, created_by, updated_by) VALUES (2, 'other', 'another')")
    execute("UPDATE strictly SET created_by = 'restored' WHERE id = 1")
    assert people_of("strictly", 2) == ("other", "another")
    assert people_of("strictly", 1) == ("restored", "7")
    act_as(None)
    execute("UPDATE strictly SET updated_by = 'given' WHERE id = 2")
    assert people_of("strictly", 2) == ("other", "given")


def test_session_user_mode_names_the_role_that_logged_in() -> None:
    """SET ROLE does not hide who logged in; a label set by the application still wins."""
    make_table("visited")
    install("visited", nobody="session_user")
    (login,) = row("SELECT session_user::text")
    execute("CREATE ROLE somebody_else")
    execute("GRANT ALL ON visited TO somebody_else")
    execute("SET LOCAL ROLE somebody_else")
    execute("INSERT INTO visited (id) VALUES (1)")
    assert people_of("visited") == (login, login)
    act_as("7")
    execute("UPDATE visited SET body = 'x'")
    assert people_of("visited") == (login, "7")


def refusal_of(sql: str) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        execute(sql)
    return caught.value


def test_refuse_turns_away_only_what_it_would_have_to_stamp() -> None:
    """Nobody acting: a complete row gets in, an incomplete one raises, the transaction goes on."""
    make_table("guarded")
    install("guarded", nobody="refuse")
    act_as(None)
    complete = "VALUES (1, '2020-01-01', '2020-01-01', 'dump', 'dump')"
    execute(f"INSERT INTO guarded (id, created_at, updated_at, created_by, updated_by) {complete}")
    assert people_of("guarded") == ("dump", "dump")
    for refused in (
        "INSERT INTO guarded (id) VALUES (2)",
        "INSERT INTO guarded (id, created_by) VALUES (2, 'x')",
        "INSERT INTO guarded (id, created_by, updated_by) VALUES (2, 'x', '')",
        "UPDATE guarded SET body = 'x'",
        "UPDATE guarded SET updated_by = 'dump'",
    ):
        error = refusal_of(refused)
        assert "Nobody is acting" in str(error)
        assert "public.guarded" in str(error)
        assert isinstance(error.__cause__, psycopg.errors.IntegrityConstraintViolation)
    execute("UPDATE guarded SET body = 'x', updated_by = 'named'")
    assert people_of("guarded") == ("dump", "named")
    act_as(None, preserve=True)
    execute("UPDATE guarded SET body = 'y'")
    assert people_of("guarded") == ("dump", "named")
    refusal_of("INSERT INTO guarded (id) VALUES (2)")
    act_as("7")
    execute("INSERT INTO guarded (id) VALUES (2)")
    assert people_of("guarded", 2) == ("7", "7")


@pytest.mark.parametrize("strict", [False, True])
def test_a_row_that_misses_nothing_never_runs_plpgsql(strict: bool) -> None:
    """WHEN keeps complete rows from the function, also when the same actor changes them again."""
    make_table("complete")
    install("complete", strict=strict)
    execute(
        "CREATE OR REPLACE FUNCTION audit_fields_stamp() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE 'ran'; END $$"
    )
    act_as("7")
    execute(
        "INSERT INTO complete (id, created_at, updated_at, created_by, updated_by) "
        "VALUES (1, '2020-01-01', '2020-01-01', '7', '7')"
    )
    execute("UPDATE complete SET updated_at = '2020-01-02', updated_by = '7'")
    if not strict:
        execute("UPDATE complete SET updated_at = '2020-01-03', updated_by = '8'")
    with pytest.raises(Exception, match="ran"), transaction.atomic():
        execute("INSERT INTO complete (id) VALUES (2)")
    with pytest.raises(Exception, match="ran"), transaction.atomic():
        execute("UPDATE complete SET body = 'x'")
    with pytest.raises(Exception, match="ran"), transaction.atomic():
        execute("UPDATE complete SET updated_at = '2030-01-01', updated_by = '9', created_by = 'x'")


def test_a_label_that_does_not_fit_fails_the_write() -> None:
    """A narrow column raises PostgreSQL's own error; nothing is cut short."""
    make_table("narrow", types={**ROLE_TYPES, "created_by": "varchar(3)"})
    install("narrow")
    act_as("much too long")
    with (
        pytest.raises(Exception, match="too long for type character varying"),
        transaction.atomic(),
    ):
        execute("INSERT INTO narrow (id) VALUES (1)")
    act_as("fit")
    execute("INSERT INTO narrow (id) VALUES (1)")
    assert people_of("narrow") == ("fit", "fit")


@pytest.fixture
def loose_collations() -> list[str]:
    """One that takes letter case, and one that takes accents and the invisible, for nothing."""
    made = []
    for name, strength in (("caseless", "level2"), ("shapeless", "level1")):
        try:
            with transaction.atomic():
                execute(
                    f"CREATE COLLATION {name} "
                    f"(provider = icu, locale = 'und-u-ks-{strength}', deterministic = false)"
                )
        except NotSupportedError:  # a server built without ICU
            return []
        made.append(name)
    return made


def label_types(loose_collations: list[str]) -> list[tuple[str, str]]:
    """Types of the two label columns: each kind of text, and two that differ in collation."""
    if row("SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'") == (1,):
        execute("CREATE EXTENSION IF NOT EXISTS citext")
    else:  # a server built without contrib
        execute("CREATE DOMAIN citext AS text")
    execute("CREATE DOMAIN label AS text CHECK (length(VALUE) < 50)")
    kinds = ["citext", "char(10)", "label", "text", "name", 'varchar(50) COLLATE "C"']
    pairs = [('text COLLATE "POSIX"', 'citext COLLATE "C"'), ("text", 'label COLLATE "C"')]
    for loose in loose_collations:
        kinds += [f"varchar(50) COLLATE {loose}", f"citext COLLATE {loose}"]
        kinds += [f"char(10) COLLATE {loose}"]
        pairs += [("text", f"text COLLATE {loose}"), (f"text COLLATE {loose}", "citext")]
    return [*((kind, kind) for kind in kinds), *pairs]


@pytest.mark.parametrize("strict", [False, True])
def test_labels_are_compared_as_text(loose_collations: list[str], strict: bool) -> None:
    """citext, char(n), domains, any collation: a label of other letters is another label."""
    for number, (creator, updater) in enumerate(label_types(loose_collations)):
        table = f"typed_{number}"
        make_table(table, types={**ROLE_TYPES, "created_by": creator, "updated_by": updater})
        install(table, strict=strict)
        stored = f"SELECT trim(created_by::text), trim(updated_by::text) FROM {table} WHERE id = %s"
        act_as("bob")
        execute(f"INSERT INTO {table} (id) VALUES (1)")
        execute(
            f"INSERT INTO {table} (id, created_at, updated_at, created_by, updated_by) "
            "VALUES (2, '2020-01-01', '2020-01-01', 'BOB', 'Bob')"
        )
        assert row(stored, [2]) == (("bob", "bob") if strict else ("BOB", "Bob")), creator
        execute(
            f"UPDATE {table} SET created_by = 'BOB', updated_by = 'BOB', updated_at = '2999-1-1'"
        )
        assert row(stored, [1]) == ("bob", "bob" if strict else "BOB"), creator
        act_as("Bob")
        execute(f"UPDATE {table} SET updated_by = 'bob', updated_at = '2999-1-2' WHERE id = 1")
        assert row(stored, [1]) == ("bob", "Bob" if strict else "bob"), creator


def test_a_label_that_a_collation_ignores_is_not_empty(loose_collations: list[str]) -> None:
    """What ICU takes for equal to nothing is a label all the same, and kept."""
    if not loose_collations:
        pytest.skip("this server knows no ICU collations")
    types = dict.fromkeys(("created_by", "updated_by"), f"text COLLATE {loose_collations[1]}")
    make_table("ignored", types={**ROLE_TYPES, **types})
    install("ignored")
    invisible = "\u200b"
    execute("INSERT INTO ignored (id, created_by, updated_by) VALUES (1, %s, 'x')", [invisible])
    assert people_of("ignored") == (invisible, "x")
    execute("UPDATE ignored SET updated_by = %s", [invisible])
    assert people_of("ignored") == (invisible, invisible)


def test_two_collations_make_no_difference() -> None:
    """What PostgreSQL prints of a strict condition over them is what was written."""
    make_table("legacy", types={"maker": 'text COLLATE "POSIX"', "changer": 'text COLLATE "C"'})
    operation = InstallAuditTriggers(
        "legacy",
        created_at=None,
        updated_at=None,
        created_by="maker",
        updated_by="changer",
        strict=True,
    )
    with connection.schema_editor() as editor:
        operation.database_forwards("triggersapp", editor, None, None)
    assert differences(connection) == []
    execute("SET LOCAL search_path TO pg_catalog")
    assert differences(connection) == []
    act_as("bob")
    execute("INSERT INTO public.legacy (id, maker, changer) VALUES (1, 'BOB', 'Bob')")
    assert row("SELECT maker, changer FROM public.legacy") == ("bob", "bob")


def test_generated_columns_and_a_column_named_strict_do_no_harm() -> None:
    """The function names no column but those it fills."""
    execute(
        'CREATE TABLE peculiar (id int, "strict" int, label int, actor int, new text, old text, '
        f"twice int GENERATED ALWAYS AS (id * 2) STORED, {columns_sql()})"
    )
    install("peculiar", strict=True)
    act_as("7")
    execute('INSERT INTO peculiar (id, "strict", label, actor) VALUES (1, 2, 3, 4)')
    execute('UPDATE peculiar SET id = 5, "strict" = 6')
    assert row('SELECT twice, "strict", label, actor, created_by, updated_by FROM peculiar') == (
        10,
        6,
        3,
        4,
        "7",
        "7",
    )


@pytest.mark.parametrize("kind", ["timestamp", "timestamp(0)"])
def test_times_without_a_zone_keep_the_hour_that_the_clocks_leave_out(kind: str) -> None:
    """A local time that there is not, one to come: kept to the second, and equal in a new row."""
    make_table("local", types={**ROLE_TYPES, "created_at": kind, "updated_at": kind})
    install("local")
    execute("SET LOCAL TIME ZONE 'Europe/Berlin'")
    skipped = dt.datetime(2036, 3, 30, 2, 30)  # without a zone is the point
    execute("INSERT INTO local (id, created_at) VALUES (1, %s)", [skipped])
    assert stamps_of("local")["updated_at"] == skipped
    execute("UPDATE local SET body = 'x'")
    assert stamps_of("local")["updated_at"] == skipped
    execute("UPDATE local SET created_at = created_at - interval '1 day', updated_at = NULL")
    assert stamps_of("local")["created_at"] == stamps_of("local")["updated_at"] == skipped


def test_times_without_a_zone_are_the_sessions_own() -> None:
    """`now` in such a column is what the session's clock shows."""
    make_table("local", types={**ROLE_TYPES, "created_at": "timestamp", "updated_at": "timestamp"})
    install("local")
    for key, zone in ((1, "UTC"), (2, "Asia/Tokyo")):
        execute(f"SET LOCAL TIME ZONE '{zone}'")
        execute("INSERT INTO local (id) VALUES (%s)", [key])
        local_time, difference = row(
            "SELECT now()::timestamp, created_at - now()::timestamp FROM local WHERE id = %s", [key]
        )
        assert abs(difference) < dt.timedelta(minutes=5), local_time
        assert stamps_of("local", key)["updated_at"] == stamps_of("local", key)["created_at"]
