"""A row that says who wrote it."""

from __future__ import annotations

from django.db import models

from django_audit_fields.models import TimestampModel


class Note(TimestampModel):
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text
