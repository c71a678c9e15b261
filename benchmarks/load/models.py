"""One row for each write; its mark says which request of which client wanted it."""

from django.db import models

from django_audit_fields.models import TrailModel


class Entry(TrailModel):
    mark = models.CharField(max_length=60, unique=True)
    amount = models.IntegerField(default=0)

    def __str__(self):
        return self.mark
