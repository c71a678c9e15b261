"""A value that holds inside a block or a decorated callable, and nowhere else."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from types import AsyncGeneratorType
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from asgiref.sync import SyncToAsync, iscoroutinefunction

Variables: TypeAlias = tuple[ContextVar[Any], ...]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Entry:
    """One open block: what it holds, whose it is, and the block around it.

    Context variables are inherited downwards, by tasks and threads that outlive the block. But a
    cancelled `sync_to_async` hands them upwards too, in the middle of a block that its thread still
    is in (asgiref copies that thread's context back). So an entry knows where it was made, and when
    its block has ended.
    """

    __slots__ = ("ended", "held", "is_passing", "off_loop", "outer", "scope", "thread")

    def __init__(
        self, held: Any, scope: object, outer: Entry | None, *, is_passing: bool = False
    ) -> None:
        self.held = held
        self.scope = scope
        self.outer = outer
        self.ended = False
        #: Nothing inherits it: it is for the calls that this thread makes meanwhile.
        self.is_passing = is_passing
        self.off_loop = not on_loop()
        self.thread = get_ident()

    def stands(self) -> bool:
        """Whether the block is in force for who asks, here and now."""
        if self.is_passing:
            return not self.ended and self.thread == get_ident()
        return not (self.ended and self.off_loop and works_for_loop())


def on_loop() -> bool:
    return asyncio._get_running_loop() is not None


def works_for_loop() -> bool:
    """Whether this thread runs an event loop, or what one has handed to it by `sync_to_async`.

    Only there a block that has ended elsewhere is one handed upwards. Other threads were given
    a copy of the context, and may well outlive the block that they were started in.
    """
    return on_loop() or getattr(SyncToAsync.threadlocal, "main_event_loop", None) is not None


def standing(entry: Entry | None) -> Entry | None:
    """The innermost block in force, of those that end in `entry`."""
    while entry is not None and not entry.stands():
        entry = entry.outer
    return entry


def without(entry: Entry | None, scope: object) -> Entry | None:
    """The stack that ends in `entry`, less the innermost entry of `scope`, which has ended."""
    above = []
    while entry is not None and entry.scope is not scope:
        above.append(entry)
        entry = entry.outer
    # A scope that was entered in another context has nothing here to take away.
    stack = entry
    if entry is not None:
        entry.ended = True
        stack = entry.outer
    for other in reversed(above):
        copied = Entry(other.held, other.scope, stack, is_passing=other.is_passing)
        copied.ended, copied.off_loop, copied.thread = other.ended, other.off_loop, other.thread
        stack = copied
    return stack


class Inside:
    """What a suspended body has in its variables: put there for each step, taken out after it."""

    __slots__ = ("values", "variables")

    def __init__(self, variables: Variables, values: tuple[Any, ...]) -> None:
        self.variables = variables
        self.values = values

    @contextmanager
    def step(self) -> Iterator[None]:
        # Kept here and not on the object, since the end of a body may overlap a step of it.
        outside = swap(self.variables, self.values)
        try:
            yield
        finally:
            # A step may have changed them, and the next one continues from there.
            self.values = swap(self.variables, outside)


def swap(variables: Variables, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give the variables these values; returns those they had."""
    before = tuple(variable.get() for variable in variables)
    for variable, value in zip(variables, values, strict=True):
        variable.set(value)
        if hasattr(type(value), "stands"):
            value.ended = False  # in force again, whatever took its place meanwhile
    return before


class Scope:
    """Context manager, async context manager and decorator around one context variable.

    The state is a linked stack in the variable and nothing is kept on the object, so that one scope
    may be entered again, by other threads and tasks as well. A scope takes its own entry out on
    exit, not the topmost: a generator that is closed late does not end somebody else's block.
    """

    __slots__ = ()
    _entries: ClassVar[ContextVar[Entry | None]]
    #: All that a suspended body may set and must not show to others, `_entries` among them.
    _variables: ClassVar[Variables]

    def _held(self) -> Any:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._entries.set(Entry(self._held(), self, self._entries.get()))

    def __exit__(self, *error: object) -> None:
        self._entries.set(without(self._entries.get(), self))

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
        values = [variable.get() for variable in self._variables]
        place = self._variables.index(self._entries)
        values[place] = Entry(self._held(), self, values[place])
        return Inside(self._variables, tuple(values))

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
