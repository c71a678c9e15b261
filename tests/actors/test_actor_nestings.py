"""Any nesting of `acting_as`, crum's functions and requests, against a model of the rules."""

import asyncio
import contextlib
import contextvars

import crum
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_audit_fields import acting_as, preserve_audit_fields
from django_audit_fields.actors import acting_label, is_preserving
from django_audit_fields.middleware import AuditMiddleware

UNSET = "unset"
USERS = [User(pk=number) for number in range(1, 5)]
people = st.sampled_from([*USERS, AnonymousUser()])
actors = people | st.sampled_from(["job", "import:claims", "x" * 50])

#: A program is a list of steps: some say something, the others hold a program of their own.
leaves = st.one_of(
    st.just(("raise",)),
    st.tuples(st.just("name"), people | st.sampled_from([None, False])),
    st.tuples(st.just("authenticate"), people),
)


def blocks(programs):
    return st.one_of(
        st.tuples(st.just("acting"), actors, programs),
        st.tuples(st.just("decorated"), actors, programs),
        st.tuples(st.just("generator"), actors, programs, programs),
        st.tuples(st.just("impersonate"), people | st.none(), programs),
        st.tuples(st.just("request"), people, programs, st.sampled_from(["", "before", "after"])),
        st.tuples(st.just("preserve"), programs),
        st.tuples(st.just("catch"), programs),
    )


programs = st.recursive(
    st.lists(leaves, max_size=4),
    lambda inner: st.lists(leaves | blocks(inner), max_size=4),
    max_leaves=25,
)


class Raised(Exception):  # noqa: N818 - no error, a way out of blocks
    pass


class Model:
    """What the rules say is set. A block puts back what it set, however it ends."""

    def __init__(self):
        self.acting = self.named = self.requesting = UNSET
        self.preserving = False

    def __call__(self, **changes):
        return Block(self, changes)

    def expected(self):
        user = self.named if self.named is not UNSET else self.requesting
        claimed = self.acting if self.acting is not UNSET else user
        return {
            "label": label(claimed),
            "crum": None if user is UNSET or user is None else user.pk,
            "preserving": self.preserving,
        }


def label(claimed):
    if claimed is UNSET or claimed is None:
        return None
    if isinstance(claimed, str):
        return claimed
    return None if claimed.pk is None else str(claimed.pk)


class Block:
    def __init__(self, model, changes):
        self.model, self.changes = model, changes

    def __enter__(self):
        self.before = {name: getattr(self.model, name) for name in self.changes}
        vars(self.model).update(self.changes)

    def __exit__(self, *error):
        vars(self.model).update(self.before)


def check(model):
    user = crum.get_current_user()
    assert {
        "label": acting_label(),
        "crum": None if user is None else user.pk,
        "preserving": is_preserving(),
    } == model.expected()


def request_of(user):
    request = RequestFactory().get("/")
    authenticate(request, user)
    return request


def authenticate(request, user):
    # An object of its own: crum is handed back what it lent, and that goes by identity.
    request.user = AnonymousUser() if user.pk is None else User(pk=user.pk)


def respond(crums, view, user):
    """With crum's own middleware before ours, after it, or not at all."""
    if crums == "after":
        view = crum.CurrentRequestUserMiddleware(view)
    respond_inside = AuditMiddleware(view)
    if crums == "before":
        respond_inside = crum.CurrentRequestUserMiddleware(respond_inside)
    respond_inside(request_of(user))


