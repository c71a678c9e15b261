"""The threat model of docs/explanation/tampering.md, each row tried by the role that it names."""

import io
import re
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections
from django.test import override_settings
from psycopg import errors

from django_audit_fields.checks import check_trail_databases
from django_audit_fields.trail import is_hardened, trail_differences, verify, verify_tables
from tests.own_server import PORT, own_server

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="The trail is PostgreSQL's."
)

ALIAS = "threats"
INSERT = "INSERT INTO trailapp_invoice (number, amount) VALUES ('x', 1)"
FORGE = (
    "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name, row_key, actor,"
    " db_role, transaction_id, after) VALUES (now(), 'insert', 'public', 'trailapp_invoice', '7',"
    " 'somebody else', 'app', pg_current_xact_id()::text::bigint, '{}')"
)
ROLES = ["--owner", "trail_owner", "--writer", "trail_writer"]
GUARD = 'ALTER TABLE audit_trail.event_{year} {state} TRIGGER "!append_only"'
TRIGGER = 'ALTER TABLE trailapp_invoice {state} TRIGGER "!audit_trail"'
GRANTS = """
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
"""


def output_of(*arguments):
    text = io.StringIO()
    call_command("audit_trail", *arguments, database=ALIAS, stdout=text, stderr=io.StringIO())
    return text.getvalue()


class World:
    """A database of its own in one of the two modes, and sessions of each role."""

    def __init__(self, server, name, mode="plain"):
        self.server = server
        self.name = name
        self.mode = mode

    def session(self, role):
        return psycopg.connect(
            host=str(self.server.folder), port=PORT, user=role, dbname=self.name, autocommit=True
        )

    def run(self, role, *statements):
        with self.session(role) as session:
            for statement in statements:
                session.execute(statement)

    def ask(self, sql):
        with self.session("postgres") as session:
            return session.execute(sql).fetchall()

    @property
    def year(self):
        return self.ask("SELECT extract(year FROM now() AT TIME ZONE 'UTC')::int")[0][0]

    def guard(self, state):
        return GUARD.format(year=self.year, state=state)

    def edit(self, role, sql="UPDATE audit_trail.event_{year} SET actor = 'another'"):
        """With the guard off: what only the owner may."""
        year = self.year
        self.run(role, self.guard("DISABLE"), sql.format(year=year), self.guard("ENABLE"))

    def seal(self):
        with self.session("postgres") as session:
            return session.execute(
                "SELECT number || ':' || encode(digest, 'hex') FROM audit_trail.seal()"
            ).fetchone()[0]

    def findings(self, **options):
        with self.alias() as using:
            return [str(finding) for finding in verify(using, **options)]

    def alias(self, role="migrator"):
        return Alias(self, role)


class Alias:
    """A connection of Django's."""

    def __init__(self, world, role):
        self.settings = world.server.django_settings(world.name, USER=role)

    def __enter__(self):
        connections.settings[ALIAS] = {**connections.settings["default"], **self.settings}
        return connections[ALIAS]

    def __exit__(self, *exception):
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker):
    with own_server() as server, django_db_blocker.unblock():
        with server.connect() as dba:
            dba.execute("CREATE ROLE migrator LOGIN CREATEROLE")
            dba.execute("CREATE ROLE app LOGIN")
            dba.execute("CREATE DATABASE plain OWNER migrator")
        plain = World(server, "plain")
        with plain.alias():
            call_command("migrate", database=ALIAS, verbosity=0)
        plain.run("migrator", GRANTS)
        plain.run("app", INSERT, INSERT, INSERT)
        with server.connect() as dba:
            dba.execute("CREATE DATABASE hardened TEMPLATE plain OWNER migrator")
        hardened = World(server, "hardened")
        with hardened.alias():
            output_of("harden", *ROLES)
        for world in (plain, hardened):
            world.seal()
        yield server


@pytest.fixture(params=["plain", "hardened"])
def world(request, server, django_db_blocker):
    yield from copy_of(request.param, server, django_db_blocker)


@pytest.fixture
def plain(server, django_db_blocker):
    yield from copy_of("plain", server, django_db_blocker)


@pytest.fixture
def hardened(server, django_db_blocker):
    yield from copy_of("hardened", server, django_db_blocker)


def copy_of(name, server, django_db_blocker):
    with server.connect() as dba:
        dba.execute(f"CREATE DATABASE tried TEMPLATE {name} OWNER migrator")
    with django_db_blocker.unblock():
        yield World(server, "tried", name)
    with server.connect() as dba:
        dba.execute("DROP DATABASE tried WITH (FORCE)")


