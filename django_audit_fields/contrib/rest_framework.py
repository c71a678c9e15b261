"""People in the APIs of Django REST framework."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.fields import SkipField

from ..people import name_of, names_of


class PersonField(serializers.Field):  # type: ignore[misc]  # the framework has no types
    """Who is behind a label, read-only: `{"label": "17", "name": "Amara Okafor"}`.

        class InvoiceSerializer(serializers.ModelSerializer):
            created_by = PersonField()
            updated_by = PersonField(as_name=True)  # "Amara Okafor"

    The people of a list are asked for in one query for each such field.
    """

    def __init__(self, *, as_name: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "read_only": True})
        self.as_name = as_name
        self._rows: Any = None
        self._names: dict[str, str] = {}

    def to_representation(self, label: str) -> Any:
        name = self._names_in_list().get(label) or name_of(label)
        return name if self.as_name else {"label": label, "name": name}

    def _names_in_list(self) -> dict[str, str]:
        """The names of all rows of the list that is shown; none where it is a single row."""
        shown = self.parent.parent
        rows = shown.instance if isinstance(shown, serializers.ListSerializer) else None
        # What can be read only once is left to the serializer.
        if rows is not self._rows and isinstance(rows, (list, tuple, QuerySet)):
            self._rows, self._names = rows, names_of(self._label_of(row) for row in rows)
        return self._names

    def _label_of(self, row: Any) -> str | None:
        try:
            label: str | None = self.get_attribute(row)
        except SkipField:
            return None
        return label
