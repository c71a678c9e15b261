"""Connects receivers, the wrapper and the checks; holds no logic."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_save

from . import impersonation, repairs, session


class AuditFieldsConfig(AppConfig):
    name = "django_audit_fields"
    verbose_name = "Audit fields"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Not at the top: models can be imported only once the apps are loaded.
        from . import checks, signals  # noqa: F401  # checks register themselves

        connection_created.connect(
            session.carry_on_new_connection, dispatch_uid="django_audit_fields.carry"
        )
        session.carry_on_open_connections()
        impersonation.connect()
        post_migrate.connect(
            repairs.drop_unused_functions,
            sender=self,
            dispatch_uid="django_audit_fields.drop_unused_functions",
        )
        pre_save.connect(
            signals.stamp_actor, weak=False, dispatch_uid="django_audit_fields.stamp_actor"
        )
