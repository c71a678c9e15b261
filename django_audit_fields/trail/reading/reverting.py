"""`event.revert()`: the row as it was before an event, written by the ORM as a new event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Field, ForeignKey, Model
from django.utils.translation import gettext as _

from ...actors import preserve_audit_fields
from ...triggers import stamped_columns
from .changes import named_by
from .images import MASK, TableReader, Unreadable
from .places import own_tables

if TYPE_CHECKING:
    from .events import EventReading

#: Stamped anew by an update, and put back where the whole row is.
STAMPS = frozenset({"created_at", "created_by", "updated_at", "updated_by"})


class RevertError(ValueError):
    """The row cannot be written back as it was, and the message says why."""


def revert(event: EventReading) -> Any:
    """The event that it made. Raises RevertError, and then nothing is written."""
    model = event.model
    if model is None:
        raise RevertError(_("No model has the table %s.") % event.table_name)
    if event.action not in ("insert", "update", "delete"):
        raise RevertError(_("An event of the kind %s cannot be reverted.") % event.action)
    using = event.database
    with transaction.atomic(using=using):
        row = event.row_of(model, for_update=True)
        events = type(event)._default_manager.using(using)  # type: ignore[attr-defined]
        of_row = events.of_row(model, event.row_key)
        newest = of_row.first()
        if newest is None or newest.pk != event.id or (row is None) != (event.action == "delete"):
            raise RevertError(_("The row has changed since: look at its newest event."))
        if event.action == "insert":
            delete_again(row)
        elif event.action == "delete":
            insert_again(event, model)
        else:
            update_again(event, model, row)
        return of_row.first()


def delete_again(row: Any) -> None:
    own = {table._meta.label for table in own_tables(type(row))}
    _count, by_model = row.delete()
    if others := sorted(label for label, count in by_model.items() if count and label not in own):
        raise RevertError(_("Rows of %s would be deleted with it.") % ", ".join(others))


def insert_again(event: EventReading, model: type[Model]) -> None:
    reader = TableReader(model)
    if reader.excluded:
        raise refused(reader, sorted(reader.excluded), _("excluded from the trail"))
    values_to_write(event, reader)
    instance: Any = event.instance()
    with preserve_audit_fields():
        instance.save(using=event.database, force_insert=True)


def update_again(event: EventReading, model: type[Model], row: Any) -> None:
    reader = TableReader(model)
    values = values_to_write(event, reader)
    connection = connections[event.database]
    # Those of an old table are called otherwise: only its triggers know them.
    stamped = stamped_columns(connection, connection.ops.quote_name(model._meta.db_table))
    is_stamped = getattr(model, "_is_audited", False)
    names = []
    for column, value in values.items():
        field = reader.fields[column]
        is_stamp = column in stamped or (is_stamped and field.attname in STAMPS)
        if not (field.generated or is_stamp):
            setattr(row, field.attname, value)
            names.append(field.attname)
    if not names:
        raise RevertError(_("Only who and when changed, and that stays as it was."))
    row.save(using=event.database, update_fields=names)


def values_to_write(event: EventReading, reader: TableReader) -> Mapping[str, Any]:
    """By column. Raises RevertError for what cannot be written as it was."""
    values = reader.values(event.before, connections[event.database])
    hidden = [
        column
        for column, value in values.items()
        if value == MASK and (column in reader.masked or (event.before or {}).get(column) == MASK)
    ]
    for columns, why in (
        (hidden, _("masked in the trail")),
        ([column for column in values if column not in reader.fields], _("dropped since")),
        (
            [column for column, value in values.items() if isinstance(value, Unreadable)],
            _("of another type now"),
        ),
        (
            [
                column
                for column, value in values.items()
                if is_gone(reader.fields.get(column), value, event.database)
            ],
            _("names what is deleted"),
        ),
    ):
        if columns:
            raise refused(reader, columns, why)
    return values


def is_gone(field: Field[Any, Any] | None, value: Any, using: str) -> bool:
    """Whether a foreign key would name nothing; PostgreSQL says so at the end only."""
    if not isinstance(field, ForeignKey) or value is None or isinstance(value, Unreadable):
        return False
    if field.remote_field.parent_link:
        return False  # the parent's part is made again with it
    model, attname = named_by(field)
    return not model._base_manager.using(using).filter(**{attname: value}).exists()


def refused(reader: TableReader, columns: list[str], why: str) -> RevertError:
    names = [reader.fields[each].name if each in reader.fields else each for each in columns]
    return RevertError(_("%(fields)s: %(why)s.") % {"fields": ", ".join(names), "why": why})
