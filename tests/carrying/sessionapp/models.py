"""A table that keeps what its trigger found in the session: nothing in Python stamps it."""

from django.db import models


class Note(models.Model):
    text = models.CharField(max_length=200, unique=True, null=True)  # noqa: DJ001 (unique)
    stamped_by = models.TextField(default="", editable=False)
    preserved = models.BooleanField(default=False, editable=False)

    def __str__(self) -> str:
        return f"{self.text} by {self.stamped_by}"
