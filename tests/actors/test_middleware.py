"""Requests, sync and async: whose rows they write, and what they leave behind."""

import asyncio
import gc

import crum
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.http import StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject

from django_audit_fields import acting_as, current_actor, preserve_audit_fields
from django_audit_fields.actors import acting_label, is_preserving, is_resolving
from django_audit_fields.middleware import AuditMiddleware
from tests.actors.actorapp import urls
from tests.actors.actorapp.models import Note

OURS = "django_audit_fields.middleware.AuditMiddleware"
CRUMS = "crum.CurrentRequestUserMiddleware"
DJANGOS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def project(settings):
    settings.ROOT_URLCONF = "tests.actors.actorapp.urls"
    settings.MIDDLEWARE = [*DJANGOS, OURS]


def close(response):
    """As a server does, but for the database connection, which the test's transaction is on."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


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
    return dict(Note.objects.values_list("text", "created_by"))


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


def test_nobody_named_inside_a_users_request(site):
    """An anonymous `acting_as` is nobody, not the user of the request around it."""
    with acting_as(AnonymousUser()):
        site.get("/write/")
    assert writers() == {"write": "system"}


def test_request_that_writes_nothing_touches_nothing(site, django_assert_num_queries):
    """No query, no session, so caches may keep the answer for everybody."""
    with django_assert_num_queries(0):
        response = site.get("/silent/")
    assert not response.has_header("Vary")


def test_request_that_writes_loads_its_user_once(user, django_assert_num_queries):
    """Session, user and the rows themselves; nothing per row."""
    site = Site(is_async=False, user=user)
    with django_assert_num_queries(2 + 3):
        site.get("/write/", {"times": 3})


@pytest.mark.parametrize(("view", "rows"), [("read", 1), ("look_and_write", 1)])
def test_a_transaction_that_carries_another_makes_no_query_more(
    view, rows, user, django_assert_num_queries
):
    """The statement that loads the user is not held up by asking who the user is."""
    site = Site(is_async=False, user=user)
    with acting_as("somebody before"):
        Note.objects.create(text="before")
    with django_assert_num_queries(2 + rows):
        site.get(f"/{view}/")
    if view == "look_and_write":
        assert writers() == {"before": "somebody before", "look_and_write": str(user.pk)}


def test_reading_in_a_transaction_that_carries_another_loads_nobody(
    user, django_assert_num_queries
):
    """A request that only selects rows stays one that touches no user."""
    site = Site(is_async=False, user=user)
    with acting_as("somebody before"):
        Note.objects.create(text="before")
    with django_assert_num_queries(1):
        site.get("/list_only/")


def test_a_function_that_writes_is_stamped_with_a_user_not_read_yet(user):
    """In a transaction that carries somebody else, a SELECT of a function carries the change."""
    site = Site(is_async=False, user=user)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION actorapp_write_note(text) RETURNS void LANGUAGE sql AS "
            "$$ INSERT INTO actorapp_note (text) VALUES ($1) $$"
        )
    with acting_as("somebody before"):
        Note.objects.create(text="before")
    site.get("/call/")
    assert writers() == {"before": "somebody before", "call": str(user.pk)}


def test_user_loaded_by_auser_is_reused(user, django_assert_num_queries):
    """The event loop knows a user that `await request.auser()` loaded; nobody loads it again."""
    site = Site(is_async=True, user=user)
    with django_assert_num_queries(2 + 1):
        response = site.get("/aread/")
    assert response.json() == dict.fromkeys(["actor", "user", "crum"], str(user.pk))
    assert writers() == {"aread": str(user.pk)}


def test_unloaded_user_on_the_event_loop_is_read_by_the_write(user):
    """Asking on the loop answers the fallback, does not remember it, and reads nothing."""
    response = Site(is_async=True, user=user).get("/aask/")
    assert response.json() == {"before": "system", "after": str(user.pk)}
    assert writers() == {"aask": str(user.pk)}


def test_request_user_named_on_the_event_loop_waits_for_the_write(user):
    """`acting_as(request.user)` in an async view names the writer, unread as it is."""
    response = Site(is_async=True, user=user).get("/aself/")
    assert response.json() == {"before": "system", "after": str(user.pk)}
    assert writers() == {"aself": str(user.pk)}


def test_actor_that_queries_waits_for_a_thread(user, settings, caplog):
    """On the event loop `ACTOR` may not query: that is no failure, and the write gets it right."""
    settings.AUDIT_FIELDS = {"ACTOR": lambda user: User.objects.get(pk=user.pk).username}
    response = Site(is_async=True, user=user).get("/aread/")
    assert response.json()["actor"] == "alice"
    response = Site(is_async=True, user=user).get("/aask/")
    assert response.json() == {"before": "system", "after": "alice"}
    assert set(writers().values()) == {"alice"}
    assert caplog.records == []


def test_late_authentication(site, user, other):
    """Whoever is set during the request is who writes from then on."""
    site.get("/late/", {"as": "bob"})
    assert writers() == {"before": str(user.pk), "after": str(other.pk)}


def test_late_authentication_inside_impersonation(site, other):
    """The end of an impersonation does not hold on to the user that was there when it began."""
    site.get("/late_inside/", {"as": "bob"})
    assert writers() == {"after": str(other.pk)}


def test_what_crum_was_told_ends_with_the_request(site, other):
    """`set_current_user` names a user for its request, not for the next one of the thread."""
    site.get("/sticky/", {"as": "bob"})
    assert crum.get_current_user() is None
    with pytest.raises(ZeroDivisionError):
        site.get("/sticky/", {"as": "bob", "fail": 1})
    assert crum.get_current_user() is None
    assert acting_label() is None
    assert crum.get_current_request() is None
    assert writers() == {"sticky": str(other.pk)}


@pytest.mark.parametrize(
    "middleware",
    [[*DJANGOS, OURS], [CRUMS, *DJANGOS, OURS], [*DJANGOS, CRUMS, OURS], [*DJANGOS, OURS, CRUMS]],
    ids=["alone", "crum-first", "crum-before", "crum-after"],
)
def test_nested_requests_give_back_the_outer_one(settings, site, user, other, middleware):
    """A request made inside a view is its own user's; afterwards the outer one is back."""
    settings.MIDDLEWARE = middleware
    carol = User.objects.create(username="carol")
    response = site.get("/nested/", {"as": "bob"})
    # crum keeps the request per thread: under ASGI only its own middleware may tell it.
    assert response.json()["request is back"] or site.is_async
    assert writers() == {
        "outer before": str(user.pk),
        "inner": str(other.pk),
        "outer after": str(user.pk),
    }
    Note.objects.all().delete()
    site.get("/nested_impersonating/", {"as": "carol", "login": "bob"})
    assert writers() == {"inner": str(carol.pk), "inside": str(carol.pk), "after": str(user.pk)}
    assert crum.get_current_user() is None
    assert crum.get_current_request() is None


