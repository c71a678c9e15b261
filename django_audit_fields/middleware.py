"""A request's lifetime: its user acts from here inwards, and in what it streams afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

import crum
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from .actors import requested_by
from .scopes import Inside

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
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._respond_async(request)
        outer_request = crum.get_current_request()
        with requested_by(request) as inside:
            # crum keeps it per thread. That is this request alone here, but not on an event loop.
            crum.set_current_request(request)
            try:
                response: HttpResponseBase = self.get_response(request)
                return with_request(response, inside)
            finally:
                crum.set_current_request(outer_request)

    async def _respond_async(self, request: HttpRequest) -> HttpResponseBase:
        with requested_by(request) as inside:
            response: HttpResponseBase = await self.get_response(request)
            return with_request(response, inside)


def with_request(response: Response, inside: Callable[[], Inside]) -> Response:
    """Let a streaming response produce its content, and close, as part of its request."""
    # A file is left to the server's `sendfile`, which it would lose to a wrapped iterator.
    if getattr(response, "streaming", False) and not getattr(response, "file_to_stream", None):
        keep_request(cast(StreamingHttpResponse, response), inside())
    return response


def keep_request(response: StreamingHttpResponse, inside: Inside) -> None:
    chunks: Any = response.streaming_content
    if response.is_async:
        # What the view gave; private to Django, whose public property hides it in a generator.
        source = getattr(response, "_iterator", None)
        response.streaming_content = stream_async(chunks, source, inside)
    else:
        response.streaming_content = stream(chunks, inside)
    close = response.close

    def close_inside() -> None:
        # Django closes the view's generator here, and its `finally` may write.
        with inside:
            close()

    response.close = close_inside  # type: ignore[method-assign]  # of this response alone


def stream(chunks: Iterator[bytes], inside: Inside) -> Iterator[bytes]:
    while True:
        with inside:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
        yield chunk


async def stream_async(
    chunks: AsyncIterator[bytes], source: Any, inside: Inside
) -> AsyncIterator[bytes]:
    try:
        while True:
            with inside:
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        with inside:
            # Django leaves an abandoned async generator to the garbage collector.
            if (close := getattr(source, "aclose", None)) is not None:
                await close()
