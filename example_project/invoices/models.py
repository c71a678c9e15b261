"""The clinic's ledger of what patients owe, its prices, and the table of charges from before."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse

from django_audit_fields.fields import AuditActorField
from django_audit_fields.models import TimestampModel, TrailModel
from django_audit_fields.trail import AuditTrail


class ARSubledger(TrailModel):
    """One line of a patient's account: a debit is owed to the clinic, a credit settles it."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Settled"
        DISPUTED = "disputed", "Disputed"
        WRITTEN_OFF = "written-off", "Written off"

    entry_number = models.BigAutoField("entry no.", primary_key=True)
    patient_account = models.CharField(max_length=20, db_index=True)
    entry_date = models.DateField()
    description = models.CharField(max_length=200)
    debit = models.DecimalField(
        max_digits=12, decimal_places=2, default=0, validators=[MinValueValidator(0)]
    )
    credit = models.DecimalField(
        max_digits=12, decimal_places=2, default=0, validators=[MinValueValidator(0)]
    )
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN)

    class Meta:
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"
        ordering = ["-entry_date", "-entry_number"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(debit__gt=0, credit=0) | models.Q(debit=0, credit__gt=0),
                name="entry_is_debit_or_credit",
                violation_error_message="Enter either a debit or a credit, above zero.",
            )
        ]

    def __str__(self) -> str:
        return f"Entry {self.entry_number} of {self.patient_account}"

    def get_absolute_url(self) -> str:
        return reverse("entry-edit", args=[self.pk])


class Tariff(TimestampModel):
    """What a service costs. A price is not changed without a reason, whoever changes it."""

    service = models.CharField(max_length=200, primary_key=True)
    price = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])

    class Meta:
        ordering = ["service"]
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail", reason=True)]

    def __str__(self) -> str:
        return self.service


class LegacyCharge(models.Model):
    """A charge in the old system's table, which another program still writes.

    The table is older than this project: its columns for who and when have names of its own, and
    its triggers come from a migration with `InstallAuditTriggers`.
    """

    charge_code = models.CharField(max_length=12, primary_key=True)
    patient_account = models.CharField(max_length=20)
    amount = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(0)])
    entered_on = models.DateTimeField(null=True, editable=False)
    # Their default in the database says that they hold labels: the trail shows names for them.
    entered_by = AuditActorField(null=True)
    changed_on = models.DateTimeField(null=True, editable=False)
    changed_by = AuditActorField(null=True)

    class Meta:
        managed = False
        db_table = "legacy_charge"
        ordering = ["charge_code"]

    def __str__(self) -> str:
        return f"Charge {self.charge_code} of {self.patient_account}"

    def get_absolute_url(self) -> str:
        return reverse("charge-edit", args=[self.pk])
