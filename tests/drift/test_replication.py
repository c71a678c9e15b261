"""Logical replication: a subscriber keeps the publisher's stamps, unless a trigger fires ALWAYS."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from django_audit_fields.triggers.rules import ROLES, UPDATE_TRIGGER, Stamping
from django_audit_fields.triggers.sql import install_sql
from tests.own_server import OwnServer, own_server
from tests.triggers.audited_tables import columns_sql


@pytest.fixture(scope="module")
def replicated() -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """A publisher and its subscriber: two databases of one server, with triggers in both."""
    with own_server(wal_level="logical") as server:
        publisher, subscriber = (make_database(server, name) for name in ("source", "copy"))
        publisher.execute("CREATE PUBLICATION entries FOR TABLE entry")
        # Made by hand, since the server of the subscription is that of the publication.
        publisher.execute("SELECT pg_create_logical_replication_slot('entries', 'pgoutput')")
        subscriber.execute(
            f"CREATE SUBSCRIPTION entries CONNECTION 'host={server.folder} port=5432 "
            "user=postgres dbname=source' PUBLICATION entries "
            "WITH (create_slot = false, slot_name = 'entries')"
        )
        yield publisher, subscriber
        subscriber.execute("ALTER SUBSCRIPTION entries DISABLE")
        subscriber.execute("ALTER SUBSCRIPTION entries SET (slot_name = NONE)")
        subscriber.execute("DROP SUBSCRIPTION entries")
        publisher.close()
        subscriber.close()


def make_database(server: OwnServer, name: str) -> psycopg.Connection[Any]:
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    connection = server.connect(name)
    connection.execute(f"CREATE TABLE entry (id int PRIMARY KEY, body text, {columns_sql()})")
    connection.execute(install_sql("entry", Stamping.of({role: role for role in ROLES})))
    return connection


def write_as(connection: psycopg.Connection[Any], label: str, statement: str) -> None:
    with connection.transaction():
        connection.execute("SELECT set_config('app.current_user', %s, true)", [label])
        connection.execute(statement)


def arrived(connection: psycopg.Connection[Any], key: int, body: str) -> tuple[str, str]:
    """Who is in the row, once this version of it has come."""
    end = time.monotonic() + 30
    query = "SELECT created_by, updated_by FROM entry WHERE id = %s AND body = %s"
    while (found := connection.execute(query, [key, body]).fetchone()) is None:
        assert time.monotonic() < end, f"row {key} does not come"
    return found


def test_a_subscriber_keeps_the_publishers_stamps(replicated: Any) -> None:
    """The triggers of both fire as made: replicated rows pass those of the subscriber."""
    publisher, subscriber = replicated
    write_as(publisher, "7", "INSERT INTO entry (id, body) VALUES (1, 'new')")
    assert arrived(subscriber, 1, "new") == ("7", "7")
    write_as(publisher, "7", "UPDATE entry SET body = 'changed' WHERE id = 1")
    assert arrived(subscriber, 1, "changed") == ("7", "7")


def test_a_trigger_that_fires_always_stamps_over_them(replicated: Any) -> None:
    """What `audit_triggers check` warns of: the subscriber takes the same user for no change."""
    publisher, subscriber = replicated
    write_as(publisher, "7", "INSERT INTO entry (id, body) VALUES (2, 'new')")
    arrived(subscriber, 2, "new")
    subscriber.execute(f'ALTER TABLE entry ENABLE ALWAYS TRIGGER "{UPDATE_TRIGGER}"')
    write_as(publisher, "7", "UPDATE entry SET body = 'changed' WHERE id = 2")
    assert arrived(subscriber, 2, "changed") == ("7", "system")
    subscriber.execute(f'ALTER TABLE entry ENABLE TRIGGER "{UPDATE_TRIGGER}"')
