# Every way in which a table can come to the four columns.

import uuid

import django.db.models.deletion
from django.db import migrations, models

import django_audit_fields.fields
import django_audit_fields.triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Item",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                ("name", models.CharField(default="", max_length=100)),
                ("amount", models.IntegerField(default=0)),
                ("code", models.CharField(max_length=20, null=True, unique=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Keyed",
            fields=[
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("name", models.CharField(default="", max_length=100)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Labelled",
            fields=[
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                ("label", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("amount", models.IntegerField(default=0)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="OwnManager",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                ("name", models.CharField(default="", max_length=100)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Part",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                ("name", models.CharField(default="", max_length=100)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Plain",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(default="", max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name="Tag",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name="Tagging",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="SpecialItem",
            fields=[
                (
                    "item_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="testapp.item",
                    ),
                ),
                ("extra", models.CharField(default="", max_length=100)),
            ],
            options={
                "abstract": False,
            },
            bases=("testapp.item",),
        ),
        migrations.AddConstraint(
            model_name="item",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_item_audit",
            ),
        ),
        migrations.CreateModel(
            name="ItemProxy",
            fields=[],
            options={
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("testapp.item",),
        ),
        migrations.AddConstraint(
            model_name="keyed",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_keyed_audit",
            ),
        ),
        migrations.AddConstraint(
            model_name="labelled",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_labelled_audit",
            ),
        ),
        migrations.AddConstraint(
            model_name="ownmanager",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_ownmanager_audit",
            ),
        ),
        migrations.AddField(
            model_name="part",
            name="item",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="parts",
                to="testapp.item",
            ),
        ),
        migrations.CreateModel(
            name="PlainChild",
            fields=[
                (
                    "plain_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="testapp.plain",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=django_audit_fields.fields.TimeDefault(),
                        editable=False,
                    ),
                ),
                (
                    "created_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True,
                        db_default=django_audit_fields.fields.ActorDefault(),
                        editable=False,
                        max_length=50,
                    ),
                ),
                ("extra", models.CharField(default="", max_length=100)),
            ],
            options={
                "abstract": False,
            },
            bases=("testapp.plain", models.Model),
        ),
        migrations.AddField(
            model_name="tagging",
            name="item",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="testapp.item"),
        ),
        migrations.AddField(
            model_name="tagging",
            name="tag",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="testapp.tag"),
        ),
        migrations.AddField(
            model_name="tag",
            name="items",
            field=models.ManyToManyField(
                related_name="tags", through="testapp.Tagging", to="testapp.item"
            ),
        ),
        migrations.AddConstraint(
            model_name="part",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_part_audit",
            ),
        ),
        migrations.AddConstraint(
            model_name="plainchild",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_plainchild_audit",
            ),
        ),
        migrations.AddConstraint(
            model_name="tagging",
            constraint=django_audit_fields.triggers.AuditTrigger(
                columns={
                    "created_at": ("created_at", "DateTimeField"),
                    "created_by": ("created_by", "CharField", 50),
                    "updated_at": ("updated_at", "DateTimeField"),
                    "updated_by": ("updated_by", "CharField", 50),
                },
                name="testapp_tagging_audit",
            ),
        ),
    ]
