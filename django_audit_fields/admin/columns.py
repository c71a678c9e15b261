"""The four columns in Django's admin: read-only, and people by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models

from ..fields import AuditActorField
from ..filters import PersonFilter
from ..people import LABEL_COLUMNS, name_expression, name_of, prefetch
from ..stamping import audit_names

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    ListBase = ChangeList
else:
    ListBase = object

ORDER = ("created_at", "created_by", "updated_at", "updated_by")
Names = Callable[[], Mapping[str, str]]


class PersonColumn:
    """A column as a callable that Django shows: titled as the field is, sorted by name."""

    # A template shows its name, and does not call it.
    do_not_call_in_templates = True

    def __init__(self, column: str, model: type[models.Model], empty: str, names: Names) -> None:
        field: Any = model._meta.get_field(column)
        self.__name__ = self.column = column  # the class of its cells, as of the field's
        self.short_description = field.verbose_name
        self.admin_order_field = name_expression(column)
        self.empty, self.names = empty, names

    def __str__(self) -> str:
        return self.column

    def __call__(self, row: models.Model) -> str:
        label = getattr(row, self.column)
        # What was deferred is not among those that were asked for together.
        return (self.names().get(label) or name_of(label)) if label else self.empty


def person_columns(model_admin: Any, rows: Callable[[], Iterable[Any]]) -> dict[str, PersonColumn]:
    """What stands for each of the two columns, for rows that are shown together."""
    empty, model = model_admin.get_empty_value_display(), model_admin.model
    names = functools.cache(lambda: prefetch(rows()))
    columns = label_columns(model)
    return {column: PersonColumn(column, model, empty, names) for column in columns}


def show_people(page: Any, model_admin: Any, rows: Callable[[], Iterable[Any]]) -> None:
    """Let a form, or the forms of an inline, show names where the two columns are read-only."""
    columns = person_columns(model_admin, rows)
    people = {name: columns[name] for name in columns if name in page.readonly_fields}

    def shown(field: Any) -> Any:
        if isinstance(field, (list, tuple)):
            return tuple(map(shown, field))
        return people.get(field, field) if isinstance(field, str) else field

    page.fieldsets = [
        (title, {**options, "fields": [shown(field) for field in options["fields"]]})
        for title, options in page.fieldsets
    ]
    page.readonly_fields = [*page.readonly_fields, *people.values()]


class PeopleInList(ListBase):
    """A list whose `created_by` and `updated_by` show and sort names, asked for in one query."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for option in ("list_display", "list_display_links", "sortable_by"):
            if names := getattr(self, option):
                setattr(self, option, [self._shown_as(name) for name in names])

    def _shown_as(self, name: Any) -> Any:
        return self._people.get(name, name) if isinstance(name, str) else name

    @functools.cached_property
    def _people(self) -> dict[str, PersonColumn]:
        return person_columns(self.model_admin, lambda: self.result_list)

    def get_ordering_field(self, field_name: Any) -> Any:
        return super().get_ordering_field(self._shown_as(field_name))


admin.FieldListFilter.register(
    lambda field: isinstance(field, AuditActorField), PersonFilter, take_priority=True
)


def label_columns(model: type[models.Model]) -> list[str]:
    columns = audit_names(model)
    return [name for name in ORDER if name in columns and name in LABEL_COLUMNS]