def run(program, model, request):
    for step, *rest in program:
        if step == "raise":
            raise Raised
        elif step == "name":
            crum.set_current_user(rest[0])
            model.named = UNSET if rest[0] is False else rest[0]
        elif step == "authenticate" and request is not None:
            authenticate(request, rest[0])
            model.requesting = rest[0]
        elif step == "catch":
            with contextlib.suppress(Raised):
                run(rest[0], model, request)
        elif step == "acting":
            with acting_as(rest[0]), model(acting=rest[0]):
                run(rest[1], model, request)
        elif step == "decorated":
            with model(acting=rest[0]):
                acting_as(rest[0])(run)(rest[1], model, request)
        elif step == "generator":

            def halves(rest=rest):
                # Whom the body names is named in the body.
                inside = {"acting": rest[0], "named": model.named}
                with model(**inside):
                    run(rest[1], model, request)
                    inside["named"] = model.named
                yield
                with model(**inside):
                    run(rest[2], model, request)

            for _ in acting_as(rest[0])(halves)():
                check(model)
        elif step == "impersonate":
            with crum.impersonate(rest[0]), model(named=rest[0]):
                run(rest[1], model, request)
        elif step == "preserve":
            with preserve_audit_fields(), model(preserving=True):
                run(rest[0], model, request)
        elif step == "request":
            everything = {"acting": model.acting, "named": model.named, "requesting": rest[0]}
            try:
                with model(**everything):
                    respond(rest[2], lambda inner, rest=rest: run(rest[1], model, inner), rest[0])
            finally:
                if rest[2] == "before" and request is None:
                    # crum's own middleware around all of ours names nobody when it ends.
                    model.named = UNSET
        check(model)


async def arun(program, model, request):
    for step, *rest in program:
        await asyncio.sleep(0)
        check(model)
        if step == "raise":
            raise Raised
        elif step == "name":
            crum.set_current_user(rest[0])
            model.named = UNSET if rest[0] is False else rest[0]
        elif step == "authenticate" and request is not None:
            authenticate(request, rest[0])
            model.requesting = rest[0]
        elif step == "catch":
            with contextlib.suppress(Raised):
                await arun(rest[0], model, request)
        elif step == "acting":
            async with acting_as(rest[0]):
                with model(acting=rest[0]):
                    await arun(rest[1], model, request)
        elif step == "decorated":
            with model(acting=rest[0]):
                await acting_as(rest[0])(arun)(rest[1], model, request)
        elif step == "generator":

            async def halves(rest=rest):
                inside = {"acting": rest[0], "named": model.named}
                with model(**inside):
                    await arun(rest[1], model, request)
                    inside["named"] = model.named
                yield
                with model(**inside):
                    await arun(rest[2], model, request)

            async for _ in acting_as(rest[0])(halves)():
                check(model)
        elif step == "impersonate":
            with crum.impersonate(rest[0]), model(named=rest[0]):
                await arun(rest[1], model, request)
        elif step == "preserve":
            async with preserve_audit_fields():
                with model(preserving=True):
                    await arun(rest[0], model, request)
        elif step == "request":

            async def view(inner, rest=rest):
                await arun(rest[1], model, inner)

            everything = {"acting": model.acting, "named": model.named, "requesting": rest[0]}
            with model(**everything):
                await AuditMiddleware(view)(request_of(rest[0]))
        check(model)


#: Found by the tests below: an impersonation around an authentication pinned the user before it.
AUTHENTICATED_MEANWHILE = [
    (
        "request",
        USERS[1],
        [("impersonate", None, [("authenticate", USERS[0]), ("name", False)])],
        "",
    )
]


def run_to_its_end(program):
    model = Model()
    with contextlib.suppress(Raised):
        run(program, model, None)
    check(model)


async def arun_to_its_end(program):
    model = Model()
    with contextlib.suppress(Raised):
        await arun(program, model, None)
    check(model)


@given(programs)
@example(AUTHENTICATED_MEANWHILE)
@settings(deadline=None, max_examples=200)
def test_any_nesting_in_one_thread(program):
    """At every point the label, crum's user and preservation are what the rules say."""
    contextvars.copy_context().run(run_to_its_end, program)


@given(st.lists(programs, min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_any_nestings_interleaved_on_an_event_loop(several):
    """The same for programs that take turns, each as if it were alone."""

    async def main():
        await asyncio.gather(*(arun_to_its_end(program) for program in several))

    asyncio.run(main())


def test_model_would_notice():
    """The check fails when crum's user and the model's differ."""
    model = Model()
    model.named = USERS[0]
    with pytest.raises(AssertionError):
        check(model)
