"""Who is acting, by `acting_as`: its rules, its forms, and what it refuses."""

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import override_settings
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from django_audit_fields import acting_as, current_actor, preserve_audit_fields
from django_audit_fields.actors import acting_label, is_preserving, is_resolving
from tests.actors.actorapp.models import Account


def test_nobody_acts_by_default():
    """Without anything set the fallback would be stamped."""
    assert acting_label() is None
    assert current_actor() == "system"


def test_innermost_acts():
    """Blocks nest, and each end brings back the one around it."""
    with acting_as("outer"):
        with acting_as("inner"):
            assert current_actor() == "inner"
        assert current_actor() == "outer"
    assert acting_label() is None


def test_error_restores_the_outer_actor():
    """A block left by an exception leaves nothing behind."""
    with acting_as("outer"):
        with pytest.raises(KeyboardInterrupt), acting_as("inner"):
            raise KeyboardInterrupt
        assert current_actor() == "outer"


def test_one_object_is_used_again_and_inside_itself():
    """`acting_as` keeps nothing on the object, so it may be entered any number of times."""
    job = acting_as("job")
    with job:
        with acting_as("other"), job:
            assert current_actor() == "job"
        with job:
            assert current_actor() == "job"
        assert current_actor() == "job"
    with job:
        assert current_actor() == "job"
    assert acting_label() is None


def test_exits_in_another_order_end_their_own_block():
    """A block that ends late, such as a closed generator's, does not end somebody else's."""

    def paused():
        with acting_as("paused"):
            yield

    generator = paused()
    next(generator)
    with acting_as("consumer"):
        generator.close()
        assert current_actor() == "consumer"
    assert acting_label() is None


def test_exit_in_another_context_takes_nothing_away():
    """An exit that runs where the block was not entered leaves that context's actor alone."""
    scope = acting_as("elsewhere")
    contextvars.copy_context().run(scope.__enter__)
    with acting_as("here"):
        scope.__exit__(None, None, None)
        assert current_actor() == "here"


def test_exit_stack_unwinds():
    """`acting_as` works with everything that takes a context manager."""
    with ExitStack() as stack:
        stack.enter_context(acting_as("a"))
        stack.enter_context(acting_as("b"))
        assert current_actor() == "b"
    assert acting_label() is None


def test_anonymous_user_means_nobody():
    """Inside, the fallback is stamped, not the name of whoever acts outside."""
    with acting_as("outer"), acting_as(AnonymousUser()):
        assert acting_label() is None
        assert current_actor() == "system"


@pytest.mark.parametrize(
    "label", ["", "x" * 51, "a\0b", "\ud800", mark_safe(""), gettext_lazy(""), b"".decode()]
)
def test_text_that_is_no_label_is_refused_at_the_call(label):
    """What PostgreSQL could not store never gets as far as a write."""
    with pytest.raises(ValueError, match="label"):
        acting_as(label)


@pytest.mark.parametrize(
    "actor", [None, 7, 7.5, b"7", True, object(), User, acting_as, ["7"], Group(name="g", pk=1)]
)
def test_what_is_neither_user_nor_text_is_refused_at_the_call(actor):
    """The error names the value, and nothing was written yet."""
    with pytest.raises(TypeError, match="user or a label"):
        acting_as(actor)


@pytest.mark.parametrize("user", [User(), SimpleLazyObject(User)])
def test_unsaved_user_is_refused(user):
    """A user without a row could not be found again by its label."""
    with pytest.raises(ValueError, match="saved"), acting_as(user):
        pytest.fail("entered")
    assert acting_label() is None


@pytest.mark.django_db
def test_user_with_a_key_of_its_own_making():
    """A UUID says nothing about the row: such a user acts once it is saved."""
    account = Account()
    with pytest.raises(ValueError, match="saved"):
        acting_as(account)
    account.save()
    with acting_as(account):
        assert current_actor() == str(account.pk)
    with acting_as(Account.objects.get()):
        assert current_actor() == str(account.pk)
    account.delete()


def test_user_that_is_no_model():
    """A token's user has a key and no row; one without a key is named by the project's `ACTOR`."""

    class TokenUser:
        is_authenticated, is_anonymous, pk = True, False, "token:7"

    class Service:
        is_authenticated, is_anonymous, name = True, False, "service:mail"

    with acting_as(TokenUser()):
        assert current_actor() == "token:7"
    with override_settings(AUDIT_FIELDS={"ACTOR": lambda user: user.name}), acting_as(Service()):
        assert current_actor() == "service:mail"


def test_label_is_plain_text():
    """Whatever subclass of text was given, the label is a `str` of the same characters."""
    for text in (mark_safe("<b>"), gettext_lazy("<b>"), SimpleLazyObject(lambda: "<b>")):
        with acting_as(text):
            assert type(acting_label()) is str
            assert acting_label() == "<b>"


def test_user_acts_by_its_key():
    """The default label of a user is its primary key."""
    with acting_as(User(pk=42)):
        assert current_actor() == "42"


