from __future__ import annotations

from django.contrib import admin

from django_audit_fields.admin import AuditAdminMixin

from .models import ARSubledger


@admin.register(ARSubledger)
class ARSubledgerAdmin(AuditAdminMixin, admin.ModelAdmin):
    list_display = ["entry_number", "patient_account", "entry_date", "description", "status"]
    list_display += ["created_by", "updated_by", "updated_at"]
    list_filter = ["updated_by", "status"]
    search_fields = ["patient_account", "description", "updated_by"]
    date_hierarchy = "entry_date"
