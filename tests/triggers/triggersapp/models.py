"""Models whose triggers the tests migrate, alter and break; their migrations are frozen."""

from django.db import models

from django_audit_fields.triggers import AuditTrigger


class Note(models.Model):
    text = models.TextField()
    created_at = models.DateTimeField(editable=False, blank=True)
    updated_at = models.DateTimeField(editable=False, blank=True)
    created_by = models.CharField(max_length=50, editable=False, blank=True)
    updated_by = models.CharField(max_length=50, editable=False, blank=True)

    class Meta:
        constraints = [AuditTrigger(name="%(app_label)s_%(class)s_audit")]

    def __str__(self) -> str:
        return self.text
