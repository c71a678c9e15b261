"""A task backend that keeps tasks as JSON until a worker, elsewhere, comes for them."""

import json

from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskContext, TaskResult, TaskResultStatus, task
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string

from django_audit_fields.actors import context_text
from django_audit_fields.contrib.tasks import ActorBackendMixin
from tests.actors.actorapp.models import Note

QUEUE = []


class JSONBackend(BaseTaskBackend):
    supports_async_task = True

    def enqueue(self, task, args, kwargs):
        self.validate_task(task)
        QUEUE.append(json.dumps([task.module_path, args, kwargs]))
        return result_of(task, args, kwargs)


class Backend(ActorBackendMixin, JSONBackend):
    pass


def result_of(task, args, kwargs):
    return TaskResult(
        task=task,
        id=get_random_string(32),
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend="default",
        errors=[],
        worker_ids=[],
    )


def work():
    """Run what is queued, as a worker process would."""
    while QUEUE:
        path, args, kwargs = json.loads(QUEUE.pop(0))
        queued = import_string(path)
        if queued.takes_context:
            args = [TaskContext(task_result=result_of(queued, args, kwargs)), *args]
        queued.call(*args, **kwargs)


@task
def write(text):
    Note.objects.create(text=text)


@task(takes_context=True)
def write_with_context(context, *, text):
    Note.objects.create(text=text)
    write.enqueue(f"{text} sent on")


@task
async def awrite(text):
    await Note.objects.acreate(text=text)


@task
def tell():
    Note.objects.create(text=context_text())
