"""Models as projects write them, in an app that is installed for the type checker alone.

Its plugin for Django has other ways with models of installed apps than with the rest.
"""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models

from django_audit_fields.fields import AuditActorField, AuditTimeField
from django_audit_fields.models import AuditManager, AuditQuerySet, TimestampModel
from django_audit_fields.triggers import AuditTrigger


class Customer(TimestampModel):
    name = models.CharField(max_length=50)


class Invoice(TimestampModel):
    number = models.CharField(max_length=20)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="invoices")
    created_by = AuditActorField(max_length=100)

    class Meta:
        constraints = [
            AuditTrigger(name="%(app_label)s_%(class)s_audit", strict=True, nobody="refuse"),
        ]


class OrderQuerySet(AuditQuerySet["Order"]):
    def open(self) -> Self:
        return self.filter(is_open=True)


OrderManager = AuditManager.from_queryset(OrderQuerySet)


class Order(TimestampModel):
    is_open = models.BooleanField(default=True)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")

    objects = OrderManager()

    class Meta(TimestampModel.Meta):
        ordering = ["-updated_at"]


class AnnotatedOrder(TimestampModel):
    is_open = models.BooleanField(default=True)

    objects: ClassVar[OrderManager[AnnotatedOrder]] = OrderManager()


class LineQuerySet(AuditQuerySet["Line"]):
    def open(self) -> Self:
        return self.filter(is_open=True)


class Line(TimestampModel):
    is_open = models.BooleanField(default=True)

    objects = AuditManager.from_queryset(LineQuerySet)()


class PaymentQuerySet(AuditQuerySet["Payment"]):
    def open(self) -> Self:
        return self.filter(is_open=True)


class Payment(TimestampModel):
    is_open = models.BooleanField(default=True)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="payments")

    objects = PaymentQuerySet.as_manager()


class ReceiptManager(AuditManager["Receipt"]):
    def mine(self, name: str) -> AuditQuerySet[Receipt]:
        return self.created_by_actor(name)


class Receipt(TimestampModel):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="receipts")

    objects = ReceiptManager()


class AnnotatedReceiptManager(AuditManager["AnnotatedReceipt"]):
    pass


class AnnotatedReceipt(TimestampModel):
    objects: ClassVar[AnnotatedReceiptManager] = AnnotatedReceiptManager()
    everything: ClassVar[AuditManager[AnnotatedReceipt]] = AuditManager()


class Plain(TimestampModel):
    """A manager that is not ours is allowed as well."""

    objects = models.Manager()


class Dated(TimestampModel):
    """What stands in for a column may be of Django's own, and one may be missing."""

    created_at = AuditTimeField(db_index=True)
    created_by = models.CharField(max_length=200)
    updated_by = None  # type: ignore[assignment]  # as for any field that a base has


class Copied(models.Model):  # noqa: DJ008
    """Such as the history of an audited row."""

    updated_at = AuditTimeField(null=True)


class Named(TimestampModel):
    """An abstract model between, with a manager of its own."""

    objects = OrderManager()

    class Meta:
        abstract = True


class NamedOrder(Named):
    is_open = models.BooleanField(default=True)
