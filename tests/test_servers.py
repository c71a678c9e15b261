"""Real servers under load: no row carries a name other than its writer's."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.actors.actorapp.models import Note

REQUESTS = 2000
APPLICATION = "tests.actors.actorapp.servers:application"
SERVERS = {
    "gunicorn": [
        *("gunicorn", APPLICATION, "--worker-class", "gthread", "--threads", "8"),
        *("--bind", "fd://{fd}", "--log-level", "warning"),
    ],
    "uvicorn": ["uvicorn", APPLICATION, "--fd", "{fd}", "--log-level", "warning"],
}

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def serving(command):
    """A server in a process of its own; yields its port on the loopback interface."""
    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    database = {name: connection.settings_dict[name] for name in names}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        fd = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=fd) for part in command)],
            pass_fds=[fd],
            cwd=Path(__file__).parent.parent,
            env=os.environ | {"AUDIT_TEST_DATABASE": json.dumps(database)},
        )
        try:
            yield listener.getsockname()[1]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def login(user):
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}"


@pytest.mark.parametrize("name", SERVERS)
def test_interleaved_requests(name):
    """50 users at once in sync and async views, a tenth impersonating: every name is right."""
    users = User.objects.bulk_create([User(username=f"user {number}") for number in range(50)])
    cookies = {user.pk: login(user) for user in users}
    shuffled = random.Random(name)  # noqa: S311 - an order, not a secret
    plan = []
    for number in range(REQUESTS):
        own = shuffled.choice(users).pk
        query = f"own={own}&number={number}"
        if number % 10 == 0:
            query += f"&other={shuffled.choice(users).pk}"
        plan.append((f"/{shuffled.choice(['load', 'aload'])}/?{query}", cookies[own]))
    shuffled.shuffle(plan)

    def send(share):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for path, cookie in share:
            client.request("GET", path, headers={"Cookie": cookie})
            response = client.getresponse()
            assert (response.status, response.read()) == (200, b"writing written")
        client.close()

    with serving(SERVERS[name]) as port, ThreadPoolExecutor(16) as executor:
        list(executor.map(send, (plan[start::16] for start in range(16))))

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT text, created_by FROM actorapp_note"
            " WHERE created_by IS DISTINCT FROM split_part(text, ':', 1)"
        )
        assert cursor.fetchall() == []
    assert Note.objects.count() == 2 * REQUESTS + REQUESTS // 10
