"""The columns of `TimestampModel`: Django's own fields with a default in the database.

In migrations they are plain `DateTimeField` and `CharField`; only `ActorDefault` is named there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.functions import Now
from django.db.models.query_utils import DeferredAttribute
from django.utils import timezone

from ..actors import is_preserving
from ..conf import MAX_LABEL_LENGTH
from ..triggers import ActorDefault
from .memory import is_audited, required_actor, stamped_now

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import CharField, DateTimeField, Field
    from typing_extensions import TypeVar

    # What a field takes and what it gives: django-stubs knows, and puts None beside it.
    _Set = TypeVar("_Set", contravariant=True, default=Any)
    _Get = TypeVar("_Get", covariant=True, default=Any)
else:
    # Generic in the stubs, and not when it runs: what is in brackets there is looked up here.
    _Set = _Get = None
    CharField = {(_Set, _Get): models.CharField}
    DateTimeField = {(_Set, _Get): models.DateTimeField}
    Field = {(_Set, _Get): models.Field}

__all__ = ["ActorDefault", "AuditActorField", "AuditField", "AuditTimeField"]


class StampAttribute(DeferredAttribute):
    """What reads a column that is not at hand: a stamp, maybe, that a write left to be read."""

    def fetch_many(self, instances: Iterable[models.Model]) -> None:
        """For `FETCH_PEERS` of Django 6.1, which asks one database for all of them."""
        name, rows = self.field.attname, self.field.model._base_manager
        missing = defaultdict(list)
        for instance in instances:
            if name not in instance.__dict__ and instance.pk is not None:
                state = instance._state
                missing[getattr(state, "audit_unread_in", state.db)].append(instance)
        for using, peers in missing.items():
            found = rows.using(using).values_list(name, flat=True)
            values = found.in_bulk([instance.pk for instance in peers])
            for instance in peers:
                if instance.pk in values:
                    setattr(instance, name, values[instance.pk])


class AuditField(Field[_Set, _Get]):
    """What the four columns share: a default in the database that INSERT need not bring back."""

    descriptor_class = StampAttribute

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
        rows that a manager other than ours inserts. Another model that copies the fields, such as
        the history of an audited one, stores what it is given.
        """
        given = model_instance.__dict__.get(self.attname)
        if not add:
            return given
        if id(model_instance) in stamped_now():
            return self.early_value(model_instance) if given is None else given
        if given is not None and (not is_audited(type(model_instance)) or is_preserving()):
            return given
        value = model_instance.__dict__[self.attname] = self.value_on_insert(model_instance)
        return value

    def value_on_insert(self, model_instance: models.Model) -> Any:
        raise NotImplementedError

    def early_value(self, model_instance: models.Model) -> Any:
        """What the other fields may know while Django prepares an INSERT."""
        return None

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.get_internal_type()}", args, kwargs


class AuditTimeField(AuditField[_Set, _Get], DateTimeField[_Set, _Get]):
    """`created_at` and `updated_at`: equal in a row that was never changed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # PostgreSQL's form of Now is statement_timestamp(), the clock that the trigger reads too.
        super().__init__(*args, **{"blank": True, "editable": False, "db_default": Now(), **kwargs})

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        # A stamp needs none of what Django does to a time that may be naive, text or lazy: two
        # times a row, that is a tenth of what `bulk_create` costs. A subclass may prepare its own.
        if type(value) is datetime and value.tzinfo is UTC and type(self) is AuditTimeField:
            return connection.ops.adapt_datetimefield_value(value)
        return super().get_db_prep_save(value, connection)

    def value_on_insert(self, model_instance: models.Model) -> datetime:
        if is_preserving() or not is_audited(type(model_instance)):
            # Fields are asked in the order of their columns: created_at has its value by then.
            created = model_instance.__dict__.get("created_at")
            if self.attname == "updated_at" and isinstance(created, (date, str)):
                return created  # type: ignore[return-value]  # as it was given
            return timezone.now()
        # What the caller put into the other column is not to be taken over.
        state = model_instance._state.__dict__
        asked_first: tuple[str, datetime] | None = state.pop("audit_asked_first", None)
        if asked_first is not None and asked_first[0] != self.attname:
            return asked_first[1]
        now = timezone.now()
        state["audit_asked_first"] = self.attname, now
        return now

    def early_value(self, model_instance: models.Model) -> datetime:
        # Django 6 asks each field before the INSERT is built, and the path of a file may depend on
        # the time. `TimestampModel` writes the one that was told here.
        state: Any = model_instance._state
        if is_preserving():
            value = self.value_on_insert(model_instance)
        else:
            value = state.audit_now = getattr(state, "audit_now", None) or timezone.now()
        model_instance.__dict__[self.attname] = value
        return value


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

    def value_on_insert(self, model_instance: models.Model) -> str:
        return required_actor(type(model_instance))
