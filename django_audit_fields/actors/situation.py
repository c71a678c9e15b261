"""One immutable value that says who is acting, why, and how rows are stored, per context.

What it holds are blocks: who is named by `acting_as`, what is kept by `preserve_audit_fields`, what
is told by `audit_context`. Each kind is a linked stack, the innermost first.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asgiref.sync import SyncToAsync

if TYPE_CHECKING:
    from .claims import RequestClaim, UserClaim


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
        #: It holds for calls of this thread only, and no other context takes it over.
        self.is_passing = is_passing
        self.off_loop = not on_loop()
        self.thread = get_ident()

    def stands(self) -> bool:
        """Whether the block is in force for who asks, here and now."""
        if self.is_passing:
            return not self.ended and self.thread == get_ident()
        return not (self.ended and self.off_loop and works_for_loop())


class Situation(NamedTuple):
    """All that was said about the work at hand."""

    #: `acting_as`: a label, None for nobody, or a user that is not read yet.
    acting: Entry | None = None
    #: Whom django-crum's functions name; None when they name nobody in particular.
    named: UserClaim | None = None
    #: Whoever made the current request.
    requesting: RequestClaim | None = None
    #: `preserve_audit_fields`.
    preserving: Entry | None = None
    #: `audit_context`.
    context: Entry | None = None


NOTHING_SAID: Final = Situation()
_situation: ContextVar[Situation] = ContextVar("audit_situation", default=NOTHING_SAID)

#: Read for every row and statement, so it is the bare C function.
situation: Final = _situation.get
put: Final = _situation.set


def restore(before: Situation) -> None:
    """Have this said again, and nothing that came after it."""
    if before is not NOTHING_SAID:
        for block in (before.acting, before.named, before.preserving, before.context):
            if block is not None:
                block.ended = False  # in force again, also if it was ended meanwhile
    put(before)


def swap(inside: Situation) -> Situation:
    """Put `inside` in the place of what is said now, which is answered."""
    outside = situation()
    restore(inside)
    return outside


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
    if entry is not None and entry.scope is scope:  # nearly always
        entry.ended = True
        return entry.outer
    above = []
    while entry is not None and entry.scope is not scope:
        above.append(entry)
        entry = entry.outer
    # The scope was entered in another context: there is nothing of it on this stack.
    stack = entry
    if entry is not None:
        entry.ended = True
        stack = entry.outer
    for other in reversed(above):
        copied = Entry(other.held, other.scope, stack, is_passing=other.is_passing)
        copied.ended, copied.off_loop, copied.thread = other.ended, other.off_loop, other.thread
        stack = copied
    return stack
