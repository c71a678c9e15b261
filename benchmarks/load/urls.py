"""Views that write in every way; the client knows by itself what each has to leave behind."""

import crum
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.db import connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from django_audit_fields import acting_as

from .models import Entry


def insert_by_sql(mark):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO load_entry (mark, amount) VALUES (%s, 0)", [mark])


def update_by_sql(mark):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE load_entry SET amount = amount + 1 WHERE mark = %s", [mark])


class DeliberateError(Exception):
    pass


def orm(mark, other):
    entry = Entry.objects.create(mark=f"{mark} a")
    entry.amount = 1
    entry.save()


def bulk(mark, other):
    entries = Entry.objects.bulk_create([Entry(mark=f"{mark} {part}") for part in "abc"])
    Entry.objects.filter(pk__in=[entry.pk for entry in entries]).update(amount=1)
    for entry in entries:
        entry.amount = 2
    Entry.objects.bulk_update(entries, ["amount"])


def sql(mark, other):
    insert_by_sql(f"{mark} a")
    update_by_sql(f"{mark} a")


def in_transaction(mark, other):
    with transaction.atomic():
        Entry.objects.create(mark=f"{mark} a")
        insert_by_sql(f"{mark} b")
        with acting_as(f"import:{other}"):
            insert_by_sql(f"{mark} c")
            update_by_sql(f"{mark} a")
        update_by_sql(f"{mark} c")


def impersonate(mark, other):
    with crum.impersonate(User.objects.get(pk=other)):
        Entry.objects.create(mark=f"{mark} a")
        insert_by_sql(f"{mark} b")
    update_by_sql(f"{mark} b")


def nobody(mark, other):
    with crum.impersonate(None), transaction.atomic():
        insert_by_sql(f"{mark} a")
        Entry.objects.create(mark=f"{mark} b")


def rolled_back(mark, other):
    with transaction.atomic():
        Entry.objects.create(mark=f"{mark} a")
        insert_by_sql(f"{mark} b")
        transaction.set_rollback(True)


def to_savepoint(mark, other):
    with transaction.atomic():
        insert_by_sql(f"{mark} a")
        try:
            with transaction.atomic(), acting_as(f"import:{other}"):
                insert_by_sql(f"{mark} b")
                raise DeliberateError
        except DeliberateError:
            insert_by_sql(f"{mark} c")


def failing(mark, other):
    insert_by_sql(f"{mark} a")
    with transaction.atomic():
        Entry.objects.create(mark=f"{mark} b")
        raise DeliberateError


WORK = {
    work.__name__: work
    for work in (
        *(orm, bulk, sql, in_transaction, impersonate, nobody),
        *(rolled_back, to_savepoint, failing),
    )
}


def asked(request):
    return WORK[request.GET["work"]], request.GET["mark"], request.GET["other"]


def write(request):
    work, mark, other = asked(request)
    work(mark, other)
    return HttpResponse("written")


async def awrite(request):
    work, mark, other = asked(request)
    await sync_to_async(work)(mark, other)
    return HttpResponse("written")


def stream(request):
    """Writes once while the view runs and twice while the body is sent."""
    mark = request.GET["mark"]

    def body():
        for part in "bc":
            insert_by_sql(f"{mark} {part}")
            yield b"." * 65536

    async def abody():
        for part in "bc":
            await sync_to_async(insert_by_sql)(f"{mark} {part}")
            yield b"." * 65536

    insert_by_sql(f"{mark} a")
    return StreamingHttpResponse(abody() if isinstance(request, ASGIRequest) else body())


urlpatterns = [path("write/", write), path("awrite/", awrite), path("stream/", stream)]