def test_lazy_user_is_not_read_before_it_acts():
    """Making the block reads nothing; entering it reads the user once."""
    reads = []
    job = acting_as(SimpleLazyObject(lambda: reads.append(1) or User(pk=7)))
    assert reads == []
    with job:
        assert [current_actor(), current_actor()] == ["7", "7"]
    assert reads == [1]


def test_decorated_function_acts_at_each_call():
    """Recursion and methods included; the function keeps its name."""

    @acting_as("job")
    def countdown(n):
        """Doc."""
        return [current_actor()] + (countdown(n - 1) if n else [])

    class Service:
        @acting_as("method")
        def method(self):
            return self, current_actor()

        @acting_as("class")
        @classmethod
        def of_class(cls):
            return cls, current_actor()

        @staticmethod
        @acting_as("static")
        def static():
            return current_actor()

        @acting_as("property")
        def get(self):
            return current_actor()

        named = property(get)

    service = Service()
    assert countdown(2) == ["job"] * 3
    assert (countdown.__name__, countdown.__doc__) == ("countdown", "Doc.")
    assert service.method() == (service, "method")
    assert service.of_class() == (Service, "class")
    assert service.static() == "static"
    assert service.named == "property"
    assert acting_label() is None


@pytest.mark.parametrize("thing", [User, 7, "text", None])
def test_decorating_what_is_no_function_is_refused(thing):
    """A class would turn into a function, so its methods are what to decorate."""
    with pytest.raises(TypeError, match="functions and methods"):
        acting_as("job")(thing)


def test_decorator_refuses_a_bad_label_at_decoration():
    """Not at the first call, which may be weeks later."""
    with pytest.raises(ValueError, match="label"):

        @acting_as("")
        def never():
            pass


def test_decorated_generator_acts_in_its_body_only():
    """At each step of the body, through send, throw and close; never in the consumer."""
    seen = []

    @acting_as("body")
    def steps():
        try:
            got = yield current_actor()
            seen.append((got, current_actor()))
            try:
                yield "second"
            except LookupError:
                seen.append(("caught", current_actor()))
            with acting_as("deeper"):
                yield current_actor()
                seen.append(("deeper", current_actor()))
            yield current_actor()
        finally:
            seen.append(("finally", current_actor()))

    generator = steps()
    assert next(generator) == "body"
    with acting_as("consumer"):
        assert generator.send("hello") == "second"
        assert current_actor() == "consumer"
        assert generator.throw(LookupError()) == "deeper"
        assert current_actor() == "consumer"
    assert acting_label() is None
    assert next(generator) == "body"
    generator.close()
    assert acting_label() is None
    assert seen == [
        ("hello", "body"),
        ("caught", "body"),
        ("deeper", "deeper"),
        ("finally", "body"),
    ]


def test_decorated_generator_returns_and_raises_like_itself():
    """`yield from` gets the value, and an error leaves the consumer's actor alone."""

    @acting_as("body")
    def returning():
        yield 1
        return current_actor()

    @acting_as("body")
    def failing():
        yield 1
        raise ArithmeticError

    def consumer():
        return (yield from returning())

    generator = consumer()
    next(generator)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "body"
    with acting_as("consumer"), pytest.raises(ArithmeticError):
        list(failing())
    assert acting_label() is None


def test_decorated_coroutines_keep_apart():
    """Fifty at once, one object: each sees its own actor after every await."""

    @acting_as("shared")
    async def shared():
        await asyncio.sleep(0)
        return current_actor()

    async def own(number):
        async with acting_as(f"task:{number}"):
            seen = []
            for _ in range(5):
                await asyncio.sleep(0)
                seen.append(current_actor())
                seen.append(await sync_to_async(current_actor)())
            assert await shared() == "shared"
            return set(seen)

    async def main():
        return await asyncio.gather(*(own(number) for number in range(50)))

    assert asyncio.run(main()) == [{f"task:{number}"} for number in range(50)]


def test_decorated_async_generator_acts_in_its_body_only():
    """As for generators, with the awaits between the steps included."""
    seen = []

    @acting_as("body")
    async def steps():
        try:
            await asyncio.sleep(0)
            got = yield current_actor()
            seen.append((got, current_actor()))
            try:
                yield "second"
            except LookupError:
                await asyncio.sleep(0)
                seen.append(("caught", current_actor()))
            yield "third"
        finally:
            await asyncio.sleep(0)
            seen.append(("finally", current_actor()))

    async def main():
        generator = steps()
        assert await anext(generator) == "body"
        assert acting_label() is None
        with acting_as("consumer"):
            assert await generator.asend("hello") == "second"
            assert current_actor() == "consumer"
            assert await generator.athrow(LookupError()) == "third"
            assert current_actor() == "consumer"
            await generator.aclose()
            assert current_actor() == "consumer"
        assert [item async for item in steps()] == ["body", "second", "third"]
        assert acting_label() is None

    asyncio.run(main())
    assert seen == [
        ("hello", "body"),
        ("caught", "body"),
        ("finally", "body"),
        (None, "body"),
        ("finally", "body"),
    ]


class Holder:
    """Part of a cycle, as a traceback is."""

    def __init__(self, ended_by):
        self.ended_by = ended_by

    def body(self):
        try:
            yield
        finally:
            self.ended_by.append(current_actor())

    async def abody(self):
        try:
            yield
        finally:
            await asyncio.sleep(0)
            self.ended_by.append(current_actor())


