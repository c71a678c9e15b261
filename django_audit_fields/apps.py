"""Connects receivers, the wrapper and the checks; holds no logic."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate, pre_save

from .actors import connect as connect_crum
from .carrying import carry_on_new_connection, carry_on_open_connections
from .drift import finish_migrate
from .trail import install_before_migrate, maintain_after_migrate


class AuditFieldsConfig(AppConfig):
    name = "django_audit_fields"
    verbose_name = "Audit fields"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Not at the top: models can be imported only once the apps are loaded.
        from . import checks  # noqa: F401  # checks register themselves
        from .stamping import stamp_actor

        connection_created.connect(
            carry_on_new_connection, dispatch_uid="django_audit_fields.carry"
        )
        carry_on_open_connections()
        connect_crum()
        pre_migrate.connect(
            install_before_migrate,
            sender=self,
            dispatch_uid="django_audit_fields.install_before_migrate",
        )
        post_migrate.connect(
            finish_migrate,
            sender=self,
            dispatch_uid="django_audit_fields.drop_unused_functions",
        )
        post_migrate.connect(
            maintain_after_migrate,
            sender=self,
            dispatch_uid="django_audit_fields.maintain_after_migrate",
        )
        pre_save.connect(stamp_actor, weak=False, dispatch_uid="django_audit_fields.stamp_actor")
