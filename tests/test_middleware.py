"""Requests, sync and async: whose rows they write, and what they leave behind."""

import asyncio

import crum
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from django_audit_fields import acting_as
from django_audit_fields.actors import acting_label
from tests.actorapp.models import Note

OURS = "django_audit_fields.middleware.AuditMiddleware"
CRUMS = "crum.CurrentRequestUserMiddleware"
DJANGOS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def project(settings):
    settings.ROOT_URLCONF = "tests.actorapp.urls"
    settings.MIDDLEWARE = [*DJANGOS, OURS]


@pytest.fixture
def user():
    return User.objects.create(username="alice")


@pytest.fixture
def other():
    return User.objects.create(username="bob")


class Site:
    """One client for both worlds, logged in or not."""

    def __init__(self, *, is_async, user=None):
        self.is_async = is_async
        self.client = AsyncClient() if is_async else Client()
        if user is not None:
            self.client.force_login(user)

    def get(self, path, data=None):
        get = async_to_sync(self.client.get) if self.is_async else self.client.get
        return get(path, data or {})


@pytest.fixture(params=[False, True], ids=["wsgi", "asgi"])
def site(request, user):
    return Site(is_async=request.param, user=user)


def writers():
    return dict(Note.objects.values_list("text", "written_by"))


def test_request_of_a_user(site, user):
    """Rows written in a view carry the user who made the request."""
    site.get("/write/")
    site.get("/awrite/")
    assert writers() == {"write": str(user.pk), "awrite": str(user.pk)}
    assert acting_label() is None


def test_request_of_nobody():
    """An anonymous visitor counts as nobody."""
    for is_async in (False, True):
        Site(is_async=is_async).get("/write/", {"text": str(is_async)})
    assert writers() == {"False": "system", "True": "system"}


def test_impersonation(site, user, other):
    """crum's impersonation names the writer in both worlds, and leaves `request.user` alone."""
    for path in ("/impersonate/", "/aimpersonate/"):
        response = site.get(path, {"as": "bob"})
        assert all(response.json().values())
        assert writers() == {
            "before": str(user.pk),
            "inside": str(other.pk),
            "nobody": "system",
            "after": str(user.pk),
        }
        Note.objects.all().delete()
    assert crum.get_current_user() is None


def test_outer_acting_as_wins_over_a_request(site):
    """A job that makes a request writes in the job's name."""
    with acting_as("job"):
        site.get("/write/")
        site.get("/awrite/")
    assert writers() == {"write": "job", "awrite": "job"}


def test_interleaved_requests_keep_apart(user, other):
    """Requests of two users at once on one event loop never exchange names."""

    async def main():
        clients = []
        for one in (user, other):
            client = AsyncClient()
            await client.aforce_login(one)
            clients.append((one, client))
        await asyncio.gather(
            *(
                client.get("/awrite/", {"text": f"{one.pk}-{number}"})
                for number in range(10)
                for one, client in clients
            )
        )

    async_to_sync(main)()
    written = writers()
    assert len(written) == 20
    assert all(text.split("-")[0] == by for text, by in written.items())
