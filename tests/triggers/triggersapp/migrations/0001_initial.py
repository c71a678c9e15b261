# Frozen as the first release wrote it: what users committed has to keep its meaning.
from django.db import migrations, models

import django_audit_fields.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.TextField()),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("updated_at", models.DateTimeField(blank=True, editable=False)),
                ("created_by", models.CharField(blank=True, editable=False, max_length=50)),
                ("updated_by", models.CharField(blank=True, editable=False, max_length=50)),
            ],
            options={
                "constraints": [
                    django_audit_fields.triggers.AuditTrigger(
                        columns={
                            "created_at": ("created_at", "DateTimeField"),
                            "created_by": ("created_by", "CharField", 50),
                            "updated_at": ("updated_at", "DateTimeField"),
                            "updated_by": ("updated_by", "CharField", 50),
                        },
                        name="triggersapp_note_audit",
                    )
                ],
            },
        ),
    ]
