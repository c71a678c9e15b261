"""Celery: whoever calls `delay` or `apply_async` acts while the task runs in the worker.

Import it in the module that makes the Celery app, which connects it. The label and the
reason travel in the message's headers, so that retries, chains, groups and chords hand them on; a
message without a label, from beat or another service, is nobody's.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import signals

from ..actors import (
    acting_label,
    alone,
    handed_on,
    is_undecided,
    restore,
    situation,
    told_by_task,
)
from ..conf import label_fault

logger = logging.getLogger("django_audit_fields")

HEADER: Final = "audit_actor"
#: The reason, and for whom, where `audit_context` told them.
CONTEXT_HEADER: Final = "audit_context"
#: Where a running task's request keeps what was set before it.
BEFORE: Final = "_audit_before"


def send_actor(sender: str, headers: dict[str, Any], **kwargs: Any) -> None:
    # A retried task brings its header along and remains its first caller's.
    if HEADER in headers:
        return
    # None says that nobody sent it: a retry is nobody's, too, whatever block it is raised in.
    label = headers[HEADER] = acting_label()
    if handed := handed_on():
        headers[CONTEXT_HEADER] = handed
    if label is None and is_undecided():
        logger.warning(
            "Task %s was sent on the event loop before the user was loaded, and is nobody's:"
            " `await request.auser()` first.",
            sender,
        )


def begin_task(task: Any, **kwargs: Any) -> None:
    headers = task.request.headers or {}
    label = headers.get(HEADER)
    if label is not None and (fault := label_fault(label)):
        logger.warning("Task %s is nobody's: its header %s %s.", task.name, HEADER, fault)
        label = None
    setattr(task.request, BEFORE, situation())
    # An eager task without a header runs where it was called, as whoever acts there.
    if label is not None or not task.request.is_eager:
        told = told_by_task(f"task:{task.name}", headers.get(CONTEXT_HEADER))
        restore(alone(label, told))


def end_task(task: Any, **kwargs: Any) -> None:
    if (before := task.request.__dict__.pop(BEFORE, None)) is not None:
        restore(before)


signals.before_task_publish.connect(send_actor, dispatch_uid="django_audit_fields.send_actor")
signals.task_prerun.connect(begin_task, dispatch_uid="django_audit_fields.begin_task")
signals.task_postrun.connect(end_task, dispatch_uid="django_audit_fields.end_task")
