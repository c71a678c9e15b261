"""From here on the old table says who and when, whichever program writes it."""

from __future__ import annotations

from django.db import migrations

from django_audit_fields.operations import InstallAuditTriggers


class Migration(migrations.Migration):
    dependencies = [("invoices", "0002_ledger")]

    operations = [
        InstallAuditTriggers(
            "legacy_charge",
            created_at="entered_on",
            created_by="entered_by",
            updated_at="changed_on",
            updated_by="changed_by",
        )
    ]