CHANGES = [
    "UPDATE audit_trail.event SET actor = 'another'",
    "DELETE FROM audit_trail.event",
    "TRUNCATE audit_trail.event",
    "UPDATE audit_trail.seal SET events = 0",
    "DELETE FROM audit_trail.seal",
]


@pytest.mark.parametrize("role", ["app", "migrator"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_application_cannot_change_what_is_recorded(world, role, change):
    with pytest.raises(errors.InsufficientPrivilege):
        world.run(role, change)
    assert world.findings() == []


def test_an_application_that_forges_an_event(world):
    """Its role may not; in default mode the owner of the schema may, and nothing tells."""
    with pytest.raises(errors.InsufficientPrivilege):
        world.run("app", FORGE)
    if world.mode == "hardened":
        with pytest.raises(errors.InsufficientPrivilege):
            world.run("migrator", FORGE)
    else:
        world.run("migrator", FORGE)
        assert world.findings() == []


def test_an_application_that_names_another_actor(world):
    """It is believed; the session that it came from stands beside the name."""
    with world.session("app") as app:
        app.execute("SELECT set_config('app.current_user', 'somebody else', false)")
        app.execute(INSERT)
    assert world.ask("SELECT actor, db_role FROM audit_trail.event ORDER BY id DESC LIMIT 1") == [
        ("somebody else", "app")
    ]
    assert world.findings() == []


def test_triggers_that_an_owner_of_a_table_has_disabled(world):
    """What is written then is no event, and does not fit the last one."""
    world.run(
        "migrator",
        TRIGGER.format(state="DISABLE"),
        "UPDATE trailapp_invoice SET amount = 99",
        TRIGGER.format(state="ENABLE"),
    )
    assert world.findings() == []
    with world.alias() as using:
        [finding] = verify_tables(using)
    assert str(finding).startswith("public.trailapp_invoice: 3 rows updated past the trail: ")


def test_triggers_that_are_still_disabled(world):
    world.run("migrator", TRIGGER.format(state="DISABLE"))
    with world.alias() as using:
        messages = [str(difference) for difference in trail_differences(using)]
    assert "public.trailapp_invoice: trigger !audit_trail is disabled" in messages


def test_triggers_that_a_session_would_skip(world):
    """`session_replication_role` is for superusers, and does not help them in hardened mode."""
    with pytest.raises(errors.InsufficientPrivilege):
        world.run("migrator", "SET session_replication_role TO replica")


def test_a_superuser_who_skips_triggers(plain):
    plain.run("postgres", "SET session_replication_role TO replica", INSERT)
    with plain.alias() as using:
        [finding] = verify_tables(using)
    assert "without an event" in str(finding)


def test_a_superuser_who_skips_triggers_that_always_fire(hardened):
    before = hardened.ask("SELECT count(*) FROM audit_trail.event")[0][0]
    hardened.run("postgres", "SET session_replication_role TO replica", INSERT)
    assert hardened.ask("SELECT count(*) FROM audit_trail.event") == [(before + 1,)]
    with pytest.raises(errors.InsufficientPrivilege):
        hardened.run("postgres", "SET session_replication_role TO replica", CHANGES[1])


def test_a_migrating_role_that_edits_a_sealed_event(plain):
    plain.edit("migrator")
    assert plain.findings() == [
        f"seal 1: events in event_{plain.year} were altered (3 were sealed)"
    ]


def test_a_migrating_role_that_edits_an_unsealed_event(plain):
    """Nothing tells: seal often."""
    plain.run("app", INSERT)
    plain.edit(
        "migrator",
        "UPDATE audit_trail.event_{year} SET actor = 'another'"
        " WHERE id > (SELECT max(last_id) FROM audit_trail.seal)",
    )
    plain.seal()
    assert plain.findings() == []


def test_a_migrating_role_that_drops_a_year(plain):
    plain.run("migrator", f"DROP TABLE audit_trail.event_{plain.year}")
    assert plain.findings() == [f"seal 1: event_{plain.year} is gone, with 3 events"]


def test_a_migrating_role_that_replaces_what_records(plain):
    plain.run(
        "migrator",
        "CREATE OR REPLACE FUNCTION audit_trail.record() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
    )
    with plain.alias() as using:
        assert any("record()" in str(found) for found in trail_differences(using))


def test_a_migrating_role_has_no_hand_in_a_hardened_trail(hardened):
    """Nothing of what it may do in default mode."""
    year = hardened.year
    for statement in (
        hardened.guard("DISABLE"),
        f"DROP TABLE audit_trail.event_{year}",
        "DROP SCHEMA audit_trail CASCADE",
        f"ALTER TABLE audit_trail.event DETACH PARTITION audit_trail.event_{year}",
        "CREATE OR REPLACE FUNCTION audit_trail.record() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        "ALTER FUNCTION audit_trail.record() OWNER TO migrator",
        "CREATE TABLE audit_trail.mine ()",
        "SELECT audit_trail.chain('prune', '{}')",
        "SELECT audit_trail.prune('2100-01-01', 'I want to')",
        FORGE,
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            hardened.run("migrator", statement)
    assert hardened.findings() == []


def test_a_hardened_trail_goes_on(hardened):
    """The application writes, seals and reads; new tables get their triggers."""
    hardened.run("app", INSERT, "UPDATE trailapp_invoice SET amount = 5")
    hardened.run(
        "app",
        """SELECT set_config('app.audit_context', '{"reason": "admitted"}', false)""",
        "INSERT INTO trailapp_patient (name, ssn) VALUES ('a', '1')",
    )
    hardened.run(
        "migrator",
        "CREATE TABLE later (id int PRIMARY KEY)",
        'CREATE TRIGGER "!audit_trail" AFTER INSERT ON later FOR EACH ROW'
        " EXECUTE FUNCTION audit_trail.record('{id}', '{}', '{}', '', 'fallback', 'system')",
        "INSERT INTO later VALUES (1)",
        "SELECT audit_trail.seal()",
        "SELECT * FROM audit_trail.verify()",
    )
    assert hardened.findings() == []
    assert hardened.ask("SELECT kind, events FROM audit_trail.seal ORDER BY number") == [
        ("harden", 0),
        ("seal", 3),
        ("seal", 7),
    ]
    with hardened.alias() as using:
        assert list(verify_tables(using)) == []
        assert trail_differences(using) == []


def test_the_writer_may_only_add(hardened):
    for statement in ("SELECT * FROM audit_trail.event", CHANGES[1], "SELECT audit_trail.seal()"):
        with pytest.raises(errors.InsufficientPrivilege):
            hardened.run("postgres", "SET SESSION AUTHORIZATION trail_writer", statement)
    for role in ("trail_owner", "trail_writer"):
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            hardened.session(role)


def test_an_owner_who_edits_a_sealed_event(hardened):
    year = hardened.year
    hardened.run(
        "postgres",
        "SET SESSION AUTHORIZATION trail_owner",
        hardened.guard("DISABLE"),
        f"DELETE FROM audit_trail.event_{year} WHERE id = 2",
        hardened.guard("ENABLE ALWAYS"),
    )
    assert hardened.findings() == [
        f"seal 2: 2 of 3 events are left in event_{year}: some were deleted"
    ]


def test_a_dba_who_edits_a_sealed_event(world):
    world.edit("postgres")
    [finding] = world.findings()
    assert "were altered" in finding


def test_a_dba_who_rewrites_everything(world):
    """Only a digest that was kept elsewhere tells."""
    kept = world.seal()
    year = world.year
    world.run(
        "postgres",
        world.guard("DISABLE"),
        f"UPDATE audit_trail.event_{year} SET actor = 'another'",
        world.guard("ENABLE"),
        'ALTER TABLE audit_trail.seal DISABLE TRIGGER "!append_only"',
        "DELETE FROM audit_trail.seal",
        "SELECT audit_trail.chain('seal', '{}')",
    )
    assert world.findings() == []
    [finding] = world.findings(anchors=[kept])
    assert "exported" in finding


def test_a_backup_put_in_place_of_the_database(world):
    """It agrees with itself."""
    kept = world.seal()
    world.run("postgres", 'ALTER TABLE audit_trail.seal DISABLE TRIGGER "!append_only"')
    world.run(
        "postgres",
        "DELETE FROM audit_trail.seal WHERE number = (SELECT max(number) FROM audit_trail.seal)",
    )
    assert world.findings() == []
    [finding] = world.findings(anchors=[kept])
    assert "gone" in finding


def test_hardening_undone_and_done_again(hardened):
    with hardened.alias("postgres"):
        output_of("soften")
    hardened.edit("postgres")
    with hardened.alias("postgres"):
        output_of("harden", *ROLES)
    kinds = [kind for (kind,) in hardened.ask("SELECT kind FROM audit_trail.seal ORDER BY number")]
    assert kinds == ["harden", "seal", "soften", "harden"]
    [finding] = hardened.findings()
    assert "were altered" in finding


def test_whoever_has_the_disk(server, world):
    """Bytes changed while the server stands still, in the file of the events."""
    world.run("app", "SET app.\"current_user\" TO 'findme-findme'", INSERT)
    world.seal()
    year = world.year
    [(path,)] = world.ask(f"SELECT pg_relation_filepath('audit_trail.event_{year}')")
    server.stop()
    file = server.data / path
    content = file.read_bytes()
    assert b"findme-findme" in content
    file.write_bytes(content.replace(b"findme-findme", b"foundyou-haha"))
    server.start()
    # PostgreSQL's own checksums, where they are on, come first.
    if world.ask("SHOW data_checksums") == [("on",)]:
        with pytest.raises(DatabaseError, match="invalid page"):
            world.findings()
    else:
        [finding] = world.findings()
        assert "were altered" in finding


class TestHarden:
    def test_a_dba_runs_what_is_printed(self, plain):
        with plain.alias():
            text = output_of("harden", *ROLES, "--sql")
        assert plain.ask("SELECT count(*) FROM audit_trail.seal") == [(1,)]
        plain.run("postgres", *text.split(";\n")[:-1])
        with plain.alias() as using:
            assert is_hardened(using)
            assert "mode: hardened" in output_of("status")
        with pytest.raises(errors.InsufficientPrivilege):
            plain.run("migrator", plain.guard("DISABLE"))
        with plain.alias():
            text = output_of("soften", "--sql")
        plain.run("postgres", *text.split(";\n")[:-1])
        plain.run("migrator", plain.guard("DISABLE"), plain.guard("ENABLE"))
        plain.run("app", INSERT)
        with plain.alias() as using:
            assert not is_hardened(using)
            assert trail_differences(using) == []
        assert plain.findings() == []

    def test_the_check_says_what_repairs_a_hardened_trail(self, hardened):
        """`audit_triggers install` alone leaves it to its owner."""
        hardened.run("postgres", "DROP FUNCTION audit_trail.refuse() CASCADE")
        with hardened.alias("postgres") as using:
            hints = {str(found.hint) for found in check_trail_databases(databases=[ALIAS])}
            assert hints == {
                "The trail is hardened: have a DBA run what `manage.py audit_trail sql` prints, "
                "and then `audit_trail harden` again."
            }
            hardened.run("postgres", output_of("sql"))
            output_of("harden", *ROLES)
            assert is_hardened(using)
            assert trail_differences(using) == []

    def test_a_role_that_may_not_is_told_so(self, plain):
        plain.run("postgres", "ALTER ROLE migrator NOCREATEROLE")
        try:
            with plain.alias(), pytest.raises(CommandError, match="migrator may not do that"):
                output_of("harden", "--owner", "some_owner", "--writer", "some_writer")
        finally:
            plain.run("postgres", "ALTER ROLE migrator CREATEROLE")
        assert plain.ask("SELECT count(*) FROM audit_trail.seal") == [(1,)]

    @override_settings(AUDIT_FIELDS={"TRAIL_KEEP": 365})
    def test_prune_is_the_owners(self, hardened):
        prune = ["prune", "--before", "2020-01-01", "--reason", "old"]
        with hardened.alias(), pytest.raises(CommandError, match="as the trail's owner"):
            output_of(*prune)
        with hardened.alias("postgres"):
            assert "no partition" in output_of(*prune)

    def test_again_for_tables_that_came_since(self, hardened):
        hardened.run("migrator", TRIGGER.format(state="ENABLE"))
        with hardened.alias("postgres"):
            output_of("harden", *ROLES)
        enabled = hardened.ask("SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgname LIKE '!%'")
        assert enabled == [("A",)]
        assert hardened.findings() == []

    @pytest.mark.parametrize(
        "roles",
        [
            ["--owner", "one", "--writer", "one"],
            ["--owner", "app", "--writer", "trail_writer"],
            ["--owner", "trail_owner", "--writer", "postgres"],
        ],
    )
    def test_roles_that_cannot_be_the_two(self, plain, roles):
        with plain.alias(), pytest.raises(CommandError) as error:
            output_of("harden", *roles)
        assert error.value.returncode == 2

    def test_what_is_not_hardened_is_not_softened(self, plain):
        with plain.alias(), pytest.raises(CommandError, match="not hardened"):
            output_of("soften")


def test_each_row_of_the_documentation_is_tried():
    text = (Path(__file__).parents[3] / "docs/explanation/tampering.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    there = {name for name in globals() if name.startswith("test_")} - {
        "test_each_row_of_the_documentation_is_tried"
    }
    assert named == there
