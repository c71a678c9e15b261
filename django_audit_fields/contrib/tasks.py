"""Django's own tasks (6.0 and later): whoever enqueues a task acts while it runs.

Django keeps nothing with a task but its arguments, so label and reason travel as two more of
them, which the task's function never sees.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.tasks import Task, TaskResult

from ..actors import acting_alone, acting_label, handed_on, told_by_task

ARGUMENT: Final = "_audit_actor"
#: The reason, and for whom, where `audit_context` told them.
CONTEXT_ARGUMENT: Final = "_audit_context"


def sent() -> dict[str, Any]:
    handed = handed_on()
    return {ARGUMENT: acting_label(), **({CONTEXT_ARGUMENT: handed} if handed else {})}


class ActorTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """A task that is run in the name of whoever enqueued it."""

    def enqueue(self, *args: Any, **kwargs: Any) -> TaskResult[Any, Any]:
        return super().enqueue(*args, **kwargs, **sent())

    async def aenqueue(self, *args: Any, **kwargs: Any) -> TaskResult[Any, Any]:
        # In a thread, where a user that nobody has loaded yet can be read.
        return await super().aenqueue(*args, **kwargs, **await sync_to_async(sent)())

    def call(self, *args: Any, **kwargs: Any) -> Any:
        if ARGUMENT not in kwargs:
            return super().call(*args, **kwargs)
        with self.in_senders_name(kwargs):
            return super().call(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        if ARGUMENT not in kwargs:
            return await super().acall(*args, **kwargs)
        with self.in_senders_name(kwargs):
            return await super().acall(*args, **kwargs)

    def in_senders_name(self, kwargs: dict[str, Any]) -> AbstractContextManager[None]:
        """Takes what `enqueue` added out of the arguments."""
        label, handed = kwargs.pop(ARGUMENT), kwargs.pop(CONTEXT_ARGUMENT, None)
        return acting_alone(label, told_by_task(f"task:{self.module_path}", handed))


class ActorBackendMixin:
    """For a task backend whose worker runs `Task.call`, and keeps keyword arguments as they are.

    class Backend(ActorBackendMixin, DatabaseBackend):
        pass
    """

    task_class = ActorTask
