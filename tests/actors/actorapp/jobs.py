"""Celery tasks that write notes, on a broker in memory."""

from __future__ import annotations

import crum
from celery import Celery
from django.contrib.auth.models import User

import django_audit_fields.contrib.celery  # noqa: F401 - connects it
from django_audit_fields import acting_as
from django_audit_fields.actors import context_text
from tests.actors.actorapp.models import Note

app = Celery("actorapp", broker="memory://", backend="cache+memory://", set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.01},
)


@app.task
def write(text):
    Note.objects.create(text=text)
    return text


@app.task
def tell():
    return context_text()


@app.task
def write_after(result, text):
    Note.objects.create(text=text)


@app.task(bind=True, max_retries=2)
def retry(self, text):
    Note.objects.create(text=f"{text} {self.request.retries}")
    with acting_as("inside"):
        if self.request.retries < 2:
            raise self.retry(countdown=0)


@app.task(bind=True, max_retries=1)
def retry_inside_a_block(self, text):
    Note.objects.create(text=f"{text} {self.request.retries}")
    if self.request.retries < 1:
        with acting_as("inside"):
            raise self.retry(countdown=0)


@app.task
def impersonating(text):
    with crum.impersonate(User(pk=9)):
        Note.objects.create(text=text)


@app.task
def fail(text):
    """Leaves all it can behind."""
    crum.set_current_user(User(pk=666))
    acting_as("left open").__enter__()
    Note.objects.create(text=text)
    raise ZeroDivisionError


@app.task
def send_on(text):
    Note.objects.create(text=text)
    write.delay(f"{text} sent on")
    with acting_as("other"):
        write.delay(f"{text} sent by other")
