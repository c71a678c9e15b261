"""A statement is known by its text: what may write, what stands alone, what undoes."""

import pytest

from django_audit_fields.carrying.statements import LONGEST_CACHED_TEXT, read_statement


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1)",
        "\n\t update t set a = 1",
        "-- comment\n--another\r\nDELETE FROM t",
        "/* a /* b */ c */MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
        "((WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x))",
        ";; ;INSERT INTO t VALUES (1)",
        "call p()",
        "DO $$ BEGIN NULL; END $$",
        "COPY t FROM '/some/file'",
        "COPY t FROM PROGRAM 'cat stdin'",
        "COPY t (text, stdin) FROM PROGRAM 'cat'",
        "EXECUTE p(1)",
        "TRUNCATE t",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "explain (costs off, analyze) /* c */ update t set a = 1",
        "SELECT 1; INSERT INTO t VALUES (1)",
        "\ufeffINSERT INTO t VALUES (1)",
    ],
)
def test_what_may_write_is_told(text):
    """Behind comments, white space and parentheses, in any case of letters."""
    assert read_statement(text).writes


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "(select 1)",
        "SELECT 'INSERT INTO t'",
        "-- INSERT INTO t VALUES (1)",
        "/* INSERT INTO t",
        "EXPLAIN INSERT INTO t VALUES (1)",
        "EXPLAIN (ANALYZE) SELECT 1",
        "PREPARE p AS INSERT INTO t VALUES (1)",
        "COPY t FROM STDIN",
        "COPY (SELECT 1) TO STDOUT",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "VACUUM t",
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "INSERTION",
        "",
        ";",
    ],
)
def test_what_does_not_write_is_told(text):
    """Also what only mentions a write."""
    assert not read_statement(text).writes


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1);",
        "INSERT INTO t VALUES (1) ; -- done; really",
        "INSERT INTO t VALUES (';'';')",
        r"INSERT INTO t VALUES (E'\';')",
        'INSERT INTO "a;b" VALUES (1)',
        "INSERT INTO t VALUES ($$;$$, $a$;$b$;$a$)",
        "INSERT INTO t /* ; /* ; */ ; */ VALUES (1)",
        "DO $do$ BEGIN INSERT INTO t VALUES (';'); COMMIT; END $do$",
        r"INSERT INTO t VALUES ('\'); -- '",
    ],
)
def test_single_statement_is_told_from_several(text):
    """A semicolon in quotes, comments and bodies separates nothing."""
    assert read_statement(text).is_pipelinable


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
        r"INSERT INTO t VALUES ('\'); DELETE FROM t",
        "INSERT INTO a$b$ VALUES (1); INSERT INTO a$b$ VALUES (2)",
        "INSERT INTO t SELECT fee'x;'; DELETE FROM t",
        "/* ; */ SELECT 1; DELETE FROM t",
    ],
)
def test_several_statements_are_told_from_one(text):
    """libpq cannot send them in a pipeline."""
    assert not read_statement(text).is_pipelinable


def test_backslash_may_escape_where_the_server_says_so():
    """With standard_conforming_strings off, what cannot be told apart counts as several."""
    text = r"INSERT INTO t VALUES ('\'); SELECT 1; --')"
    assert not read_statement(text, standard_strings=False).is_pipelinable


@pytest.mark.parametrize(
    "text",
    ["BEGIN; INSERT INTO t VALUES (1); COMMIT", "SELECT 1; VACUUM t", "ROLLBACK", "DISCARD ALL"],
)
def test_what_has_its_own_idea_of_transactions_gets_none(text):
    """It runs as it stands."""
    assert not read_statement(text).may_be_wrapped


@pytest.mark.parametrize(
    "text",
    [
        "rollback to savepoint s",
        "/* x */ ROLLBACK",
        "SELECT 1; ROLLBACK TO s",
        "RESET ALL",
        "COMMIT AND CHAIN",
    ],
)
def test_what_may_undo_a_setting_is_told(text):
    """After it the transaction may hold what it held before."""
    assert read_statement(text).may_undo


@pytest.mark.parametrize(
    "text",
    [
        'SET LOCAL app."current_user" TO 1',
        'set "app"."current_user" = 1',
        "SELECT pg_catalog.set_config('app.current_user', 'x', true)",
        "SELECT 1; SELECT Set_Config ( 'App.Current_User', 'x', true)",
    ],
)
def test_variable_that_is_set_by_name_is_told(text):
    """In every way to write the name."""
    assert read_statement(text).sets == {"app.current_user"}


def test_other_variables_are_told_apart():
    """`SET search_path` is nobody's concern."""
    assert read_statement("SET search_path TO x").sets == {"search_path"}
    assert read_statement("SET TIME ZONE 'UTC'").sets == frozenset()


def test_long_text_is_read_as_a_short_one():
    """What is too long to be remembered is read all the same."""
    text = "INSERT INTO t VALUES " + ", ".join(["(%s)"] * LONGEST_CACHED_TEXT)
    assert read_statement(text).writes
    assert read_statement(text).is_pipelinable


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (how text DEFAULT 'concurrently'); INSERT INTO t VALUES (1)",
        "DISCARD TEMP; INSERT INTO t VALUES (1)",
        "RESET work_mem; INSERT INTO t VALUES (1)",
    ],
)
def test_what_runs_in_a_block_is_told(text):
    """Nothing in these strings needs to stand outside a transaction."""
    statement = read_statement(text)
    assert statement.writes
    assert statement.may_be_wrapped
    assert not statement.controls_transaction
    assert not statement.may_undo


def test_function_with_an_atomic_body_runs_as_it_stands():
    """Its END is taken for one of a transaction."""
    text = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"
    assert not read_statement(text).is_pipelinable
    assert not read_statement(text).may_be_wrapped


@pytest.mark.parametrize(
    ("text", "leaves_doubt"),
    [
        ("RESET work_mem", False),
        ("RESET ALL", True),
        ('RESET "app"."current_user"', True),
        ("SELECT current_setting('app.current_user')", False),
        ("SELECT set_config('app.current_user', 'x', true)", True),
        ("SELECT set_config('work_mem', '8MB', true), set_config(name, 'x', true) FROM t", True),
        ("EXECUTE prepared", True),
        ("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", True),
    ],
)
def test_what_may_change_the_variables_is_told(text, leaves_doubt):
    """What is in doubt goes with the next write again."""
    statement = read_statement(text)
    assert (statement.may_undo or statement.may_set) is leaves_doubt
