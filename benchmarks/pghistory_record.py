"""What both levels of django-pghistory do for a measurement."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pghistory
import pgtrigger
from django.db import models

from .lane import Lane


class PghistoryRecordLane(Lane):
    def __init__(self, model: Any) -> None:
        self.model: type[models.Model] = model
        self.further_tables = (model.pgh_event_model._meta.db_table, "pghistory_context")

    def prepare(self) -> None:
        # One by one: all at once drops the triggers that other lanes have in this database.
        for model, trigger in pgtrigger.registered():
            trigger.install(model)

    def acting(self) -> AbstractContextManager[Any]:
        return pghistory.context(user=self.user.pk, reason="measured")
