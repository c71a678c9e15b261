"""Celery: whoever sends a task acts while a real worker runs it."""

import json
import logging
import threading

import crum
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from django_audit_fields import acting_as, audit_context, current_actor
from django_audit_fields.actors import acting_label
from django_audit_fields.middleware import AuditMiddleware
from tests.actors.actorapp.models import Note

celery = pytest.importorskip("celery", reason="Celery is not installed: pip install -e .[celery]")

from celery import chain, chord, group, signals  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402

from tests.actors.actorapp import jobs  # noqa: E402

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # Celery 5.7 and Kombu on Python 3.13; not this package's to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def worker(django_db_setup, django_db_blocker):
    """A worker whose threads let go of the database after each task."""
    with django_db_blocker.unblock():
        # Django's checks of generated columns ask for it when a worker starts, and keep the answer.
        _ = connections["default"].pg_version
    signals.setup_logging.connect(leave_logging)
    signals.task_postrun.connect(close_connections)
    with start_worker(jobs.app, pool="threads", concurrency=2, perform_ping_check=False):
        yield
    signals.task_postrun.disconnect(close_connections)
    signals.setup_logging.disconnect(leave_logging)
    logging.captureWarnings(False)


def leave_logging(**kwargs):
    """Celery configures logging unless somebody else says they did."""


def close_connections(**kwargs):
    if threading.current_thread() is not threading.main_thread():
        connections.close_all()


def finish(result):
    return result.get(timeout=20, interval=0.01)


def writers():
    return dict(Note.objects.values_list("text", "created_by"))


def test_worker_tells_which_task_it_is_and_why_it_was_sent(worker):
    """The reason and whom it is for follow the message; where it came from does not."""
    with audit_context(reason="month's end", on_behalf_of="clinic:3", source="somewhere"):
        sent = jobs.tell.delay()
    assert json.loads(finish(sent)) == {
        "reason": "month's end",
        "on_behalf_of": "clinic:3",
        "source": f"task:{jobs.tell.name}",
    }
    assert json.loads(finish(jobs.tell.delay())) == {"source": f"task:{jobs.tell.name}"}


def test_reason_that_just_fits_does_not_cost_the_sender(worker):
    """Beside the task's source it would be too long, so the source gives way."""
    with acting_as("sender"), audit_context(reason="x" * 8_170):
        results = [jobs.write.delay("long reason"), jobs.tell.delay()]
    finish(results[0])
    assert json.loads(finish(results[1])) == {"reason": "x" * 8_170}
    assert writers() == {"long reason": "sender"}


@pytest.mark.parametrize("handed", [{"reason": "a\0b"}, {"reason": 5}, {"reason": "x" * 9_000}])
def test_header_that_tells_nothing_does_not_cost_the_sender(worker, caplog, handed):
    """Whatever another publisher wrote there, the task is its sender's, and the log says so."""
    headers = {"audit_actor": "sender", "audit_context": handed}
    finish(jobs.write.apply_async(["text"], headers=headers))
    told = json.loads(finish(jobs.tell.apply_async(headers=headers)))
    assert told == {"source": f"task:{jobs.tell.name}"}
    assert writers() == {"text": "sender"}
    assert "goes on without what was handed on to it" in caplog.text


def test_worker_acts_as_whoever_sent_the_task(worker):
    """By label, as a user, by crum; nobody's tasks are nobody's."""
    results = []
    with acting_as("import:claims"):
        results.append(jobs.write.delay("label"))
    with acting_as(User(pk=7)):
        results.append(jobs.write.apply_async(["user"], countdown=0))
    with crum.impersonate(User(pk=8)):
        results.append(jobs.write.delay("crum"))
    with acting_as("outer"), acting_as(AnonymousUser()):
        results.append(jobs.write.delay("anonymous"))
    results.append(jobs.write.delay("nobody"))
    with acting_as("Ærø ✓"):
        results.append(jobs.write.delay("unicode"))
    for result in results:
        finish(result)
    assert writers() == {
        "label": "import:claims",
        "user": "7",
        "crum": "8",
        "anonymous": "system",
        "nobody": "system",
        "unicode": "Ærø ✓",
    }