@pytest.mark.parametrize(
    "middleware",
    [[CRUMS, *DJANGOS, OURS], [*DJANGOS, OURS, CRUMS], [CRUMS, *DJANGOS]],
    ids=["crum-before", "crum-after", "crum-alone"],
)
def test_crums_own_middleware_keeps_working(settings, user, other, middleware):
    """Before ours, after it, or without it, crum knows its request and user, and rows are right."""
    settings.MIDDLEWARE = middleware
    for is_async in (False, True):
        site = Site(is_async=is_async, user=user)
        assert site.get("/crums/").json() == {"request": True, "user": user.pk}
        site.get("/impersonate/", {"as": "bob"})
        assert writers() == {
            "before": str(user.pk),
            "inside": str(other.pk),
            "nobody": "system",
            "after": str(user.pk),
        }
        Note.objects.all().delete()
    assert crum.get_current_user() is None


def test_impersonation_around_a_request(site, other):
    """Whom a test or a job names outside is named inside as well, and still afterwards."""
    with crum.impersonate(other):
        site.get("/write/")
        assert crum.get_current_user() == other
    assert crum.get_current_user() is None
    assert writers() == {"write": str(other.pk)}


def test_stream_belongs_to_its_request(site, user):
    """Each step and the end of a streaming body, though the middleware has returned long before."""
    for path in ("/stream/", "/astream/"):
        if site.is_async != (path == "/astream/"):
            continue
        response = site.get(path)
        assert acting_label() is None
        assert response.streaming
        if site.is_async:

            async def consume(response=response):
                seen = []
                async for chunk in response:
                    seen.append((chunk, acting_label()))
                return seen

            seen = async_to_sync(consume)()
        else:
            seen = [(chunk, acting_label()) for chunk in response]
        close(response)
        assert seen == [(b"1", None), (b"2", None)]
    assert writers() == dict.fromkeys(["first", "second", "finally"], str(user.pk))
    assert acting_label() is None


def respond(view, user, data=None):
    """The response as a server gets it; a test client would wrap the content once more."""
    request = RequestFactory().get("/", data or {})
    request.user = user
    response = AuditMiddleware(view)(request)
    assert acting_label() is None
    return response


