"""The four columns in Django's admin: read-only, and people by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.models import BaseModelFormSet
from django.utils.functional import cached_property

from .actors import user_label
from .conf import DEFAULTS, audit_settings
from .stamping import audit_names

if TYPE_CHECKING:
    from django.http import HttpRequest

    ModelAdminBase = admin.ModelAdmin[models.Model]
    FormSetBase = BaseModelFormSet[models.Model, Any]
else:
    ModelAdminBase = FormSetBase = object

#: What is shown in the place of a label.
DISPLAYS: Mapping[str, str] = {
    "created_by": "created_by_name",
    "updated_by": "updated_by_name",
}
ORDER = ("created_at", "created_by", "updated_at", "updated_by")


def people_by_label(labels: Iterable[str]) -> dict[str, str]:
    """The names of the users whose label is the default one, their primary key, in one query.

    A label that names no user, such as that of an import, a service or a deleted account, is left
    out, and so is everyone while `ACTOR` makes labels of its own: they are names already.
    """
    if audit_settings().actor != DEFAULTS["ACTOR"]:
        return {}
    user_model = get_user_model()
    keys = []
    for label in set(labels):
        try:
            keys.append(user_model._meta.pk.to_python(label))
        except ValidationError:
            continue
    users = user_model._default_manager.filter(pk__in=keys) if keys else ()
    return {user_label(user): str(user) for user in users}


class ShownNames(dict[str, str]):
    """What each label on one page is shown as: all are asked for when the first one is shown."""

    def __init__(self, labels: Iterable[str]) -> None:
        super().__init__()
        self._not_asked = set(labels)

    def __missing__(self, label: str) -> str:
        labels = {label, *self._not_asked}
        self._not_asked = set()
        people = people_by_label(labels)
        self.update({label: people.get(label, label) for label in labels})
        return self[label]


def share_names(rows: Sequence[models.Model]) -> ShownNames:
    """Let `rows`, which are shown together, ask for their people together."""
    # What is deferred is left alone: not every column is shown.
    loaded = (row.__dict__.get(column) for row in rows for column in DISPLAYS)
    names = ShownNames(label for label in loaded if isinstance(label, str) and label)
    for row in rows:
        row.__dict__["_audit_shown_names"] = names
    return names


class NamesOfRows(FormSetBase):
    """For the formset of an inline, whose rows stand in one table."""

    @cached_property
    def forms(self) -> list[Any]:
        forms = super().forms
        share_names([form.instance for form in forms])
        return forms


class PersonOf:
    """A method of a `ModelAdmin` that names whom a column holds, titled as the column is."""

    def __init__(self, column: str) -> None:
        self.column = column

    def __get__(self, model_admin: AuditAdminMixin | None, owner: type) -> Any:
        if model_admin is None:
            return self
        column, model = self.column, model_admin.model
        title = column.replace("_", " ")
        if column in audit_names(model):
            field: Any = model._meta.get_field(column)
            title = field.verbose_name

        @admin.display(description=title, ordering=column)
        def person(obj: models.Model) -> str:
            return model_admin._person_of(obj, column)

        return person


class AuditAdminMixin(ModelAdminBase):
    """For a `ModelAdmin` of an audited model, or an inline.

        @admin.register(Invoice)
        class InvoiceAdmin(AuditAdminMixin, admin.ModelAdmin):
            list_display = ["number", "updated_by", "updated_at"]

    `created_by` and `updated_by` may stand wherever Django takes a field for display; the people's
    names of a whole list come in one query.
    """

    created_by_name = PersonOf("created_by")
    updated_by_name = PersonOf("updated_by")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A column's value goes past everything that a ModelAdmin can say, so its name has to be
        # exchanged. Done on the instance, which is what Django asks, this comes after every
        # override of a subclass, also those that do not call super(): fieldsets and readonly
        # fields always agree.
        self.__dict__["get_fieldsets"] = self._shown_fieldsets
        self.__dict__["get_readonly_fields"] = self._shown_readonly_fields

    def _person_of(self, obj: models.Model, column: str) -> str:
        label: str | None = getattr(obj, column, None) if obj.pk is not None else None
        if not label:
            return self.get_empty_value_display()
        names: ShownNames | None = obj.__dict__.get("_audit_shown_names")
        if names is None:
            names = share_names([obj])
        return names[label]

    def _shown(self, name: Any) -> Any:
        """What stands for a column; anything else, also a `created_by` of another kind, stays."""
        return DISPLAYS[name] if name in DISPLAYS and name in audit_names(self.model) else name

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        given = super().get_readonly_fields(request, obj)
        columns = audit_names(self.model)
        return [*given, *(name for name in ORDER if name in columns and name not in given)]

    def _shown_readonly_fields(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> list[Any]:
        """A column under both its names: under its own it is kept out of the form."""
        given = list(type(self).get_readonly_fields(self, request, obj))
        return [*given, *(self._shown(name) for name in given if self._shown(name) not in given)]

    def _shown_fieldsets(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> list[tuple[Any, dict[str, Any]]]:
        seen: set[str] = set()
        return [
            (title, {**options, "fields": list(self._shown_once(options["fields"], seen))})
            for title, options in type(self).get_fieldsets(self, request, obj)
        ]

    def _shown_once(self, names: Iterable[Any], seen: set[str]) -> Iterator[Any]:
        """`names`, a column that stands there under both its names once."""
        for name in names:
            if isinstance(name, (list, tuple)):
                if line := tuple(self._shown_once(name, seen)):
                    yield line
                continue
            shown = self._shown(name)
            if shown in DISPLAYS.values():
                if shown in seen:
                    continue
                seen.add(shown)
            yield shown

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        # Here and not in the getters, whose answers Django compares with one another.
        for option in ("list_display", "list_display_links", "sortable_by"):
            if names := getattr(changelist, option):
                setattr(changelist, option, [self._shown(name) for name in names])
        if not set(DISPLAYS.values()).isdisjoint(map(str, changelist.list_display)):
            share_names(list(changelist.result_list))
        return changelist

    def get_form(
        self,
        request: HttpRequest,
        obj: models.Model | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        return self._with_texts(super().get_form(request, obj, change=change, **kwargs))

    def _with_texts(self, form: Any) -> Any:
        """`form`, which Django made for one page, with the columns' texts on their other names."""
        for column, display in DISPLAYS.items():
            if column not in audit_names(self.model):
                continue
            labels, help_texts = form._meta.labels or {}, form._meta.help_texts or {}
            field: Any = self.model._meta.get_field(column)
            help_text = help_texts.get(column) or field.help_text
            if column in labels:
                form._meta.labels = {display: labels[column], **labels}
            if help_text:
                form._meta.help_texts = {display: help_text, **help_texts}
        return form

    def get_formset(
        self, request: HttpRequest, obj: models.Model | None = None, **kwargs: Any
    ) -> Any:
        # Only an inline has one.
        formset = super().get_formset(request, obj, **kwargs)  # type: ignore[misc]
        self._with_texts(formset.form)
        return type(formset.__name__, (NamesOfRows, formset), {})
