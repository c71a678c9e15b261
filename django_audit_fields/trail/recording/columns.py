"""What a model's own table holds, as its trail is told it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Field, Model


def key_columns(model: type[Model]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in model._meta.pk_fields)


def local_columns(model: type[Model]) -> list[Field[Any, Any]]:
    """The columns of the model's own table."""
    return [field for field in model._meta.local_concrete_fields if field.column]


def columns_of(model: type[Model], names: Collection[str]) -> tuple[str, ...]:
    """The columns of fields of these names; what is unknown is for the system check to say."""
    found = {field.name: str(field.column) for field in local_columns(model)}
    found |= {field.attname: str(field.column) for field in local_columns(model)}
    return tuple(found[name] for name in names if name in found)


def virtual_columns(model: type[Model]) -> tuple[str, ...]:
    """Generated when they are read: a trigger does not see their values."""
    return tuple(
        str(field.column)
        for field in local_columns(model)
        if getattr(field, "generated", False) and not getattr(field, "db_persist", True)
    )


def link_models(model: type[Model]) -> Iterator[type[Model]]:
    """The auto-created models of its many-to-many fields."""
    for field in model._meta.local_many_to_many:
        through = getattr(field.remote_field, "through", None)
        # A name, as long as the model that it names is not there.
        if not isinstance(through, str) and through is not None and through._meta.auto_created:
            yield through
