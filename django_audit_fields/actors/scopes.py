"""A value that holds inside a block or a decorated callable, and nowhere else."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType
from typing import Any, ClassVar, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from .situation import Entry, Situation, put, situation, swap, without

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Inside:
    """What a suspended body has said: put in force for each step, and out of force after it."""

    __slots__ = ("said",)

    def __init__(self, said: Situation) -> None:
        self.said = said

    @contextmanager
    def step(self) -> Iterator[None]:
        # A local variable, not an attribute: the end of a body may overlap one of its steps.
        outside = swap(self.said)
        try:
            yield
        finally:
            # A step may have said more, and the next one continues from there.
            self.said = swap(outside)


class Scope:
    """Context manager, async context manager and decorator around one kind of block.

    The blocks are a linked stack in the situation and nothing is kept on the object, so that one
    scope may be entered again, by other threads and tasks as well. A scope takes its own entry
    out on exit, not the topmost: a generator that is closed late ends nobody else's block.
    """

    __slots__ = ()
    #: The field of `Situation` that holds this kind of block.
    _kind: ClassVar[str]

    def _held(self) -> Any:
        """What the block holds, worked out when it is entered."""
        raise NotImplementedError

    def _entered(self) -> Situation:
        held = self._held()
        said = situation()
        return self._with(said, Entry(held, self, getattr(said, self._kind)))

    def _with(self, said: Situation, stack: Entry | None) -> Situation:
        changed: dict[str, Any] = {self._kind: stack}
        return said._replace(**changed)

    def __enter__(self) -> None:
        put(self._entered())

    def __exit__(self, *error: object) -> None:
        said = situation()
        put(self._with(said, without(getattr(said, self._kind), self)))

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def __call__(self, function: Decorated) -> Decorated:
        """Decorate a function, method, coroutine function, generator or async generator."""
        wrapper: Any
        if isinstance(function, (classmethod, staticmethod)):
            wrapper = type(function)(self(function.__func__))
        elif isinstance(function, type) or not callable(function):
            name = type(self).__name__
            raise TypeError(f"{name} decorates functions and methods, not {function!r}.")
        elif is_kind(inspect.isasyncgenfunction, function):
            wrapper = self._around_async_generator(function)
        elif is_kind(inspect.isgeneratorfunction, function):
            wrapper = self._around_generator(function)
        elif is_kind(iscoroutinefunction, function):
            wrapper = self._around_coroutine(function)
        else:
            wrapper = self._around_function(function)
        return wrapper  # type: ignore[no-any-return]  # the decorated callable, whatever it was

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                result = function(*args, **kwargs)
            # Such as the `dispatch` of a view with async handlers: its body is still to run.
            return self._awaiting(result) if inspect.iscoroutine(result) else result

        return wrapper

    async def _awaiting(self, body: Coroutine[Any, Any, Any]) -> Any:
        with self:
            return await body

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return wrapper

    def _inside(self) -> Inside:
        return Inside(self._entered())

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from in_steps(function(*args, **kwargs), self._inside()))

        return wrapper

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def begin(*args: Any, **kwargs: Any) -> tuple[AsyncGeneratorType[Any, Any], Inside]:
            return function(*args, **kwargs), self._inside()

        return functools.wraps(function)(in_async_steps(begin))


def in_steps(body: Generator[Any, Any, Any], inside: Inside) -> Generator[Any, Any, Any]:
    """A generator that runs `body` inside, from yield to yield, and waits outside."""
    step, argument = body.send, None
    while True:
        with inside.step():
            try:
                item = step(argument)
            except StopIteration as stop:
                return stop.value
        try:
            step, argument = body.send, (yield item)
        except BaseException as error:
            # Also GeneratorExit: the body's own `finally` belongs inside.
            step, argument = body.throw, error


def in_async_steps(
    begin: Callable[..., tuple[AsyncGeneratorType[Any, Any], Inside]],
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The same for the async generator that `begin` answers, as an async generator function."""

    async def steps(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body, inside = begin(*args, **kwargs)
        awaited = first_step(body, inside)
        while True:
            with inside.step():
                try:
                    item = await awaited
                except StopAsyncIteration:
                    return
            try:
                argument = yield item
            except BaseException as error:
                if body.ag_running:
                    raise  # it is being ended already, see below
                awaited = body.athrow(error)
            else:
                awaited = body.asend(argument)

    return steps


def first_step(body: AsyncGeneratorType[Any, Any], inside: Inside) -> Awaitable[Any]:
    """Take `body` over from the event loop, which would end it in whatever context it is in.

    A loop that shuts down ends all generators it knows at once, and the garbage collector those of
    a cycle in any order: this one may come before the one around it, which knows whose it is.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return body.asend(None)

    def end(body: AsyncGeneratorType[Any, Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.create_task, end_inside(body, inside))

    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=cast(Any, end))
    try:
        return body.asend(None)  # looks the hooks up here, and runs nothing yet
    finally:
        sys.set_asyncgen_hooks(*hooks)


async def end_inside(body: AsyncGeneratorType[Any, Any], inside: Inside) -> None:
    if not body.ag_running:
        with inside.step():
            await body.aclose()


def is_kind(predicate: Callable[[Any], bool], function: Any) -> bool:
    """Whether a callable, or the `__call__` of a callable object, is of this kind."""
    return predicate(function) or predicate(getattr(function, "__call__", None))  # noqa: B004
