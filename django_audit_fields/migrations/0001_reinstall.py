"""Brings functions and triggers that an older release installed to this release's text.

Each release that changes them adds a migration like this one; a database without any is left alone.
"""

from __future__ import annotations

from django.db import migrations

from django_audit_fields.drift import Reinstall


class Migration(migrations.Migration):
    # Table by table: each is done wholly, and held no longer than that takes.
    atomic = False
    operations = [Reinstall()]