def test_abandoned_stream_ends_as_its_request(user):
    """A client that hangs up closes the body, whose `finally` is still its request's doing."""
    response = respond(urls.stream, user)
    with acting_as("server"):
        assert next(iter(response)) == b"1"
        assert acting_label() == "server"
        close(response)
        assert acting_label() == "server"
    assert writers() == {"first": str(user.pk), "finally": str(user.pk)}


def test_abandoned_async_stream_ends_as_its_request(user):
    """The same on an event loop, by closing the content."""

    async def main():
        response = await respond(urls.astream, user)
        with acting_as("server"):
            content = response.streaming_content
            assert await anext(content) == b"1"
            assert acting_label() == "server"
            await response._iterator.aclose()
            assert acting_label() == "server"

    async_to_sync(main)()
    assert writers() == {"first": str(user.pk), "finally": str(user.pk)}


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_dropped_async_stream_ends_as_its_request(user, in_a_cycle):
    """The same when nobody closes the content, and the garbage collector comes for it."""
    ended_by = []

    async def view(request):
        async def body():
            try:
                yield b"1"
                yield b"2"
            finally:
                await asyncio.sleep(0)
                ended_by.append(current_actor())

        return StreamingHttpResponse(body())

    async def main():
        user_request = RequestFactory().get("/")
        user_request.user = user
        response = await AuditMiddleware(view)(user_request)
        if in_a_cycle:
            response.itself = response
        with acting_as("server"):
            async for _ in response:
                break
            del response
            gc.collect()
            # The loop makes a task of each finalizer in its next round, and one may drop another.
            for _ in range(3):
                await asyncio.sleep(0)
                await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(main())
    assert ended_by == [str(user.pk)]


def test_client_that_hangs_up_on_an_event_loop(user):
    """Django's own handler cancels the body or drops it; its `finally` is its request's doing."""
    ended_by = []

    async def view(request):
        request.user = user

        async def body():
            try:
                while True:
                    yield b"more"
                    await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0)
                ended_by.append(current_actor())

        return StreamingHttpResponse(body())

    class Handler(ASGIHandler):
        async def get_response_async(self, request):
            return await AuditMiddleware(view)(request)

    async def main():
        sent = asyncio.Queue()
        messages = [{"type": "http.request"}]

        async def receive():
            if messages:
                return messages.pop()
            while (await sent.get()).get("body") != b"more":
                pass
            return {"type": "http.disconnect"}

        scope = AsyncRequestFactory()._base_scope(path="/")
        await Handler()(scope, receive, sent.put)
        assert acting_label() is None
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert ended_by == [str(user.pk)]


def test_stream_of_an_async_iterator(user):
    """An iterator that is no generator produces its content as its request, too."""

    class Chunks:
        def __init__(self):
            self.left = [b"1", b"2"]
            self.produced_by = []

        def __aiter__(self):
            return self

        async def __anext__(self):
            await asyncio.sleep(0)
            self.produced_by.append(current_actor())
            if self.left:
                return self.left.pop(0)
            raise StopAsyncIteration

    chunks = Chunks()

    async def view(request):
        return StreamingHttpResponse(chunks)

    async def main():
        response = await respond(view, user)
        with acting_as("server"):
            return [(chunk, current_actor()) async for chunk in response]

    assert asyncio.run(main()) == [(b"1", "server"), (b"2", "server")]
    assert chunks.produced_by == [str(user.pk)] * 3


def test_failing_stream_leaves_nothing(user):
    """An error in the body reaches the server, with the server's own actor in place."""
    response = respond(urls.stream, user, {"fail": 1})
    with acting_as("server"):
        with pytest.raises(ZeroDivisionError):
            list(response)
        assert acting_label() == "server"
        close(response)
    assert writers() == {"first": str(user.pk), "finally": str(user.pk)}


def test_stream_of_a_request_inside_a_job_is_the_jobs(user):
    """`acting_as` around a request wins over it, also for what it streams after the block."""
    with acting_as("job"):
        response = Site(is_async=False, user=user).get("/stream/")
    assert b"".join(response) == b"12"
    assert writers() == dict.fromkeys(["first", "second", "finally"], "job")


def test_whom_a_stream_names_stays_named_in_it_alone(user, other):
    """What crum is told in a body holds for its next steps and never for the consumer."""
    for _ in respond(urls.stream, user, {"as": "bob"}):
        assert crum.get_current_user() is None
    assert writers() == {
        "first": str(user.pk),
        "second": str(other.pk),
        "finally": str(other.pk),
    }