@contextmanager
def collecting():
    """The collector comes at the end, in somebody's name."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    with acting_as("collector"):
        gc.collect()
        assert current_actor() == "collector"


def test_garbage_ends_as_its_own_actor():
    """Whoever acts when the collector comes, a body's `finally` is its actor's doing."""
    ended_by = []
    with collecting():
        for number in range(20):
            holder = Holder(ended_by)
            holder.generator = acting_as(f"body {number}")(holder.body)()
            next(holder.generator)
            del holder
    assert sorted(ended_by) == sorted(f"body {number}" for number in range(20))


def test_async_garbage_ends_as_its_own_actor():
    """The same on an event loop."""
    ended_by = []

    async def main():
        with collecting():
            for number in range(20):
                holder = Holder(ended_by)
                holder.generator = acting_as(f"body {number}")(holder.abody)()
                await anext(holder.generator)
                del holder
        for _ in range(6):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert sorted(ended_by) == sorted(f"body {number}" for number in range(20))


def test_loop_that_shuts_down_ends_bodies_as_their_own_actor():
    """Async generators that nobody finished are ended by the loop, each in its actor's name."""
    ended_by = []

    async def body():
        try:
            yield
        finally:
            await asyncio.sleep(0)
            ended_by.append(current_actor())

    async def main():
        generators = [acting_as(f"body {number}")(body)() for number in range(20)]
        for generator in generators:
            await anext(generator)
        with acting_as("loop"):
            await asyncio.get_running_loop().shutdown_asyncgens()

    asyncio.run(main())
    assert sorted(ended_by) == sorted(f"body {number}" for number in range(20))


def test_callable_objects_keep_the_actor_to_their_end():
    """An object whose `__call__` is a coroutine function acts while it is awaited."""

    class Job:
        async def __call__(self):
            await asyncio.sleep(0)
            return current_actor()

    async def main():
        return await acting_as("job")(Job())()

    assert asyncio.run(main()) == "job"


def test_threads():
    """What carries context variables carries the actor; a bare thread has nobody."""
    seen = {}

    def look(name):
        seen[name] = acting_label()

    with acting_as("main"), ThreadPoolExecutor(1) as executor:
        thread = threading.Thread(target=look, args=["bare"])
        thread.start()
        thread.join()
        executor.submit(look, "executor").result()
        executor.submit(contextvars.copy_context().run, look, "copied").result()
        async_to_sync(sync_to_async(look))("sensitive")
        async_to_sync(sync_to_async(look, thread_sensitive=False))("insensitive")
        asyncio.run(asyncio.to_thread(look, "to_thread"))
    assert seen == {
        "bare": None,
        "executor": None,
        "copied": "main",
        "sensitive": "main",
        "insensitive": "main",
        "to_thread": "main",
    }


def failing_actor(user):
    raise ZeroDivisionError("no name")


@pytest.mark.parametrize(
    "actor",
    [failing_actor, lambda user: None, lambda user: user.pk, lambda user: "", "no.such.name"],
)
def test_actor_that_cannot_name_is_logged_once_and_the_block_is_nobodys(actor, caplog):
    """A broken `ACTOR` costs the name, neither the write nor a log line per row."""
    with override_settings(AUDIT_FIELDS={"ACTOR": actor}), acting_as("outer"):
        for _ in range(3):
            with acting_as(User(pk=7)):
                assert current_actor() == "system"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_interrupt_passes_through():
    """What is no error of the application's is not swallowed, and leaves nothing behind."""

    def interrupted(user):
        raise KeyboardInterrupt

    with (
        override_settings(AUDIT_FIELDS={"ACTOR": interrupted}),
        pytest.raises(KeyboardInterrupt),
        acting_as(User(pk=7)),
    ):
        pytest.fail("entered")
    assert not is_resolving()
    assert acting_label() is None


def test_asking_while_a_label_is_worked_out_answers_nobody():
    """`ACTOR` may query and write; that is nobody's doing and does not ask again."""
    seen = []

    def asking(user):
        seen.append((acting_label(), is_resolving()))
        with acting_as("x"), acting_as(user):
            seen.append((acting_label(), is_resolving()))
        return "named"

    with override_settings(AUDIT_FIELDS={"ACTOR": asking}), acting_as("outer"):
        with acting_as(User(pk=7)):
            assert current_actor() == "named"
        assert not is_resolving()
    assert seen == [(None, True), (None, True)]


def test_preserving_holds_inside():
    """Nests, restores on error, and decorates."""

    @preserve_audit_fields()
    def restore():
        return is_preserving()

    with preserve_audit_fields():
        with pytest.raises(LookupError), preserve_audit_fields():
            raise LookupError
        assert is_preserving()
    assert not is_preserving()
    assert restore()
    assert not is_preserving()


def test_methods_through_djangos_method_decorator():
    """The way class-based views are decorated."""

    @method_decorator(acting_as("view"), name="get")
    class Page:
        def get(self):
            return current_actor()

    assert Page().get() == "view"
