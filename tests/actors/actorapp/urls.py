"""Views that write notes, in every way a view can."""

from __future__ import annotations

import asyncio

import crum
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import (
    FileResponse,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.test import Client
from django.urls import path

from django_audit_fields import acting_as, current_actor
from tests.actors.actorapp.models import Note


def silent(request):
    """Writes nothing and asks nothing."""
    return HttpResponse("silent")


def write(request):
    for _ in range(int(request.GET.get("times", 1))):
        Note.objects.create(text=request.GET.get("text", "write"))
    return JsonResponse({"actor": current_actor()})


def read(request):
    """Looks at its user, and at rows, and writes none."""
    list(Note.objects.all())
    return JsonResponse({"name": request.user.get_username()})


def list_only(request):
    """Looks at rows and at nobody."""
    return JsonResponse({"notes": [note.text for note in Note.objects.all()]})


def call(request):
    """Calls a function that writes, with a SELECT, before anyone has looked at the user."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT actorapp_write_note(%s)", ["call"])
    return HttpResponse("called")


def look_and_write(request):
    """Reads its user first, as `login_required` does, then writes."""
    request.user.get_username()
    Note.objects.create(text="look_and_write")
    return HttpResponse("written")


async def awrite(request):
    """Writes without ever looking at the user."""
    await asyncio.sleep(0)
    await Note.objects.acreate(text=request.GET.get("text", "awrite"))
    await asyncio.sleep(0)
    return JsonResponse({"actor": current_actor()})


async def aread(request):
    """Loads the user the asynchronous way, then asks on the event loop and writes."""
    user = await request.auser()
    await Note.objects.acreate(text="aread")
    return JsonResponse(
        {"actor": current_actor(), "user": str(user.pk), "crum": str(crum.get_current_user().pk)}
    )


async def aask(request):
    """Asks on the event loop before and after a write, without loading the user there."""
    before = current_actor()
    await Note.objects.acreate(text="aask")
    return JsonResponse({"before": before, "after": current_actor()})


async def aself(request):
    """Names the request's own user, which nobody has loaded."""
    async with acting_as(request.user):
        before = current_actor()
        await Note.objects.acreate(text="aself")
    await request.auser()
    async with acting_as(request.user):
        return JsonResponse({"before": before, "after": current_actor()})


def late(request):
    """Authenticates in the view, as token authentication does, after a first write."""
    Note.objects.create(text="before")
    request.user = get_user_model().objects.get(username=request.GET["as"])
    Note.objects.create(text="after")
    return HttpResponse("late")


def late_inside(request):
    with crum.impersonate(None):
        request.user = get_user_model().objects.get(username=request.GET["as"])
    Note.objects.create(text="after")
    return HttpResponse("late")


def impersonate(request):
    other = get_user_model().objects.get(username=request.GET["as"])
    Note.objects.create(text="before")
    with crum.impersonate(other):
        Note.objects.create(text="inside")
        same = request.user != other
    with crum.impersonate(None):
        Note.objects.create(text="nobody")
    Note.objects.create(text="after")
    return JsonResponse({"request.user untouched": same})


async def aimpersonate(request):
    other = await get_user_model().objects.aget(username=request.GET["as"])
    await Note.objects.acreate(text="before")
    with crum.impersonate(other):
        await asyncio.sleep(0)
        await Note.objects.acreate(text="inside")
        asked = crum.get_current_user() == other
    with crum.impersonate(None):
        await Note.objects.acreate(text="nobody")
    await Note.objects.acreate(text="after")
    return JsonResponse({"asked": asked})


def sticky(request):
    """Names a user for the rest of the request."""
    crum.set_current_user(get_user_model().objects.get(username=request.GET["as"]))
    Note.objects.create(text="sticky")
    if "fail" in request.GET:
        raise ZeroDivisionError
    return HttpResponse("sticky")


def stream(request):
    def body():
        try:
            Note.objects.create(text="first")
            yield b"1"
            if "fail" in request.GET:
                raise ZeroDivisionError
            if "as" in request.GET:
                crum.set_current_user(get_user_model().objects.get(username=request.GET["as"]))
            Note.objects.create(text="second")
            yield b"2"
        finally:
            Note.objects.create(text="finally")

    return StreamingHttpResponse(body())


async def astream(request):
    async def body():
        try:
            await Note.objects.acreate(text="first")
            yield b"1"
            await Note.objects.acreate(text="second")
            yield b"2"
        finally:
            await Note.objects.acreate(text="finally")

    return StreamingHttpResponse(body())


def insert(text):
    """Writes by SQL, which names nobody: the trigger has to know."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO actorapp_note (text) VALUES (%s)", [text])


def load(request):
    """Writes in its user's name, in another's, and again in its own: a part of a busy server."""
    own, other, number = (request.GET.get(name) for name in ("own", "other", "number"))
    if other:
        with crum.impersonate(get_user_model()(pk=other)):
            Note.objects.create(text=f"{other}:{number}")
    Note.objects.create(text=f"{own}:{number}")

    def body():
        yield b"writing "
        insert(f"{own}:{number} streamed")
        yield b"written"

    return StreamingHttpResponse(body())


async def aload(request):
    """The same with awaits in the middle, where other requests get their turn."""
    own, other, number = (request.GET.get(name) for name in ("own", "other", "number"))
    await asyncio.sleep(0)
    if other:
        with crum.impersonate(get_user_model()(pk=other)):
            await asyncio.sleep(0.001)
            await Note.objects.acreate(text=f"{other}:{number}")
            await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    await Note.objects.acreate(text=f"{own}:{number}")

    async def body():
        yield b"writing "
        await asyncio.sleep(0.001)
        await sync_to_async(insert)(f"{own}:{number} streamed")
        yield b"written"

    return StreamingHttpResponse(body())


def file(request):
    return FileResponse(open(__file__, "rb"))


def nested(request):
    """Makes a request of its own, as somebody else."""
    client = Client()
    client.force_login(get_user_model().objects.get(username=request.GET["as"]))
    Note.objects.create(text="outer before")
    client.get("/write/", {"text": "inner"})
    Note.objects.create(text="outer after")
    return JsonResponse({"request is back": crum.get_current_request() is request})


def nested_impersonating(request):
    users = get_user_model().objects
    client = Client()
    client.force_login(users.get(username=request.GET["login"]))
    with crum.impersonate(users.get(username=request.GET["as"])):
        client.get("/write/", {"text": "inner"})
        Note.objects.create(text="inside")
    Note.objects.create(text="after")
    return HttpResponse("nested")


def crums(request):
    return JsonResponse(
        {
            "request": crum.get_current_request() is request,
            "user": crum.get_current_user().pk,
        }
    )


@acting_as("decorated")
async def adecorated(request):
    await Note.objects.acreate(text="decorated")
    return HttpResponse("decorated")


async def agather(request):
    """Writes from several tasks at once, each a thread's work."""

    async def one(number):
        with acting_as(f"part:{number}"):
            await asyncio.sleep(0)
            await sync_to_async(Note.objects.create)(text=f"part:{number}")

    await asyncio.gather(*(one(number) for number in range(5)))
    await Note.objects.acreate(text="rest")
    return HttpResponse("gather")


VIEWS = [
    aask,
    adecorated,
    agather,
    aimpersonate,
    aload,
    aread,
    aself,
    astream,
    awrite,
    call,
    crums,
    file,
    impersonate,
    late,
    late_inside,
    list_only,
    load,
    look_and_write,
    nested,
    nested_impersonating,
    read,
    silent,
    sticky,
    stream,
    write,
]
urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]
