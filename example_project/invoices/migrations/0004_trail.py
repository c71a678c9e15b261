"""From here on every change of both tables is recorded, with who, when and why."""

from __future__ import annotations

from django.db import migrations

from django_audit_fields.operations import InstallAuditTrail
from django_audit_fields.trail import AuditTrail


class Migration(migrations.Migration):
    dependencies = [("invoices", "0003_stamp_legacy_charge")]

    operations = [
        migrations.AddConstraint(
            model_name="arsubledger",
            constraint=AuditTrail(
                name="invoices_arsubledger_trail", columns={"key": ("entry_number",)}
            ),
        ),
        InstallAuditTrail("legacy_charge"),
    ]
