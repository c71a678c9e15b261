"""Public calls as projects make them: never run, only type-checked, by `make lint`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar, assert_type

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import migrations
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from django_audit_fields import (
    NoActorError,
    acting_as,
    bind_actor,
    current_actor,
    preserve_audit_fields,
)
from django_audit_fields.admin import AuditAdminMixin
from django_audit_fields.middleware import AuditMiddleware
from django_audit_fields.models import AuditQuerySet, TimestampModel
from django_audit_fields.operations import InstallAuditTriggers

from .models import (
    AnnotatedOrder,
    AnnotatedReceipt,
    Copied,
    Customer,
    Dated,
    Invoice,
    Line,
    NamedOrder,
    Order,
    OrderQuerySet,
    Payment,
    Plain,
    Receipt,
)

Model = TypeVar("Model", bound=TimestampModel)


def rows(user: User, since: datetime) -> None:
    assert_type(Invoice.objects.get(), Invoice)
    assert_type(Invoice.objects.create(number="1"), Invoice)
    assert_type(Invoice.objects.created_by_actor(user).filter(number="1").update(number="2"), int)
    assert_type(Invoice.objects.updated_by_actor("import:claims").updated_since(since).count(), int)
    assert_type(Invoice.objects.filter(number="1").created_by_actor(user).get(), Invoice)
    assert_type(
        Invoice.objects.touched_by(user, "import").order_by_person("created_by").get(), Invoice
    )
    assert_type(Order.objects.with_people().open().first(), Order | None)
    assert_type(Invoice.objects.using("replica").created_by_actor(user).first(), Invoice | None)
    assert_type(Invoice.objects.bulk_create([Invoice()]), list[Invoice])
    assert_type(Invoice.objects.bulk_update([Invoice()], ["number"], batch_size=10), int)
    assert_type(Invoice.objects.get_or_create(number="1"), tuple[Invoice, bool])
    assert_type(
        Invoice.objects.update_or_create(number="1", defaults={"number": "2"}),
        tuple[Invoice, bool],
    )
    for invoice in Invoice.objects.all():
        assert_type(invoice, Invoice)
    found: QuerySet[Invoice] = Invoice.objects.updated_since(since)
    print(found)


def managers(user: User, since: datetime) -> None:
    """However a manager is made, its own methods and ours answer with the model's type."""
    assert_type(Order.objects.open().created_by_actor(user).open().first(), Order | None)
    assert_type(Order.objects.updated_since(since), OrderQuerySet)
    assert_type(Line.objects.filter(is_open=True).open().created_by_actor(user).get(), Line)
    assert_type(Payment.objects.open().updated_since(since).get(), Payment)
    assert_type(Receipt.objects.mine("import:claims").get(), Receipt)
    assert_type(Receipt.objects.updated_by_actor(user).get(), Receipt)
    assert_type(AnnotatedOrder.objects.updated_by_actor(user).count(), int)
    assert_type(AnnotatedReceipt.objects.updated_by_actor(user).get(), AnnotatedReceipt)
    assert_type(AnnotatedReceipt.everything.updated_by_actor(user).get(), AnnotatedReceipt)
    assert_type(Plain.objects.get(), Plain)
    assert_type(NamedOrder.objects.updated_by_actor(user).count(), int)


def relations(customer: Customer, since: datetime) -> None:
    assert_type(customer.invoices.updated_since(since), AuditQuerySet[Invoice])
    assert_type(customer.invoices.created_by_actor("import").filter(number="1").get(), Invoice)
    assert_type(customer.orders.open().created_by_actor("import").get(), Order)
    assert_type(customer.payments.open().created_by_actor("import").get(), Payment)
    assert_type(customer.receipts.mine("import").get(), Receipt)


def any_model(model: type[Model], since: datetime) -> Model | None:
    assert_type(TimestampModel.objects.updated_since(since), AuditQuerySet[TimestampModel])
    return model.objects.created_by_actor("import").first()


def any_rows(rows: AuditQuerySet[TimestampModel]) -> list[str]:
    return [row.updated_by for row in rows]


def any_of_them() -> None:
    assert_type(any_model(Order, datetime.now()), Order | None)
    print(any_rows(Invoice.objects.all()), any_rows(Order.objects.open()))


def instance(invoice: Invoice) -> None:
    invoice.save(update_fields=["number"])
    invoice.save(force_insert=True, using="default")
    invoice.refresh_from_db(fields=["updated_at"])


def columns(invoice: Invoice, order: Order, dated: Dated) -> None:
    """A column gives what Django's own field gives, and takes what it takes."""
    for row in (invoice, order):
        assert_type(row.created_at, datetime)
        assert_type(row.updated_at, datetime)
        assert_type(row.created_by, str)
        assert_type(row.updated_by, str)
    invoice.created_by = order.updated_by = "import:claims"
    invoice.created_at = datetime.now()
    order.created_at = "2026-01-01T00:00Z"
    order.updated_at = Now()
    invoice.created_by = None  # type: ignore[assignment]
    invoice.updated_at = 3  # type: ignore[assignment]
    Invoice(created_by="import:claims", created_at=datetime.now())
    assert_type(Invoice.objects.values_list("created_by", flat=True).get(), str)
    assert_type(dated.created_at, datetime)
    assert_type(dated.created_by, str)
    assert_type(Copied.objects.get().updated_at, datetime | None)


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
    assert_type(await Invoice.objects.aget(number="1"), Invoice)
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


class OrderInline(AuditAdminMixin, admin.TabularInline[Order, Customer]):
    """Its getters are given the parent."""

    model = Order

    def get_readonly_fields(
        self, request: HttpRequest, obj: Customer | None = None
    ) -> list[str] | tuple[str, ...]:
        return [*super().get_readonly_fields(request, obj), "is_open"]


@admin.register(Customer)
class CustomerAdmin(AuditAdminMixin, admin.ModelAdmin[Customer]):
    inlines = [OrderInline]

    def get_readonly_fields(
        self, request: HttpRequest, obj: Customer | None = None
    ) -> list[str] | tuple[str, ...]:
        return [*super().get_readonly_fields(request, obj), "name"]

    def get_form(
        self,
        request: HttpRequest,
        obj: Customer | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm[Customer]]:
        form: type[ModelForm[Customer]] = super().get_form(request, obj, change, **kwargs)
        return form

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Customer | None = None,
    ) -> HttpResponse:
        response = super().render_change_form(request, context, add, change, form_url, obj)
        assert_type(response, HttpResponse)
        return response

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, extra_context)


def middleware(request: HttpRequest) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    return AuditMiddleware(view)(request)
