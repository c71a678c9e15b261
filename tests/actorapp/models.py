"""A row that says who wrote it."""

from __future__ import annotations

from typing import Any

from django.db import models

from django_audit_fields import current_actor


class Note(models.Model):
    text = models.CharField(max_length=200)
    written_by = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.text

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.written_by = current_actor()
        super().save(*args, **kwargs)
