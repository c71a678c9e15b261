"""The columns of `TimestampModel`: Django's own fields with a default in the database.

In migrations they are plain `DateTimeField` and `CharField`; only their defaults are named there.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import models
from django.db.models import lookups
from django.db.models.functions import Cast
from django.db.models.sql import Query
from django.utils import timezone
from django.utils.functional import Promise

from ..actors import is_preserving, label_for
from ..conf import MAX_LABEL_LENGTH
from ..triggers import ActorDefault, TimeDefault
from .stamps import Stamp, is_audited, local_names, required_actor, stamped_now

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import CharField, DateTimeField, Field
    from typing_extensions import TypeVar

    Lookup: TypeAlias = lookups.Lookup[Any]

    # What a field takes and what it gives: django-stubs knows, and puts None beside it.
    _Set = TypeVar("_Set", contravariant=True, default=Any)
    _Get = TypeVar("_Get", covariant=True, default=Any)
else:
    # Generic in the stubs, and not when it runs: what is in brackets there is looked up here.
    _Set = _Get = None
    CharField = {(_Set, _Get): models.CharField}
    DateTimeField = {(_Set, _Get): models.DateTimeField}
    Field = {(_Set, _Get): models.Field}
    Lookup = lookups.Lookup

__all__ = ["ActorDefault", "AuditActorField", "AuditField", "AuditTimeField"]


class AuditField(Field[_Set, _Get]):
    """What the four columns share: a default in the database that INSERT need not bring back."""

    # Otherwise a default in the database adds its column to the RETURNING of every INSERT, for a
    # value that is known here: 1.1 to 1.2 times the cost of save() and bulk_create().
    db_returning = False

    if not TYPE_CHECKING:

        def __class_getitem__(cls, types):
            """Generic for type checkers alone, as Django's own relations are."""
            return cls

    def get_default(self) -> None:
        """An unsaved instance has no stamp."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """The value to write.

        `TimestampModel` and `AuditQuerySet` put it on the instance beforehand; it is made here for
        rows that a manager other than ours inserts, and for what is missing where rows are stored
        as given. Another model that copies the fields, such as the history of an audited one, is.
        """
        values = model_instance.__dict__
        given = values.get(self.attname)
        is_stamped = id(model_instance) in stamped_now()
        if not add or (is_stamped and given is not None):
            return given
        model = type(model_instance)
        if is_preserving() or not is_audited(model):
            if given is None:
                given = values[self.attname] = self.missing_value(model_instance)
            elif not hasattr(given, "resolve_expression"):
                given = values[self.attname] = self.to_python(given)
            return given
        if not is_stamped and self is first_audit_field(model):
            # Fields are asked in the order of their columns, and a row has one time.
            stamp = Stamp(timezone.now(), required_actor(model))
            values.update(stamp.values(local_names(model)))
        return values.get(self.attname)

    def missing_value(self, model_instance: models.Model) -> Any:
        """What a row stored as given holds in this column, where it was given nothing."""
        raise NotImplementedError

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.get_internal_type()}", args, kwargs


class AuditTimeField(AuditField[_Set, _Get], DateTimeField[_Set, _Get]):
    """`created_at` and `updated_at`: equal in a row that was never changed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        defaults = {"blank": True, "editable": False, "db_default": TimeDefault()}
        super().__init__(*args, **{**defaults, **kwargs})

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        # A stamp needs none of what Django does to a time that may be naive, text or lazy: two
        # times a row, that is a tenth of what `bulk_create` costs. A subclass may prepare its own.
        if type(value) is datetime and value.tzinfo is UTC and type(self) is AuditTimeField:
            return connection.ops.adapt_datetimefield_value(value)
        return super().get_db_prep_save(value, connection)

    def missing_value(self, model_instance: models.Model) -> Any:
        created = model_instance.__dict__.get("created_at")
        is_like_created = self.attname == "updated_at" and isinstance(created, (date, str))
        return created if is_like_created else timezone.now()


class AuditActorField(AuditField[_Set, _Get], CharField[_Set, _Get]):
    """`created_by` and `updated_by`: the label of who was acting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        defaults = {
            "blank": True,
            "editable": False,
            "max_length": MAX_LABEL_LENGTH,
            "db_default": ActorDefault(),
        }
        super().__init__(*args, **{**defaults, **kwargs})

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if type(value) is str and type(self) is AuditActorField:
            return value
        return super().get_db_prep_save(value, connection)

    def to_python(self, value: Any) -> Any:
        """The label of a user, as `acting_as` stamps it; text as it is. Raises as `acting_as`."""
        if value is None or isinstance(value, str):
            return value
        return str(value) if isinstance(value, Promise) else label_for(value)

    def missing_value(self, model_instance: models.Model) -> str:
        return required_actor(type(model_instance))


def as_text(query: Query) -> Query:
    """A subquery of keys, as text: what a user's label is made of by default."""
    if not isinstance(query.output_field, (models.CharField, models.TextField)):
        columns: Any = query.select
        query.select = tuple(Cast(column, models.TextField()) for column in columns)
        annotations: dict[str, Any] = query.annotations
        for alias in query.annotation_select:
            annotations[alias] = Cast(annotations[alias], models.TextField())
    return query


class PreparedLookup(Lookup):
    """A lookup by what `to_python` takes, also where Django would take any value for its text."""

    prepare_rhs = True

    def get_prep_lookup(self) -> Any:
        prepared = super().get_prep_lookup()
        return as_text(prepared) if isinstance(prepared, Query) else prepared


for lookup in (
    *(lookups.Exact, lookups.In, lookups.IExact, lookups.Regex, lookups.IRegex),
    *(lookups.Contains, lookups.StartsWith, lookups.EndsWith),
    *(lookups.IContains, lookups.IStartsWith, lookups.IEndsWith),
):
    AuditActorField.register_lookup(type(lookup.__name__, (PreparedLookup, lookup), {}))


@functools.cache
def first_audit_field(model: type[models.Model]) -> AuditField[Any, Any] | None:
    fields = model._meta.local_concrete_fields
    return next((field for field in fields if isinstance(field, AuditField)), None)
