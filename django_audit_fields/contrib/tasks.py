"""Django's own tasks (6.0 and later): whoever enqueues a task acts while it runs.

Django keeps nothing with a task but its arguments, so the label travels as one more of them, which
the task's function never sees.
"""

from __future__ import annotations

from typing import Any, Final

from asgiref.sync import sync_to_async
from django.tasks import Task, TaskResult

from ..actors import acting_alone, acting_label

ARGUMENT: Final = "_audit_actor"


class ActorTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """A task that is run in the name of whoever enqueued it."""

    def enqueue(self, *args: Any, **kwargs: Any) -> TaskResult[Any, Any]:
        return super().enqueue(*args, **kwargs, **{ARGUMENT: acting_label()})

    async def aenqueue(self, *args: Any, **kwargs: Any) -> TaskResult[Any, Any]:
        # In a thread, where a user that nobody has loaded yet can be read.
        label = await sync_to_async(acting_label)()
        return await super().aenqueue(*args, **kwargs, **{ARGUMENT: label})

    def call(self, *args: Any, **kwargs: Any) -> Any:
        if ARGUMENT not in kwargs:
            return super().call(*args, **kwargs)
        with acting_alone(kwargs.pop(ARGUMENT)):
            return super().call(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        if ARGUMENT not in kwargs:
            return await super().acall(*args, **kwargs)
        with acting_alone(kwargs.pop(ARGUMENT)):
            return await super().acall(*args, **kwargs)


class ActorBackendMixin:
    """For a task backend whose worker runs `Task.call`, and keeps keyword arguments as they are.

    class Backend(ActorBackendMixin, DatabaseBackend):
        pass
    """

    task_class = ActorTask
