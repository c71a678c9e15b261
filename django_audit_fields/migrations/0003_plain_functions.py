"""Brings the short functions, and takes the third trigger off partitioned tables."""

from __future__ import annotations

from django.db import migrations

from django_audit_fields.drift import Reinstall


class Migration(migrations.Migration):
    # Table by table: each is done wholly, and held no longer than that takes.
    atomic = False
    dependencies = [("django_audit_fields", "0002_reinstall")]
    operations = [Reinstall()]
