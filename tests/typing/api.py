"""Public calls as projects make them: never run, only type-checked, by `make lint`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import migrations, models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from django_audit_fields import (
    NoActorError,
    acting_as,
    bind_actor,
    current_actor,
    preserve_audit_fields,
)
from django_audit_fields.admin import AuditAdminMixin
from django_audit_fields.fields import AuditActorField
from django_audit_fields.middleware import AuditMiddleware
from django_audit_fields.models import AuditManager, AuditQuerySet, TimestampModel
from django_audit_fields.operations import InstallAuditTriggers
from django_audit_fields.triggers import AuditTrigger


class Invoice(TimestampModel):
    number = models.CharField(max_length=20)
    created_by = AuditActorField(max_length=100)

    class Meta:
        app_label = "typing"
        constraints = [
            AuditTrigger(name="%(app_label)s_%(class)s_audit", strict=True, nobody="refuse"),
        ]


class OpenQuerySet(AuditQuerySet["Order"]):
    def open(self) -> OpenQuerySet:
        return self.filter(is_open=True)


# Where it has a name, django-stubs knows its methods.
OpenManager = AuditManager.from_queryset(OpenQuerySet)


class Order(TimestampModel):
    is_open = models.BooleanField(default=True)

    objects = OpenManager()

    class Meta:
        app_label = "typing"


def rows(user: User, since: datetime) -> None:
    assert_type(Invoice.objects.get(), Invoice)
    assert_type(Invoice.objects.create(number="1"), Invoice)
    assert_type(Invoice.objects.created_by_actor(user).filter(number="1").update(number="2"), int)
    assert_type(Invoice.objects.updated_by_actor("import:claims").updated_since(since).count(), int)
    assert_type(Invoice.objects.filter(number="1").created_by_actor(user).get(), Invoice)
    assert_type(Invoice.objects.bulk_create([Invoice()]), list[Invoice])
    assert_type(Invoice.objects.bulk_update([Invoice()], ["number"], batch_size=10), int)
    assert_type(Invoice.objects.get_or_create(number="1"), tuple[Invoice, bool])
    assert_type(
        Invoice.objects.update_or_create(number="1", defaults={"number": "2"}),
        tuple[Invoice, bool],
    )
    found: QuerySet[Invoice] = Invoice.objects.updated_since(since)
    print(found, Order.objects.updated_since(since))
    assert_type(Order.objects.open().first(), Order | None)
    print(Order.objects.open().created_by_actor(user).update(is_open=False))


def instance(invoice: Invoice) -> tuple[datetime, datetime, str, str]:
    invoice.save(update_fields=["number"])
    invoice.save(force_insert=True, using="default")
    invoice.refresh_from_db(fields=["updated_at"])
    return invoice.created_at, invoice.updated_at, invoice.created_by, invoice.updated_by


def people(user: User) -> str:
    with acting_as(user), acting_as("import:claims-2026"):
        pass
    with preserve_audit_fields():
        bind_actor()
        bind_actor(using="replica")
    try:
        Invoice().save()
    except NoActorError as error:
        return str(error)
    assert_type(current_actor(), str)
    return current_actor()


@acting_as("nightly")
def nightly(days: int) -> bool:
    return days > 0


@acting_as("sync")
async def sync(name: str) -> list[str]:
    async with acting_as("sync:inner"):
        await Invoice().asave()
    async for invoice in Invoice.objects.created_by_actor("sync"):
        assert_type(invoice, Invoice)
    assert_type(await Invoice.objects.acreate(number="1"), Invoice)
    return [name]


@preserve_audit_fields()
def restore() -> None: ...


async def decorated() -> None:
    assert_type(nightly(1), bool)
    assert_type(await sync("a"), list[str])


class Migration(migrations.Migration):
    operations = [
        InstallAuditTriggers("billing_legacy"),
        InstallAuditTriggers(
            "ledger",
            schema="accounts",
            created_at="made_on",
            updated_at=None,
            created_by="maker",
            updated_by=None,
            strict=True,
            nobody="session_user",
        ),
    ]


@admin.register(Invoice)
class InvoiceAdmin(AuditAdminMixin, admin.ModelAdmin[Invoice]):
    list_display = ["number", "updated_by", "updated_at"]


def middleware(request: HttpRequest) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    return AuditMiddleware(view)(request)
