"""Lists and forms with who and when by name; each row's History page is its trail."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_audit_fields.admin import ORDER, AuditAdminMixin
from django_audit_fields.people import name_of

from .models import ARSubledger, LegacyCharge, Tariff


@admin.register(ARSubledger)
class ARSubledgerAdmin(AuditAdminMixin, admin.ModelAdmin):
    list_display = ["entry_number", "patient_account", "entry_date", "description", "status"]
    list_display += ["created_by", "updated_by", "updated_at"]
    list_filter = ["updated_by", "status"]
    search_fields = ["patient_account", "description", "updated_by"]
    date_hierarchy = "entry_date"


@admin.register(Tariff)
class TariffAdmin(AuditAdminMixin, admin.ModelAdmin):
    """Its trail has `reason=True`: the form, deletion and actions ask for one."""

    list_display = ["service", "price", "updated_by", "updated_at"]
    fields = ["service", "price", *ORDER]

    def get_readonly_fields(self, request: HttpRequest, obj: Tariff | None = None) -> Any:
        # The key: another one would be another row.
        given = super().get_readonly_fields(request, obj)
        return given if obj is None else [*given, "service"]


@admin.register(LegacyCharge)
class LegacyChargeAdmin(AuditAdminMixin, admin.ModelAdmin):
    """The old table's columns are called otherwise, so their names are shown by hand."""

    list_display = ["charge_code", "patient_account", "amount"]
    list_display += ["entered", "entered_on", "changed", "changed_on"]
    readonly_fields = ["entered", "entered_on", "changed", "changed_on"]

    @admin.display(description="entered by", ordering="entered_by")
    def entered(self, charge: LegacyCharge) -> str:
        return name_of(charge.entered_by)

    @admin.display(description="changed by", ordering="changed_by")
    def changed(self, charge: LegacyCharge) -> str:
        return name_of(charge.changed_by)
