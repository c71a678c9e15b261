"""Cancelled awaits, coroutines from plain functions, and what a paused body keeps to itself."""

import asyncio
import threading

import crum
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View

from django_audit_fields import acting_as, current_actor, preserve_audit_fields
from django_audit_fields.actors import acting_label, is_preserving, is_resolving
from django_audit_fields.middleware import AuditMiddleware
from tests.actors.actorapp.models import Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return User.objects.create(username="alice")


@pytest.fixture
def other():
    return User.objects.create(username="bob")


def request_by(user):
    request = RequestFactory().get("/")
    request.user = user
    return request


def writers():
    return dict(Note.objects.values_list("text", "created_by"))


def held_up(go_on, answer):
    """Waits in its thread until the task that asked has been cancelled."""

    def read():
        go_on.wait(5)
        return answer

    return read


def test_a_write_cancelled_while_its_user_is_read_leaves_nothing(user):
    """asgiref hands the state of the thread back to the task in the middle of the reading."""
    gate = threading.Event()

    async def view(request):
        try:
            async with asyncio.timeout(0.05):
                await Note.objects.acreate(text="first")
        except TimeoutError:
            pass
        gate.set()
        await sync_to_async(lambda: None)()  # until the thread is free again
        await Note.objects.acreate(text="after")
        async with acting_as("job"):
            await Note.objects.acreate(text="job")
        return HttpResponse()

    request = request_by(SimpleLazyObject(held_up(gate, user)))
    async_to_sync(AuditMiddleware(view))(request)
    assert writers()["after"] == str(user.pk)
    assert writers()["job"] == "job"
    assert not is_resolving()
    with acting_as("sync"):
        assert current_actor() == "sync"


def test_a_block_cancelled_in_its_thread_ends_there(user):
    """The thread's `acting_as` and `crum.impersonate` are not the task's once they are over."""
    gate = threading.Event()

    def job():
        with acting_as("job"), crum.impersonate(User(pk=99)), preserve_audit_fields():
            gate.wait(5)

    async def view(request):
        try:
            async with asyncio.timeout(0.05):
                await sync_to_async(job)()
        except TimeoutError:
            pass
        gate.set()
        await sync_to_async(lambda: None)()
        assert not is_preserving()
        await Note.objects.acreate(text="after")
        return HttpResponse()

    async_to_sync(AuditMiddleware(view))(request_by(user))
    assert writers() == {"after": str(user.pk)}


def test_a_task_outlives_the_block_it_was_started_in():
    """What context variables carry is carried, also past the end of the block."""

    async def later(told):
        await told.wait()
        return acting_label()

    async def main():
        told = asyncio.Event()
        with acting_as("starter"):
            task = asyncio.create_task(later(told))
            await asyncio.sleep(0)
        told.set()
        return await task

    assert asyncio.run(main()) == "starter"


def test_a_user_set_late_wins_over_the_one_that_was_awaited(user, other):
    """Token authentication behind `login_required`, which awaits the session's user."""

    async def view(request):
        await request.auser()
        request.user = SimpleLazyObject(lambda: other)
        await Note.objects.acreate(text="late")
        return HttpResponse()

    request = request_by(SimpleLazyObject(lambda: user))

    async def auser():
        return user

    request.auser = auser
    async_to_sync(AuditMiddleware(view))(request)
    assert writers() == {"late": str(other.pk)}


def test_decorating_a_function_that_answers_a_coroutine(user):
    """`dispatch` of a class-based view is one, and its async handler runs later."""

    @method_decorator(acting_as("class"), name="dispatch")
    class Writing(View):
        async def get(self, request):
            await Note.objects.acreate(text="class")
            return HttpResponse()

    async_to_sync(AuditMiddleware(Writing.as_view()))(request_by(user))
    assert writers() == {"class": "class"}


def test_a_paused_body_keeps_its_other_blocks_to_itself():
    """Not only the actor: what it preserves and whom it impersonates, too."""

    @acting_as("import")
    def rows():
        with preserve_audit_fields(), crum.impersonate(User(pk=9)):
            yield is_preserving()
            yield is_preserving()

    for inside in rows():
        assert inside
        assert not is_preserving()
        assert crum.get_current_user() is None
        assert acting_label() is None


def test_an_error_that_cannot_say_what_it_is_loses_no_write(user, settings, caplog):
    """It is logged by its type, and the row carries the fallback."""

    class MuteError(Exception):
        def __str__(self):
            raise ZeroDivisionError

    def failing(user):
        raise MuteError

    settings.AUDIT_FIELDS = {"ACTOR": failing}
    AuditMiddleware(lambda request: Note.objects.create(text="mute"))(request_by(user))
    assert writers() == {"mute": "system"}
    assert "MuteError" in caplog.text


def test_an_auser_of_the_projects_own_is_noted(user):
    """What its public method answers is who acts on the event loop, whoever made the method."""
    request = request_by(SimpleLazyObject(lambda: User.objects.get(pk=user.pk)))

    async def auser():
        return user

    request.auser = auser
    found = []

    async def view(request):
        found.append(current_actor())
        assert await request.auser() is user
        found.append(current_actor())
        return HttpResponse()

    async def respond():
        await AuditMiddleware(view)(request)

    asyncio.run(respond())
    assert found == ["system", str(user.pk)]