def test_file_is_left_to_the_server(user):
    """A wrapped file would lose the server's `sendfile`."""
    response = respond(urls.file, user)
    assert response.file_to_stream is not None
    assert "close" not in vars(response)
    close(response)


def test_decorated_async_view(site):
    """`acting_as` on a view names the writer, whoever is logged in."""
    site.get("/adecorated/")
    assert writers() == {"decorated": "decorated"}


def test_tasks_and_threads_of_a_request(user):
    """What a view starts carries its context along, and concurrent parts keep apart."""
    Site(is_async=True, user=user).get("/agather/")
    expected = {f"part:{number}": f"part:{number}" for number in range(5)}
    assert writers() == expected | {"rest": str(user.pk)}


@pytest.mark.parametrize("raised", [LookupError, KeyboardInterrupt, asyncio.CancelledError])
def test_middleware_called_directly(user, raised):
    """Also without Django's handler around, an error leaves the outer state as it was."""

    def failing(request):
        crum.set_current_user(user)
        acting_as("left open").__enter__()
        preserve_audit_fields().__enter__()
        assert current_actor() == "left open"
        raise raised

    async def afailing(request):
        await asyncio.sleep(0)
        failing(request)

    request = RequestFactory().get("/")
    with acting_as("outer"):
        with pytest.raises(raised):
            AuditMiddleware(failing)(request)
        assert current_actor() == "outer"

        async def main():
            with pytest.raises(raised):
                await AuditMiddleware(afailing)(request)
            return current_actor(), crum.get_current_user()

        assert async_to_sync(main)() == ("outer", None)
    assert acting_label() is None
    assert not is_preserving()
    assert crum.get_current_user() is None
    assert crum.get_current_request() is None


def test_request_without_authentication():
    """Without AuthenticationMiddleware there is no `request.user`, and nobody is acting."""
    request = RequestFactory().get("/")
    AuditMiddleware(lambda request: Note.objects.create(text="nobody"))(request)
    request.user = None
    AuditMiddleware(lambda request: Note.objects.create(text="none"))(request)
    assert writers() == {"nobody": "system", "none": "system"}


def test_user_that_cannot_be_read_is_logged_once(user, caplog):
    """The writes go on with the fallback; the next request, whose user can be read, has a name."""
    state = {"broken": True}

    def load():
        if state["broken"]:
            raise OSError("the directory is down")
        return user

    def view(request):
        for number in range(3):
            Note.objects.create(text=f"down {number}")
        state["broken"] = False
        Note.objects.create(text="up again")

    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(load)
    AuditMiddleware(view)(request)
    assert writers() == dict.fromkeys(["down 0", "down 1", "down 2"], "system") | {
        "up again": str(user.pk)
    }
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("django_audit_fields", "WARNING")
    ]


def test_interrupt_while_the_user_is_read_passes_through():
    """Only errors are survived; a server that stops, or a cancelled task, does stop."""

    def interrupted():
        raise KeyboardInterrupt

    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(interrupted)
    with pytest.raises(KeyboardInterrupt):
        AuditMiddleware(lambda request: Note.objects.create(text="never"))(request)
    assert writers() == {}
    assert not is_resolving()


def test_user_whose_loading_writes(user):
    """Loading may write, say a login time: that is nobody's, and does not load again."""
    loads = []

    def load():
        loads.append(is_resolving())
        Note.objects.create(text="while loading")
        return user

    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(load)
    AuditMiddleware(lambda request: Note.objects.create(text="write"))(request)
    assert loads == [True]
    assert writers() == {"while loading": "system", "write": str(user.pk)}


def test_request_class_whose_user_is_a_property(user, caplog):
    """Some projects query there: the property is not asked again while it answers."""
    asked = []

    class Request(WSGIRequest):
        @property
        def user(self):
            asked.append(acting_label())
            Note.objects.create(text="while asking")
            return User.objects.get(pk=user.pk)

    def view(request):
        Note.objects.create(text="write")

    AuditMiddleware(view)(Request(RequestFactory()._base_environ()))
    assert set(asked) == {None}
    assert writers() == {"while asking": "system", "write": str(user.pk)}
    assert caplog.records == []


def test_settings_may_change_within_a_request(user, settings):
    """A label is remembered for the settings it was made with."""

    def view(request):
        seen = [current_actor()]
        with override_settings(AUDIT_FIELDS={"ACTOR": lambda user: user.username}):
            seen.append(current_actor())
        return [*seen, current_actor()]

    request = RequestFactory().get("/")
    request.user = user
    assert AuditMiddleware(view)(request) == [str(user.pk), "alice", str(user.pk)]


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
