from __future__ import annotations

from django.contrib import admin

from django_audit_fields.admin import AuditAdminMixin

from .models import ARSubledger


@admin.register(ARSubledger)
class ARSubledgerAdmin(AuditAdminMixin, admin.ModelAdmin):
    list_display = ["entry_number", "patient_account", "entry_date", "description", "status"]
    list_filter = ["status"]
    search_fields = ["patient_account", "description"]
    date_hierarchy = "entry_date"
