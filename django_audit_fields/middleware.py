"""A request's lifetime: its user acts from here inwards, and in what it streams afterwards."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import AsyncGeneratorType
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from .actors import (
    Inside,
    begin_request,
    in_async_steps,
    is_connected,
    restore,
    situation,
    tell_crum,
)

Response = TypeVar("Response")


class AuditMiddleware:
    """Makes the user of the request act during it. Stands after AuthenticationMiddleware.

    The user is read when a write first needs it, so a request that writes nothing touches neither
    session nor user, and authentication may happen as late as in the view.
    """

    sync_capable = True
    async_capable = True

    get_response: Callable[[HttpRequest], Any]

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        #: Not while a test leaves the app out: then its requests pass as without the package.
        self.is_installed = not apps.ready or apps.is_installed("django_audit_fields")
        if not self.is_installed and not is_connected():
            raise ImproperlyConfigured(
                "AuditMiddleware is in MIDDLEWARE without its app: "
                "add 'django_audit_fields' to INSTALLED_APPS."
            )
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if not self.is_installed:
            passed: HttpResponseBase | Awaitable[HttpResponseBase] = self.get_response(request)
            return passed
        if self.is_async:
            return self._respond_async(request)
        known_to_crum = tell_crum(request)
        before = begin_request(request, threading.get_ident())
        try:
            response: HttpResponseBase = self.get_response(request)
            return with_request(response)
        finally:
            restore(before)
            tell_crum(known_to_crum)
            # Whom crum forgot with the request may have been named outside of it.
            restore(before)

    async def _respond_async(self, request: HttpRequest) -> HttpResponseBase:
        before = begin_request(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
            return with_request(response)
        finally:
            restore(before)


def with_request(response: Response) -> Response:
    """Let a streaming response produce its content, and close, as part of its request."""
    # A file is left to the server's `sendfile`, which it would lose to a wrapped iterator.
    is_file = getattr(response, "file_to_stream", None) is not None
    if isinstance(response, StreamingHttpResponse) and not is_file:
        keep_request(response, Inside(situation()))
    return response


def keep_request(response: StreamingHttpResponse, inside: Inside) -> None:
    # Private to Django, whose public property wraps it in what refers back to the response.
    chunks = response._iterator  # type: ignore[attr-defined]
    if inspect.isasyncgen(chunks):
        response.streaming_content = stream_generator(chunks, inside)
    elif response.is_async:
        response.streaming_content = stream_async(chunks, inside)
    else:
        response.streaming_content = stream(chunks, inside)
    # Nor may this refer to it: the garbage collector would end all generators of a cycle on their
    # own, the view's without the one around it that knows whose it is.
    reference, close = weakref.ref(response), vars(response).get("close")

    def close_inside() -> None:
        # Django closes the view's generator here, and its `finally` may write.
        with inside.step():
            if close is not None:
                close()
            elif (open_response := reference()) is not None:
                type(open_response).close(open_response)

    response.close = close_inside  # type: ignore[method-assign]  # of this response alone


def stream(chunks: Iterator[Any], inside: Inside) -> Iterator[Any]:
    while True:
        with inside.step():
            try:
                chunk = next(chunks)
            except StopIteration:
                return
        yield chunk


async def stream_async(chunks: AsyncIterator[Any], inside: Inside) -> AsyncIterator[Any]:
    while True:
        with inside.step():
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                return
        yield chunk


@in_async_steps
def stream_generator(
    chunks: AsyncGeneratorType[Any, Any], inside: Inside
) -> tuple[AsyncGeneratorType[Any, Any], Inside]:
    """Django leaves an abandoned async generator to the garbage collector; this one ends it."""
    return chunks, inside
