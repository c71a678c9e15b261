"""The tutorial, done in a new project on the server under test: it prints what it says."""

from pathlib import Path

import pytest
from django.db import connection

from .database import client_program
from .printed import PROJECT, Reader, drop_database, server_environment

DATABASE = "clinic_tutorial"
LOG_IN = """
from django.test import Client
client = Client(raise_request_exception=True, headers={"host": "localhost"})
assert client.login(username="amara", password="clinic")
"""


def add_appointment(reader: Reader) -> None:
    """What the text has the reader type into the admin's form; and the list that it shows."""
    done = reader.python(
        LOG_IN + "sent = client.post('/admin/clinic/appointment/add/', "
        "{'patient': 'Karl Landsteiner', 'day': '2026-03-04', 'fee': '75'})\n"
        "assert sent.status_code == 302, sent.content.decode()\n"
        "page = client.get('/admin/clinic/appointment/').content.decode()\n"
        "assert '<td class=\"field-created_by\">amara</td>' in page, page\n"
    )
    assert done.returncode == 0, done.stdout


def look_at_history(reader: Reader) -> None:
    done = reader.python(
        LOG_IN + "from clinic.models import Appointment\n"
        "ada = Appointment.objects.get(patient='Ada Byron')\n"
        "page = client.get(f'/admin/clinic/appointment/{ada.pk}/history/').content.decode()\n"
        "assert 'student discount' in page and '85.00' in page, page\n"
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def reader(tmp_path, django_db_blocker):
    with django_db_blocker.unblock():
        parameters = connection.get_connection_params()
        programs = Path(client_program("psql")).parent
    environment = server_environment(parameters)
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    drop_database(parameters, DATABASE)
    by_hand = {"add_appointment": add_appointment, "look_at_history": look_at_history}
    yield Reader(tmp_path, environment, by_hand)
    drop_database(parameters, DATABASE)


def test_tutorial(reader):
    """Each command of the tutorial, in its order, prints what stands there."""
    reader.follow(PROJECT / "docs" / "tutorial.md")