def test_retries_remain_the_first_senders(worker):
    """Whatever acts inside the task when it asks to be retried."""
    with acting_as("sender"):
        result = jobs.retry.delay("try")
    finish(result)
    assert writers() == dict.fromkeys(["try 0", "try 1", "try 2"], "sender")


def test_retries_of_nobodys_task_are_nobodys(worker):
    """The block in which a task asks to be retried does not send it."""
    result = jobs.retry_inside_a_block.delay("try")
    finish(result)
    assert writers() == dict.fromkeys(["try 0", "try 1"], "system")


def test_nobodys_task_may_name_somebody(worker):
    """django-crum's functions work in a task that nobody sent, as they do anywhere else."""
    result = jobs.impersonating.delay("named")
    finish(result)
    assert writers() == {"named": "9"}


def test_chains_groups_and_chords(worker):
    """Tasks that the worker sends on are the first sender's, too."""
    with acting_as("sender"):
        results = [
            chain(jobs.write.si("chain 1"), jobs.write.si("chain 2"), jobs.write.si("chain 3"))(),
            group(jobs.write.s("group 1"), jobs.write.s("group 2"))(),
            chord([jobs.write.s("chord 1"), jobs.write.s("chord 2")])(
                jobs.write_after.s("chord body")
            ),
            jobs.write.apply_async(["linking"], link=jobs.write_after.s("linked")),
        ]
    for result in results:
        finish(result)
    wait_for("linked")
    names = ["chain 1", "chain 2", "chain 3", "group 1", "group 2", "chord 1", "chord 2"]
    assert writers() == dict.fromkeys([*names, "chord body", "linking", "linked"], "sender")


def test_tasks_sent_by_a_task(worker):
    """They are its own actor's, or whoever acts in it when it sends them."""
    with acting_as("sender"):
        finish(jobs.send_on.delay("first"))
    wait_for("first sent on")
    wait_for("first sent by other")
    assert writers() == {
        "first": "sender",
        "first sent on": "sender",
        "first sent by other": "other",
    }


def test_failing_task_leaves_nothing(worker):
    """The next task of the same worker is its own sender's, or nobody's."""
    for _ in range(4):
        with acting_as("sender"):
            result = jobs.fail.delay("fail")
        with pytest.raises(ZeroDivisionError):
            finish(result)
    for number in range(4):
        finish(jobs.write.delay(f"nobody {number}"))
    assert writers() == {"fail": "left open"} | {f"nobody {n}": "system" for n in range(4)}


def test_header_that_is_no_label_is_nobody(worker, caplog):
    """Whatever another publisher wrote there, the task runs."""
    finish(jobs.write.apply_async(["text"], headers={"audit_actor": "x" * 51}))
    assert writers() == {"text": "system"}
    assert "django_audit_fields" in {record.name for record in caplog.records}


def test_task_sent_before_the_user_is_loaded(worker, caplog):
    """An event loop cannot read who it is; that the task is nobody's is said where it was sent."""
    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(lambda: User(pk=7))

    async def view(request):
        first = jobs.write.delay("too early")
        await sync_to_async(current_actor)()
        return first, jobs.write.delay("loaded")

    for result in async_to_sync(AuditMiddleware(view))(request):
        finish(result)
    assert writers() == {"too early": "system", "loaded": "7"}
    assert [record.name for record in caplog.records].count("django_audit_fields") == 1


def test_eager_task_is_whoever_called_it():
    """Run on the spot, as in tests, nothing travels; and what it sets ends with it."""
    with acting_as("caller"):
        jobs.write.apply(["eager"])
        jobs.fail.apply(["failing"])
        assert current_actor() == "caller"
    assert acting_label() is None
    assert crum.get_current_user() is None
    assert writers() == {"eager": "caller", "failing": "left open"}


def wait_for(text):
    """Until the row is there, which a task writes whose result nobody was given."""
    gone_by = threading.Event()
    for _ in range(400):
        if Note.objects.filter(text=text).exists():
            return
        gone_by.wait(0.05)
    pytest.fail(f"{text!r} was not written in 20 seconds")
