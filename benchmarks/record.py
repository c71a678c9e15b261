"""A table of eight columns, for what is recorded of it."""

from __future__ import annotations

from django.db import models

from .lane import Business


class Record(Business):
    account = models.CharField(max_length=20, default="PA-10003")
    entry_date = models.DateField(default="2026-07-01")
    price = models.DecimalField(max_digits=12, decimal_places=2, default="110.00")
    status = models.CharField(max_length=12, default="open")

    class Meta:
        abstract = True
