"""A row that says who wrote it."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractBaseUser
from django.db import models

from django_audit_fields.models import TimestampModel


class Note(TimestampModel):
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text


class Account(AbstractBaseUser):
    """A user whose key is there before its row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=20)
    USERNAME_FIELD = "name"
