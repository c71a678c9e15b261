"""The admin of the test project."""

from django.contrib import admin

from django_audit_fields.admin import AuditAdminMixin

from .models import Item, Part


class PartInline(admin.TabularInline):
    model = Part
    extra = 1


@admin.register(Item)
class ItemAdmin(AuditAdminMixin, admin.ModelAdmin):
    list_display = ["name", "amount", "created_by", "updated_by", "updated_at"]
    list_editable = ["amount"]
    fields = ["name", "amount", "created_by", "updated_by"]
    inlines = [PartInline]
    actions = ["double"]

    @admin.action(description="Double the amount")
    def double(self, request, queryset):
        for item in queryset:
            item.amount *= 2
            item.save(update_fields=["amount"])


@admin.register(Part)
class PartAdmin(AuditAdminMixin, admin.ModelAdmin):
    fieldsets = [(None, {"fields": ["name", ("created_at", "created_by")]})]
