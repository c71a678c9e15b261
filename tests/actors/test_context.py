"""`audit_context`: what is told of a change, and what a request tells by itself."""

import asyncio
import contextlib
import json
import re

import pytest
from django.http import HttpRequest, HttpResponse
from hypothesis import given
from hypothesis import strategies as st

from django_audit_fields import acting_as, audit_context
from django_audit_fields.actors import context_text, handed_on
from django_audit_fields.middleware import AuditMiddleware


def told():
    text = context_text()
    return json.loads(text) if text else {}


def request(path="/patients/17/", method="POST", **meta):
    made = HttpRequest()
    made.method, made.path, made.META = method, path, meta
    return made


def told_in(made, block=None):
    found = []

    def view(request):
        found.append(told())
        if block is not None:
            with block:
                found.append(told())
        return HttpResponse()

    AuditMiddleware(view)(made)
    return found


def test_inner_values_win_and_end_with_their_block():
    """Blocks merge, and each takes its own away again, also on an error."""
    assert context_text() == ""
    with audit_context(reason="outer", on_behalf_of="patient:4711", batch=7):
        inner = {"reason": "inner", "tags": ["a"]}
        with contextlib.suppress(ZeroDivisionError), audit_context(**inner):
            assert told() == {"on_behalf_of": "patient:4711", "batch": 7, **inner}
            raise ZeroDivisionError
        assert told() == {"reason": "outer", "on_behalf_of": "patient:4711", "batch": 7}
    assert context_text() == ""


def test_it_decorates_functions_coroutines_and_generators():
    """What it tells holds in the body, and never for a consumer between two steps."""

    @audit_context(reason="function")
    def function():
        return told()

    @audit_context(reason="coroutine")
    async def coroutine():
        await asyncio.sleep(0)
        return told()

    @audit_context(reason="generator")
    def generator():
        yield told()
        yield told()

    async def managed():
        async with audit_context(reason="async with"):
            return told()

    assert function() == {"reason": "function"}
    assert asyncio.run(coroutine()) == {"reason": "coroutine"}
    assert asyncio.run(managed()) == {"reason": "async with"}
    steps = generator()
    assert next(steps) == {"reason": "generator"}
    assert told() == {}
    assert next(steps) == {"reason": "generator"}


def test_tasks_keep_apart():
    """Fifty tasks on one loop, each with its own reason."""

    async def work(number):
        with audit_context(reason=f"task {number}"):
            await asyncio.sleep(0)
            with acting_as("somebody"):
                await asyncio.sleep(0)
                return told()["reason"]

    async def main():
        return await asyncio.gather(*(work(number) for number in range(50)))

    assert asyncio.run(main()) == [f"task {number}" for number in range(50)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"reason": 5}, TypeError),
        ({"on_behalf_of": b"x"}, TypeError),
        ({"more": object()}, TypeError),
        ({"more": float("nan")}, TypeError),
        ({"reason": ""}, ValueError),
        ({"reason": " \n"}, ValueError),
        ({"reason": "a\0b"}, ValueError),
        ({"more": {"deep": ["\ud800"]}}, ValueError),
        ({"more": "x" * 8192}, ValueError),
    ],
)
def test_what_cannot_be_sent_is_refused(arguments, error):
    """At once, naming the argument, and before anything is written."""
    with pytest.raises(error, match="audit_context"):
        audit_context(**arguments)


@pytest.mark.parametrize("text", [r"C:\u0000dir", "a\\\\u0000", "\x01", "\U0001f600"])
def test_text_that_only_looks_like_a_nul_is_sent(text):
    """A backslash before `u0000` is text like any other."""
    with audit_context(reason=text, deep=[text]):
        assert told() == {"reason": text, "deep": [text]}


@pytest.mark.parametrize("text", ["\0", "\\\0", "\\\\\0", "\n\0"])
def test_a_nul_is_refused_whatever_stands_before_it(text):
    """PostgreSQL's jsonb would refuse it, and the write with it."""
    with pytest.raises(ValueError, match="NUL"):
        audit_context(note=text)


def test_more_than_fits_together_is_refused_where_it_is_entered():
    """Each fits by itself, both do not."""
    with (
        audit_context(a="x" * 5000),
        pytest.raises(ValueError, match="8192"),
        audit_context(b="x" * 5000),
    ):
        pass
    assert context_text() == ""


@given(st.dictionaries(st.text(min_size=1).filter(str.isidentifier), st.integers(), max_size=5))
def test_any_values_come_back(values):
    """The text is the JSON object of what was told."""
    kept = {name: value for name, value in values.items() if name not in ("reason", "self")}
    kept = {
        name: value
        for name, value in kept.items()
        if name not in ("on_behalf_of", "source", "request_id")
    }
    with audit_context(**kept):
        assert told() == kept


def test_a_request_tells_where_a_change_came_from():
    """Method and path without the query; an id, the same for all of the request."""
    [first, second] = told_in(
        request(QUERY_STRING="token=secret"), audit_context(reason="phone call")
    )
    assert first["source"] == "POST /patients/17/"
    assert re.fullmatch("[0-9a-f]{32}", first["request_id"])
    assert second == {**first, "reason": "phone call"}
    assert told_in(request())[0]["request_id"] != first["request_id"]
    assert context_text() == ""


@pytest.mark.parametrize("given_id", ["a" * 64, "req-1/2 x"])
def test_the_request_id_of_a_proxy_is_kept(given_id):
    """1 to 64 printable ASCII characters."""
    assert told_in(request(HTTP_X_REQUEST_ID=given_id))[0]["request_id"] == given_id


@pytest.mark.parametrize("given_id", ["", "a" * 65, "ä", "a\nb"])
def test_another_request_id_is_not_taken_over(given_id):
    """It is replaced by one of our own."""
    found = told_in(request(HTTP_X_REQUEST_ID=given_id))[0]["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", found)


def test_the_clients_address_is_told_on_request_only(settings):
    """An address is personal data."""
    made = {"REMOTE_ADDR": "192.0.2.1"}
    assert "client_ip" not in told_in(request(**made))[0]
    settings.AUDIT_FIELDS = {"TRAIL_CLIENT_IP": True}
    assert told_in(request(**made))[0]["client_ip"] == "192.0.2.1"


def test_a_block_wins_over_its_request():
    """`source` and `request_id` given by hand are those that are told."""
    given = audit_context(source="import", request_id="17")
    assert told_in(request(), given)[1] == {"source": "import", "request_id": "17"}


def test_reason_and_whom_it_is_for_are_handed_on():
    """Not where it came from: the task says that itself."""
    with audit_context(reason="r", on_behalf_of="p", source="s", request_id="1", more=1):
        assert handed_on() == {"reason": "r", "on_behalf_of": "p"}
    assert handed_on() == {}
