"""Django's own tasks: whoever enqueues one acts while it runs."""

import contextvars
import importlib
import json

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from django_audit_fields import acting_as, audit_context
from django_audit_fields.actors import acting_label
from tests.actors.actorapp.models import Note

pytest.importorskip("django.tasks", reason="Django before 6.0 has no tasks of its own")

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["queue", "immediate"])
def queue(request, settings):
    """The tasks on a backend with a worker, and on Django's that runs them on the spot."""
    settings.TASKS = {"default": {"BACKEND": f"tests.actors.actorapp.{request.param}.Backend"}}
    # A task's class is its backend's at the time it is made.
    return importlib.reload(importlib.import_module("tests.actors.actorapp.queue"))


def writers():
    return dict(Note.objects.values_list("text", "created_by"))


def test_task_runs_as_whoever_enqueued_it(queue):
    """Users, labels and nobody; sync, async, with a context; and what a task enqueues itself."""
    with acting_as("import:claims"):
        queue.write.enqueue("label")
        async_to_sync(queue.write.aenqueue)("async enqueued")
        queue.write_with_context.enqueue(text="context")
        queue.awrite.enqueue("async")
    with acting_as(User(pk=7)):
        queue.write.using(priority=0).enqueue(text="user")
    queue.write.enqueue("nobody")
    with acting_as("worker"):
        queue.work()
        assert acting_label() == "worker"
    contextvars.Context().run(queue.work)
    claims = ["label", "async enqueued", "context", "context sent on", "async"]
    assert writers() == dict.fromkeys(claims, "import:claims") | {"user": "7", "nobody": "system"}


def test_task_called_in_place_acts_as_its_caller(queue):
    """Without a queue in between nothing travels, and `acall` is as good as `call`."""
    with acting_as("caller"):
        queue.write.call("call")
        async_to_sync(queue.write.acall)("acall")
    async_to_sync(queue.awrite.acall)("carried", _audit_actor="sender")
    assert writers() == {"call": "caller", "acall": "caller", "carried": "sender"}


def test_task_tells_where_it_runs_and_why(queue):
    """The reason and whom it is for travel with the task."""
    with audit_context(reason="month's end", on_behalf_of="clinic:3", source="somewhere"):
        queue.tell.enqueue()
    queue.work()
    assert json.loads(Note.objects.get().text) == {
        "reason": "month's end",
        "on_behalf_of": "clinic:3",
        "source": "task:tests.actors.actorapp.queue.tell",
    }


def test_reason_that_just_fits_lets_the_task_run(queue):
    """Beside the task's source it would be too long, so the source gives way."""
    with acting_as("sender"), audit_context(reason="x" * 8_170):
        queue.write.enqueue("long reason")
    queue.work()
    assert writers() == {"long reason": "sender"}
