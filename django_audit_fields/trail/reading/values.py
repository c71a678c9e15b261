"""What a value of an image is in Python: what Django would read from the column as it is today."""

from __future__ import annotations

import functools
import json
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, JSONField
from django.db.models.fields.json import KeyTransform
from django.utils import timezone
from psycopg.abc import Loader
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

TRUTH: Final = {True: "t", False: "f"}


class Number(float):
    """A number that also knows its digits: 80.10 is exact in a numeric column, and no float is."""

    text: str

    def __new__(cls, text: str | float) -> Number:
        number = super().__new__(cls, text)
        number.text = str(text)
        return number


class RowImage(JSONField):
    """A row as the trail has it. In migrations a plain `JSONField`."""

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        if value is None or (isinstance(expression, KeyTransform) and not isinstance(value, str)):
            return value
        return json.loads(value, parse_float=Number)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class InstantLoader(TimestamptzLoader):
    """Images are in UTC; without `USE_TZ` Django's times are local ones."""

    def load(self, data: Any) -> Any:
        instant = super().load(data)
        return instant if settings.USE_TZ else timezone.make_naive(instant)


@functools.cache
def adapters() -> AdaptersMap:
    """psycopg's own, and where Django differs from it, Django's."""
    found = AdaptersMap(psycopg.adapters)
    for name in ("inet", "cidr"):
        found.register_loader(name, TextLoader)
    found.register_loader("timestamptz", InstantLoader)
    return found


@functools.cache
def loader_of(type_name: str) -> tuple[str, Loader] | None:
    """The type's short name and what reads its text; None for a type that psycopg does not know."""
    known = adapters().types.get(type_name)
    if known is None:
        return None
    return known.name, Transformer(adapters()).get_loader(known.oid, Format.TEXT)


def python_value(field: Field[Any, Any], value: Any, connection: BaseDatabaseWrapper) -> Any:
    """The field's value. Raises ValueError, or what a field's own converter raises."""
    found = driver_value(value, field.db_type(connection) or "")
    column = field.cached_col
    for convert in column.get_db_converters(connection):
        found = convert(found, column, connection)
    return found


def driver_value(value: Any, db_type: str) -> Any:
    """What psycopg answers for a column of this type, from what `to_jsonb` made of it."""
    if value is None:
        return None
    element, is_array, _ = db_type.partition("[")
    if is_array:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is no array.")
        return [
            # An array of arrays is of the same type in PostgreSQL.
            driver_value(item, db_type if isinstance(item, list) else element)
            for item in value
        ]
    known = loader_of(db_type.partition("(")[0].strip())
    if known is None:
        return value
    name, loader = known
    if name in ("json", "jsonb"):
        return json.dumps(value)
    return loader.load(text_of(value, name).encode())


def text_of(value: Any, type_name: str) -> str:
    """The value as PostgreSQL prints it. Raises ValueError for what a column never holds."""
    if isinstance(value, dict | list):
        raise ValueError(f"{value!r} is no {type_name}.")
    if isinstance(value, bool) or type_name == "bool":
        # psycopg takes any other text for false.
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is no {type_name}.")
        return TRUTH[value] if type_name == "bool" else str(value).lower()
    if isinstance(value, Number):
        return value.text
    text = str(value)
    if type_name == "bytea" and not text.startswith("\\x"):
        raise ValueError(f"{text!r} is no {type_name}.")
    return text
