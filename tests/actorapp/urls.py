"""Views that write notes, in every way a view can."""

from __future__ import annotations

import asyncio

import crum
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.http import (
    FileResponse,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.test import Client
from django.urls import path

from django_audit_fields import acting_as, current_actor
from tests.actorapp.models import Note


def silent(request):
    """Writes nothing and asks nothing."""
    return HttpResponse("silent")


def write(request):
    Note.objects.create(text=request.GET.get("text", "write"))
    return JsonResponse({"actor": current_actor()})


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


def late(request):
    """Authenticates in the view, as token authentication does, after a first write."""
    Note.objects.create(text="before")
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


def file(request):
    return FileResponse(open(__file__, "rb"))


def nested(request):
    """Makes a request of its own, as somebody else."""
    client = Client()
    client.force_login(get_user_model().objects.get(username=request.GET["as"]))
    Note.objects.create(text="outer before")
    client.get("/write/", {"text": "inner"})
    Note.objects.create(text="outer after")
    return HttpResponse("nested")


@acting_as("decorated")
async def adecorated(request):
    await Note.objects.acreate(text="decorated")
    return HttpResponse("decorated")


def threads(request):
    asyncio.run(asyncio.to_thread(Note.objects.create, text="to_thread"))
    return HttpResponse("threads")


async def agather(request):
    """Writes from several tasks at once, each a thread's work."""

    async def one(number):
        with acting_as(f"part:{number}"):
            await asyncio.sleep(0)
            await sync_to_async(Note.objects.create)(text=f"part:{number}")

    await asyncio.gather(*(one(number) for number in range(5)))
    await Note.objects.acreate(text="rest")
    return HttpResponse("gather")


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        silent,
        write,
        awrite,
        aread,
        late,
        impersonate,
        aimpersonate,
        sticky,
        stream,
        astream,
        file,
        nested,
        adecorated,
        threads,
        agather,
    )
]
