"""Which tables a model's rows are in, and which model an event is of."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model, TextField
from django.db.models.expressions import RawSQL
from django.db.models.options import Options

from ...triggers import table_names
from ..recording import trails_of

#: Of a table that the search path finds; where there is none of that name, the schema it begins
#: with. The collation is that of the trail's column, or its index would not be used.
SCHEMA_SQL: Final = """coalesce(
    (SELECT nspname::text FROM pg_catalog.pg_class
        JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = pg_catalog.to_regclass(%s)),
    pg_catalog.current_schema()::text) COLLATE pg_catalog."default"
"""


def own_tables(model: type[Model]) -> Iterator[type[Model]]:
    """The model whose table it is, for each table that holds a part of the model's rows."""
    concrete = model._meta.concrete_model or model
    yield concrete
    for parent in concrete._meta.get_parent_list():
        if not parent._meta.proxy:
            yield parent


def schema_of(model: type[Model], connection: BaseDatabaseWrapper) -> Any:
    """The schema of the model's table, as a value or as an expression."""
    quoted = connection.ops.quote_name(model._meta.db_table)
    schema, _ = table_names(quoted)
    return schema or RawSQL(SCHEMA_SQL, [quoted], output_field=TextField())  # noqa: S611  # no user input


def names_in_trail(model: type[Model], connection: BaseDatabaseWrapper) -> list[str]:
    """What the model's table is called in the trail, today and formerly."""
    _, name = table_names(connection.ops.quote_name(model._meta.db_table))
    return [name, *(old for trail in trails_of(model)[:1] for old in trail.formerly)]


def row_key(instance: Model, table: type[Model], using: str) -> str | None:
    """What the trail calls the instance's row of one of its tables; None when it has no key."""
    values = [key_value(field, instance, using) for field in table._meta.pk_fields]
    if any(value is None for value in values):
        return None
    if len(values) == 1:
        return str(values[0])
    return f"[{', '.join(json_text(value) for value in values)}]"


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def key_value(field: Field[Any, Any], instance: Model, using: str) -> Any:
    """What prints as `to_jsonb` has it: text for what is text in JSON."""
    value = field.get_db_prep_value(
        field.value_from_object(instance), connections[using], prepared=False
    )
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, datetime.datetime):
        if value.tzinfo:
            return f"{trimmed(value.astimezone(datetime.UTC).replace(tzinfo=None))}+00:00"
        return trimmed(value)
    if isinstance(value, datetime.time):
        return trimmed(value)
    if isinstance(value, Decimal):
        # With the digits of the column: 1.5 is 1.50 in numeric(5, 2).
        places = getattr(field, "decimal_places", None)
        return value if places is None else round(value, places)
    return str(value)


def trimmed(value: datetime.datetime | datetime.time) -> str:
    """PostgreSQL prints no zeros at the end of a fraction."""
    text = value.isoformat()
    return text.rstrip("0") if value.microsecond else text


def model_of(schema: str, table: str) -> type[Model] | None:
    """The model that has this table today, or had it under a name that its trail remembers."""
    models = models_by_table(tuple(apps.get_models(include_auto_created=True)))
    return models.get((schema, table)) or models.get((None, table))


@functools.lru_cache(maxsize=2)
def models_by_table(
    models: tuple[type[Model], ...],
) -> dict[tuple[str | None, str], type[Model]]:
    today: dict[tuple[str | None, str], type[Model]] = {}
    formerly: dict[tuple[str | None, str], type[Model]] = {}
    # A managed model first: others may look at the same table in a way of their own.
    for model in sorted(models, key=is_second_look):
        quoted = model._meta.db_table
        name = quoted if quoted.startswith('"') else f'"{quoted}"'
        today.setdefault(table_names(name), model)
        for trail in trails_of(model)[:1]:
            for old in trail.formerly:
                formerly.setdefault((None, old), model)
    return formerly | today


def is_second_look(model: type[Model]) -> bool:
    options: Options[Any] = model._meta
    return options.proxy or not options.managed
