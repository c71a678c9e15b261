"""django-crum's functions outside requests, and other packages' receivers on its signals."""

import asyncio
import threading

import crum
import pytest
from crum.signals import current_user_getter, current_user_setter
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory

from django_audit_fields import acting_as, current_actor
from django_audit_fields.actors import acting_label, impersonation, is_resolving
from django_audit_fields.middleware import AuditMiddleware

ALICE, BOB, CAROL = (User(pk=number, username=f"user {number}") for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def forget():
    yield
    crum.set_current_user(False)


def request_of(user):
    request = RequestFactory().get("/")
    request.user = user
    return request


def test_crums_functions_name_who_acts_at_once():
    """Impersonations nest and end; None names nobody; False is no name at all."""
    with crum.impersonate(ALICE):
        assert (current_actor(), crum.get_current_user()) == ("1", ALICE)
        with crum.impersonate(None):
            assert (current_actor(), crum.get_current_user()) == ("system", None)
        with crum.impersonate(BOB):
            crum.set_current_user(CAROL)
            assert (current_actor(), crum.get_current_user()) == ("3", CAROL)
        assert (current_actor(), crum.get_current_user()) == ("1", ALICE)
    assert (acting_label(), crum.get_current_user()) == (None, None)
    crum.set_current_user(AnonymousUser())
    assert current_actor() == "system"


def test_nobody_wins_over_the_request():
    """`set_current_user(None)` holds until False says that nobody in particular is named."""

    def view(request):
        seen = [current_actor()]
        crum.set_current_user(None)
        seen.append(current_actor())
        crum.set_current_user(False)
        return [*seen, current_actor()]

    assert AuditMiddleware(view)(request_of(ALICE)) == ["1", "system", "1"]


def test_acting_as_wins_on_either_side():
    """Outside or inside an impersonation, and crum itself is told nothing of it."""
    with crum.impersonate(ALICE), acting_as("job"):
        assert (current_actor(), crum.get_current_user()) == ("job", ALICE)
    with acting_as("job"), crum.impersonate(ALICE):
        assert (current_actor(), crum.get_current_user()) == ("job", ALICE)


def test_request_user_is_never_replaced():
    """Impersonation says who writes; what the request's user may do stays as it was."""

    def view(request):
        with crum.impersonate(BOB):
            return request.user

    assert AuditMiddleware(view)(request_of(ALICE)) is ALICE


def test_tasks_keep_apart():
    """On one event loop, each task's impersonation is its own."""

    async def one(user):
        with crum.impersonate(user):
            for _ in range(5):
                await asyncio.sleep(0)
                assert crum.get_current_user() is user
                assert current_actor() == str(user.pk)
        return acting_label()

    async def main():
        return await asyncio.gather(*(one(user) for user in [ALICE, BOB, CAROL] * 10))

    assert asyncio.run(main()) == [None] * 30


def test_threads_keep_apart():
    """A thread that was given no context has nobody, whoever is named elsewhere."""
    seen = []
    with crum.impersonate(ALICE):
        thread = threading.Thread(target=lambda: seen.append(crum.get_current_user()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_connecting_twice_is_harmless():
    """crum's signals have one receiver each, ours, however often apps are set up."""
    impersonation.connect()
    assert len(current_user_getter.receivers) == len(current_user_setter.receivers) == 1


@pytest.fixture
def connected():
    receivers = []

    def connect(receiver):
        receivers.append(receiver)
        current_user_getter.connect(receiver)

    yield connect
    for receiver in receivers:
        current_user_getter.disconnect(receiver)


def test_receivers_of_other_packages_are_asked(connected):
    """Above the request's user, below whom crum was told, at any priority they choose."""
    answers = [(BOB, 0)]
    asked = []

    def answer(sender, **kwargs):
        asked.append((is_resolving(), acting_label()))
        return answers[0]

    connected(answer)
    assert current_actor() == "2"
    assert AuditMiddleware(lambda request: current_actor())(request_of(ALICE)) == "2"
    with crum.impersonate(CAROL):
        assert current_actor() == "3"
        answers[0] = (BOB, 20)
        assert current_actor() == "2"
    answers[0] = (False, 50)
    assert AuditMiddleware(lambda request: current_actor())(request_of(ALICE)) == "1"
    answers[0] = (BOB, 0)
    with acting_as("job"):
        assert current_actor() == "job"
    assert (True, None) in asked


def test_receiver_that_raises_is_passed_over(connected, caplog):
    """Asking never raises; crum logs it and takes the next answer."""

    def failing(sender, **kwargs):
        raise OSError

    connected(failing)
    with crum.impersonate(ALICE):
        assert current_actor() == "1"
    assert "crum" in {record.name for record in caplog.records}


def test_receiver_that_confuses_crum_is_nobody(connected, caplog):
    """Not even what crum itself raises then reaches a write."""

    def confusing(sender, **kwargs):
        return ALICE, "first"

    connected(confusing)
    assert [current_actor(), current_actor()] == ["system"] * 2
    assert [record.name for record in caplog.records] == ["django_audit_fields"]


@pytest.mark.parametrize("user", [object(), 7, User(), "x" * 51])
def test_whom_crum_was_told_may_have_no_label(user, caplog):
    """crum takes anything for a user: what has no label is logged and writes as nobody."""
    with crum.impersonate(user):
        assert [current_actor() for _ in range(3)] == ["system"] * 3
        with crum.impersonate(ALICE):
            assert current_actor() == "1"
    assert len(caplog.records) == 1
