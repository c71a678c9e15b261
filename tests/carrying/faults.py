"""What the tests of faults share: a server of the test's own, as a database of Django's."""

from __future__ import annotations

from contextlib import contextmanager

from django.db import close_old_connections, connections

from tests.testapp.models import Item

ALIAS = "faults"
#: What a commit promised outlives the server, whose own disk is trusted.
SETTINGS = {"synchronous_commit": "on", "deadlock_timeout": "50ms", "max_wal_size": "256MB"}

items = Item.objects.using(ALIAS)


@contextmanager
def as_database(settings, alias=ALIAS):
    """`alias` is a database of Django's for as long as this lasts."""
    default = connections.settings["default"]
    completed = connections.configure_settings({"default": default, alias: settings})
    connections.settings[alias] = completed[alias]
    try:
        yield connections[alias]
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def rows(server):
    """Every row, asked past Django: name, amount, who created it, who changed it last."""
    with server.connect() as connection:
        return connection.execute(
            "SELECT name, amount, created_by, updated_by FROM testapp_item ORDER BY name"
        ).fetchall()


def kill_backend(server, alias=ALIAS):
    """End the server's process behind Django's connection, and wait until it is gone."""
    process = connections[alias].connection.info.backend_pid
    with server.connect() as connection:
        query = "SELECT pg_terminate_backend(%s, 10000)"
        assert connection.execute(query, [process]).fetchone() == (True,)


def begin_next_request():
    """What Django does between requests: let go of connections that are broken."""
    close_old_connections()
