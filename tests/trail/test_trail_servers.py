"""Several sessions at once, the plan of a bulk update, and a dump that is restored elsewhere."""

import os
import subprocess
import threading

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction

from django_audit_fields.trail import installed_release, trail_differences
from tests.database import client_program
from tests.trail.recorded import Recorded, execute
from tests.trail.trailapp.models import Gauge, Reading

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="The trail is PostgreSQL's."
)


def connect(**options):
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    given = {name: parameters[name] for name in names if parameters.get(name)}
    return psycopg.connect(**given, autocommit=True, **options)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [Gauge, Reading], ids=["row", "statement"])
def test_writers_of_one_row_are_recorded_in_the_order_of_their_changes(model):
    """The id is drawn once the row is locked, and the clock is read then."""
    row = model.objects.create(meter=1, value=0)
    recorded = Recorded(model._meta.db_table)
    table = model._meta.db_table

    def write(number):
        with connect() as session:
            for turn in range(15):
                with session.transaction(force_rollback=turn % 5 == number % 5):
                    session.execute(f"UPDATE {table} SET value = value + 1 WHERE id = %s", [row.pk])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    happened = recorded()
    assert [event.before["value"] for event in happened] == list(range(6 * 12))
    assert [event.after["value"] for event in happened] == list(range(1, 6 * 12 + 1))
    times = [event.recorded_at for event in happened]
    assert times == sorted(times)


@pytest.mark.django_db
def test_a_bulk_update_is_joined_in_one_pass_on_a_connection_that_updated_single_rows():
    """A plan that was made for single rows is kept, and has to be good for many as well."""
    model = Reading
    model.objects.bulk_create(model(meter=number, value=0) for number in range(300))
    try:
        with transaction.atomic():
            execute("LOAD 'auto_explain'")
    except DatabaseError:
        pytest.skip("this server has no auto_explain")
    notices = []

    def handler(notice):
        notices.append(notice.message_primary)

    for meter in range(12):
        model.objects.filter(meter=meter).update(value=1)
    execute("SET LOCAL auto_explain.log_min_duration = 0")
    execute("SET LOCAL auto_explain.log_nested_statements = on")
    execute("SET LOCAL auto_explain.log_level = notice")
    connection.connection.add_notice_handler(handler)
    try:
        model.objects.update(value=2)
    finally:
        connection.connection.remove_notice_handler(handler)
    [plan] = [text for text in notices if "FULL JOIN" in text]
    assert "Full Join" in plan
    assert "Nested Loop" not in plan
    recorded = Recorded(model._meta.db_table)
    model.objects.update(value=3)
    assert len(recorded()) == 300


def run(name, command, *arguments, text=None):
    parameters = connections[name].get_connection_params()
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    environment = {
        variable: str(parameters[key]) for key, variable in names.items() if parameters.get(key)
    }
    done = subprocess.run(
        [client_program(command), *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment, "PGDATABASE": parameters["dbname"]},
    )
    return done.stdout


def dump(name, *arguments):
    return run(name, "pg_dump", *arguments)


def restore(name, text):
    run(name, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", text=text)


def ask(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


EVENTS = "SELECT * FROM audit_trail.event ORDER BY id"


def empty(alias):
    connections[alias].close()
    with connection.cursor() as cursor:
        name = connections[alias].settings_dict["NAME"]
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")


@pytest.fixture
def written(fresh):
    """A migrated database with some history in it."""
    call_command("migrate", database=fresh, verbosity=0)
    ask(fresh, "INSERT INTO trailapp_invoice (number, amount) VALUES ('a', 1), ('b', 2)")
    ask(fresh, "UPDATE trailapp_invoice SET amount = 3")
    ask(fresh, "INSERT INTO trailapp_reading (meter, hidden) VALUES (1, '')")
    return fresh


def test_a_full_dump_brings_the_trail_along(written):
    """No event is lost or added, and what comes next is recorded after it."""
    events = ask(written, EVENTS)
    text = dump(written)
    empty(written)
    restore(written, text)
    assert ask(written, EVENTS) == events
    assert installed_release(connections[written]) is not None
    assert trail_differences(connections[written]) == []
    ask(written, "UPDATE trailapp_invoice SET amount = 4 WHERE number = 'a'")
    ask(written, "UPDATE trailapp_reading SET value = 4")
    assert [row[2] for row in ask(written, EVENTS)[len(events) :]] == ["update", "update"]
    with pytest.raises(DatabaseError, match="only added to"):
        ask(written, "DELETE FROM audit_trail.event")


def test_a_dump_without_comments_is_brought_up_by_migrate(written):
    text = dump(written, "--no-comments")
    empty(written)
    restore(written, text)
    assert installed_release(connections[written]) == 0
    call_command("migrate", database=written, verbosity=0)
    assert trail_differences(connections[written]) == []


def test_schema_and_data_apart(written):
    """Data alone, with triggers off, as pg_dump has it for that: the trail comes as it was."""
    events = ask(written, EVENTS)
    schema = dump(written, "--schema-only")
    data = dump(written, "--data-only", "--disable-triggers")
    empty(written)
    restore(written, schema)
    restore(written, data)
    assert ask(written, EVENTS) == events
    ask(written, "UPDATE trailapp_invoice SET amount = 5")
    assert len(ask(written, EVENTS)) == len(events) + 2


def test_data_alone_without_the_trail_is_a_history_of_its_own(written):
    """Loaded with triggers on, into a database with a trail: each row is an insert."""
    data = dump(written, "--data-only", "--table=public.trailapp_invoice")
    empty(written)
    call_command("migrate", database=written, verbosity=0)
    restore(written, data)
    assert [row[2] for row in ask(written, EVENTS)] == ["insert", "insert"]
