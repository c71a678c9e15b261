"""Brings functions and triggers that an older release installed to this release's text.

Each release that changes them adds a migration like this one; a database without any is left alone.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from django_audit_fields.catalog import reinstall


def reinstall_triggers(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    reinstall(schema_editor.connection)


class Migration(migrations.Migration):
    operations = [
        migrations.RunPython(reinstall_triggers, migrations.RunPython.noop, elidable=False)
    ]
