"""Tells Django of the model that reads the trail; its table is made where there is a trail."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_audit_fields", "0003_plain_functions")]
    operations = [
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("recorded_at", models.DateTimeField()),
                ("action", models.TextField()),
                ("table_schema", models.TextField()),
                ("table_name", models.TextField()),
                ("row_key", models.TextField(null=True)),
                ("actor", models.TextField()),
                ("context", models.JSONField(null=True)),
                ("db_role", models.TextField()),
                ("application_name", models.TextField(null=True)),
                ("client_addr", models.GenericIPAddressField(null=True)),
                ("transaction_id", models.BigIntegerField()),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
            ],
            options={
                "managed": False,
                "db_table": '"audit_trail"."event"',
                "base_manager_name": "objects",
                "default_permissions": ("view",),
                "permissions": (("revert_auditevent", "Can revert audit event"),),
            },
        ),
    ]
