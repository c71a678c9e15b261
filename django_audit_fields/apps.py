"""Connects receivers, the wrapper and the checks; holds no logic."""

from __future__ import annotations

from django.apps import AppConfig


class AuditFieldsConfig(AppConfig):
    name = "django_audit_fields"
    verbose_name = "Audit fields"
    default_auto_field = "django.db.models.BigAutoField"
