"""What an image says of each field of a model, and the instance that it was taken of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model
from django.utils.translation import gettext

from ..recording import columns_of, local_columns, trails_of
from .values import python_value

#: What stands in an image for a masked value.
MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands where an image holds what the field's column would not take today."""

    value: Any

    def __str__(self) -> str:
        return gettext("unreadable: %s") % json.dumps(self.value, ensure_ascii=False)


class TableReader:
    """Reads the images of one table by the fields that its model has today."""

    def __init__(self, model: type[Model]) -> None:
        self.fields: dict[str, Field[Any, Any]] = {
            str(field.column): field for field in local_columns(model)
        }
        self.masked: frozenset[str] = frozenset()
        self.excluded: frozenset[str] = frozenset()
        self.renamed: dict[str, str] = {}
        for trail in trails_of(model)[:1]:
            # Of older images, too: what is masked today was not meant to be seen yesterday.
            self.masked = frozenset(columns_of(model, trail.mask))
            self.excluded = frozenset(columns_of(model, trail.exclude))
            for old, name in trail.renamed.items():
                for column in columns_of(model, [name]):
                    # A foreign key's column is called after the field.
                    self.renamed |= {old: column, f"{old}_id": column}

    def column_today(self, column: str) -> str:
        return column if column in self.fields else self.renamed.get(column, column)

    def values(
        self, image: Mapping[str, Any] | None, connection: BaseDatabaseWrapper
    ) -> dict[str, Any]:
        """The values by today's columns; what is excluded today is left out."""
        return {
            name: self.value(name, value, connection)
            for column, value in (image or {}).items()
            if (name := self.column_today(column)) not in self.excluded
        }

    def value(self, column: str, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if column in self.masked and value is not None:
            return MASK
        field = self.fields.get(column)
        if field is None:
            return value
        try:
            return python_value(field, value, connection)
        except Exception:  # a field's own converter raises what it likes
            # Masked when it was recorded, perhaps.
            return value if value == MASK else Unreadable(value)

    def ordered(self, columns: Mapping[str, Any]) -> Iterator[str]:
        """In the order of the model's fields; what it has no field for comes last."""
        yield from (column for column in self.fields if column in columns)
        yield from (column for column in columns if column not in self.fields)


def put_values(instance: Model, reader: TableReader, values: Mapping[str, Any]) -> None:
    for column, value in values.items():
        if field := reader.fields.get(column):
            setattr(instance, field.attname, value)
