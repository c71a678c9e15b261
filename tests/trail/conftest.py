"""A database of its own, beside the one under test."""

import pytest
from django.db import connection, connections

NAME = "test_trail_of_its_own"


@pytest.fixture
def fresh(request, django_db_setup, django_db_blocker):
    """The alias of an empty database on the server under test."""
    if connection.vendor != "postgresql":
        pytest.skip("The trail is PostgreSQL's.")
    worker = getattr(request.config, "workerinput", {}).get("workerid", "")
    name = f"{NAME}{worker}"
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {name}")
        connections.settings["fresh"] = {**connections.settings["default"], "NAME": name}
        try:
            yield "fresh"
        finally:
            connections["fresh"].close()
            del connections["fresh"]
            del connections.settings["fresh"]
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
