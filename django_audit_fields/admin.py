"""The four columns in Django's admin: read-only, and people by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import models

from .fields import AuditActorField
from .filters import PersonFilter, named
from .people import LABEL_COLUMNS, name_expression, name_of, prefetch
from .stamping import audit_names

if TYPE_CHECKING:
    from django.contrib.admin.options import BaseModelAdmin
    from django.contrib.admin.views.main import ChangeList
    from django.forms import BaseInlineFormSet
    from django.http import HttpRequest, HttpResponse

    # What a ModelAdmin and an inline have between them; a call of what only one of them has is
    # ignored as [misc] below.
    AdminBase = BaseModelAdmin[Any]
    ListBase = ChangeList
    FormSetBase = BaseInlineFormSet[Any, Any, Any]
else:
    AdminBase = ListBase = FormSetBase = object

ORDER = ("created_at", "created_by", "updated_at", "updated_by")
Names = Callable[[], Mapping[str, str]]


class PersonWidget(forms.Widget):
    """Shows the name of whom a read-only column holds."""

    # Django's admin lets a widget that says so show a read-only field's value.
    read_only = True

    def __init__(self, empty: str, names: Names) -> None:
        super().__init__()
        self.empty, self.names = empty, names

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        return shown(value, self.names) if value else self.empty


def shown(label: str, names: Names) -> str:
    # A column that was deferred is not among those that were asked for together.
    return names().get(label) or name_of(label)


class PersonColumn:
    """A column of a list, as Django calls it: titled as the field, sorted by name."""

    def __init__(self, column: str, model: type[models.Model], empty: str, names: Names) -> None:
        field: Any = model._meta.get_field(column)
        self.__name__ = self.column = column  # the class of its cells, as of the field's
        self.short_description = field.verbose_name
        self.admin_order_field = name_expression(column)
        self.empty, self.names = empty, names

    def __call__(self, row: models.Model) -> str:
        label = getattr(row, self.column)
        return shown(label, self.names) if label else self.empty


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
        empty = self.model_admin.get_empty_value_display()
        names = functools.cache(lambda: prefetch(self.result_list))
        columns = label_columns(self.model)
        return {name: PersonColumn(name, self.model, empty, names) for name in columns}

    def get_ordering_field(self, field_name: Any) -> Any:
        return super().get_ordering_field(self._shown_as(field_name))


class PeopleInFormSet(FormSetBase):
    """The forms of an inline, whose people are asked for in one query."""

    audit_empty: str

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        people = person_fields(type(form.instance), self.audit_empty, self._names)
        form.fields.update({**people, **form.fields})

    def _names(self) -> Mapping[str, str]:
        return self._people

    @functools.cached_property
    def _people(self) -> Mapping[str, str]:
        return prefetch(self.get_queryset())


admin.FieldListFilter.register(
    lambda field: isinstance(field, AuditActorField), PersonFilter, take_priority=True
)


def label_columns(model: type[models.Model]) -> list[str]:
    columns = audit_names(model)
    return [name for name in ORDER if name in columns and name in LABEL_COLUMNS]


def person_fields(model: type[models.Model], empty: str, names: Names) -> dict[str, forms.Field]:
    """What shows the people of one row in a form: no input, and nothing that is saved."""
    return {
        column: forms.Field(required=False, disabled=True, widget=PersonWidget(empty, names))
        for column in label_columns(model)
    }


class AuditAdminMixin(AdminBase):
    """For a `ModelAdmin` of an audited model, or an inline.

        @admin.register(Invoice)
        class InvoiceAdmin(AuditAdminMixin, admin.ModelAdmin):
            list_display = ["number", "updated_by", "updated_at"]
            list_filter = ["updated_by"]
            search_fields = ["number", "updated_by"]

    The columns may stand wherever Django takes a field for display, and show people by name; the
    names of a whole list come in one query.
    """

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        given = super().get_readonly_fields(request, obj)
        model: type[models.Model] = self.model
        columns = audit_names(model)
        return [*given, *(name for name in ORDER if name in columns and name not in given)]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        self._show_people(context)
        response: HttpResponse = super().render_change_form(  # type: ignore[misc]
            request, context, *args, **kwargs
        )
        return response

    def render_history_view(
        self, request: HttpRequest, template: str, context: dict[str, Any], **kwargs: Any
    ) -> Any:
        """What django-simple-history calls, for the form of a former version."""
        self._show_people(context)
        return super().render_history_view(request, template, context, **kwargs)  # type: ignore[misc]

    def _show_people(self, context: dict[str, Any]) -> None:
        if page := context.get("adminform"):
            form = page.form
            names = functools.cache(lambda: prefetch([form.instance]))
            people = person_fields(self.model, self.get_empty_value_display(), names)
            # What the project has made an input stays one.
            form.fields = {**people, **form.fields}

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **kwargs)  # type: ignore[misc]
        empty = self.get_empty_value_display()
        return type(formset.__name__, (PeopleInFormSet, formset), {"audit_empty": empty})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        changelist = super().get_changelist(request, **kwargs)  # type: ignore[misc]
        return type(changelist.__name__, (PeopleInList, changelist), {})

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Where `search_fields` names one of the two columns, the name of a person is found."""
        found, may_have_duplicates = super().get_search_results(  # type: ignore[misc]
            request, queryset, search_term
        )
        searched = set(self.get_search_fields(request))  # type: ignore[attr-defined]
        if search_term.strip():
            for column in label_columns(self.model):
                if column in searched:
                    found = found | queryset.filter(named(column, search_term.strip()))
        return found, may_have_duplicates
