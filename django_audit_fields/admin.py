"""The four columns in Django's admin: read-only, and people by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models

from .actors import user_label
from .conf import DEFAULTS, audit_settings
from .stamping import audit_names

if TYPE_CHECKING:
    from django.contrib.admin.helpers import AdminForm, InlineAdminFormSet
    from django.contrib.admin.options import BaseModelAdmin
    from django.http import HttpRequest, HttpResponse
    from django.template import Context

    # What a ModelAdmin and an inline have between them; a call of what only one of them has is
    # ignored as [misc] below.
    AdminBase = BaseModelAdmin[Any]
else:
    AdminBase = object

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
            key = user_model._meta.pk.to_python(label)
        except ValidationError:
            continue
        # A larger integer is nobody's key, and SQLite refuses the whole query for it.
        if not isinstance(key, int) or key.bit_length() <= 63:
            keys.append(key)
    users = user_model._default_manager.filter(pk__in=keys) if keys else ()
    # Joined, a SafeString is text again: a list escapes it as it does a foreign key's.
    names = ((user_label(user), "".join(str(user))) for user in users)
    return {label: name for label, name in names if name}


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


class InlineTemplate(str):
    """The template of an inline with the mixin, which puts the people on the page.

    Nothing of an inline is called between the last of its getters and its template, and its parent
    need not have the mixin. `{% include %}` takes whatever has a `render()` for a template.
    """

    def render(self, context: Context) -> str:
        if page := context.get("inline_admin_formset"):
            page.opts._show_people(page, page.formset.form)
            share_names([form.instance for form in page.formset.forms])
        engine = context.template.engine  # type: ignore[union-attr]  # one is being rendered
        return engine.get_template(str(self)).render(context)


class PersonOf:
    """A method of a `ModelAdmin` that names whom a column holds, titled as the column is."""

    def __init__(self, column: str) -> None:
        self.column = column

    def __get__(self, model_admin: AuditAdminMixin | None, owner: type) -> Any:
        if model_admin is None:
            return self
        column = self.column
        model: type[models.Model] = model_admin.model
        title = column.replace("_", " ")
        if column in audit_names(model):
            field: Any = model._meta.get_field(column)
            title = field.verbose_name

        @admin.display(description=title, ordering=column)
        def person(obj: models.Model) -> str:
            return model_admin._person_of(obj, column)

        return person


class AuditAdminMixin(AdminBase):
    """For a `ModelAdmin` of an audited model, or an inline.

        @admin.register(Invoice)
        class InvoiceAdmin(AuditAdminMixin, admin.ModelAdmin):
            list_display = ["number", "updated_by", "updated_at"]

    `created_by` and `updated_by` may stand wherever Django takes a field for display; the people's
    names of a whole list come in one query. Every getter answers with the columns, which a subclass
    can move and hide as any other; their names take their places when the page is rendered.
    """

    created_by_name = PersonOf("created_by")
    updated_by_name = PersonOf("updated_by")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(template := getattr(self, "template", None), str):
            self.__dict__["template"] = InlineTemplate(template)

    def _person_of(self, obj: models.Model, column: str) -> str:
        label: str | None = getattr(obj, column, None) if obj.pk is not None else None
        if not label:
            return self.get_empty_value_display()
        if column in audit_names(type(obj)):
            field: Any = obj._meta.get_field(column)
            texts = dict(field.flatchoices)
            if label in texts:
                return str(texts[label])
        names: ShownNames | None = obj.__dict__.get("_audit_shown_names")
        if names is None:
            names = share_names([obj])
        return names[label]

    def _columns(self) -> frozenset[str]:
        model: type[models.Model] = self.model
        return audit_names(model)

    def _displays(self) -> dict[str, str]:
        """What stands for each column, unless a field of the project's own has that name."""
        columns, fields = self._columns(), {field.name for field in self.model._meta.get_fields()}
        return {
            column: name
            for column, name in DISPLAYS.items()
            if column in columns and name not in fields
        }

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        given = super().get_readonly_fields(request, obj)
        columns = self._columns()
        return [*given, *(name for name in ORDER if name in columns and name not in given)]

    def _inputs(self, names: Any) -> Any:
        """`names` without the people's, which are no input also where nobody calls them so."""
        if not isinstance(names, (list, tuple)):
            return names
        people = list(self._displays().values())
        return [name for name in names if name not in people]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if "fields" in kwargs:
            kwargs["fields"] = self._inputs(kwargs["fields"])
        return super().get_form(request, obj, change=change, **kwargs)  # type: ignore[misc]

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        if "fields" not in kwargs:
            kwargs["fields"] = flatten_fieldsets(self.get_fieldsets(request, obj))
        kwargs["fields"] = self._inputs(kwargs["fields"])
        return super().get_formset(request, obj, **kwargs)  # type: ignore[misc]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response: HttpResponse = super().render_change_form(  # type: ignore[misc]
            request, context, *args, **kwargs
        )
        # Not rendered yet: every other override has seen the columns.
        if page := (getattr(response, "context_data", None) or {}).get("adminform"):
            self._show_people(page, page.form)
        return response

    def render_history_view(
        self, request: HttpRequest, template: str, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """What django-simple-history calls, for the form of a former version too."""
        if page := context.get("adminform"):
            self._show_people(page, page.form)
        response: HttpResponse = super().render_history_view(  # type: ignore[misc]
            request, template, context, **kwargs
        )
        return response

    def _show_people(self, page: AdminForm | InlineAdminFormSet, form: Any) -> None:
        """Let names stand for the columns of `page`, under the columns' own titles and help."""
        displays = self._displays()
        # What a project's own form has as an input stays one.
        shown = {name: displays[name] for name in displays if name in page.readonly_fields}
        names = set(displays.values())
        seen: set[str] = set()

        def exchange(fields: Iterable[Any]) -> Iterator[Any]:
            for field in fields:
                if isinstance(field, (list, tuple)):
                    if line := tuple(exchange(field)):
                        yield line
                elif not isinstance(field, str):
                    yield field
                # A column that stands there under both its names is shown once.
                elif (name := shown.get(field, field)) not in seen:
                    seen.update({name} & names)
                    yield name

        page.fieldsets = [
            (title, {**options, "fields": list(exchange(options["fields"]))})
            for title, options in page.fieldsets
        ]
        page.readonly_fields = [*page.readonly_fields, *displays.values()]
        texts = form._meta
        for column, name in shown.items():
            labels, help_texts = texts.labels or {}, texts.help_texts or {}
            field: Any = self.model._meta.get_field(column)
            if column in labels:
                texts.labels = {name: labels[column], **labels}
            if help_text := help_texts.get(column) or field.help_text:
                texts.help_texts = {name: help_text, **help_texts}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        # A redirect has no context, the question whether to delete no list.
        if changelist := (getattr(response, "context_data", None) or {}).get("cl"):
            self._show_people_in_list(changelist)
        return response

    def _show_people_in_list(self, changelist: Any) -> None:
        displays = self._displays()
        for option in ("list_display", "list_display_links", "sortable_by"):
            if names := getattr(changelist, option):
                shown = [
                    displays.get(name, name) if isinstance(name, str) else name for name in names
                ]
                setattr(changelist, option, shown)
        if not set(DISPLAYS.values()).isdisjoint(map(str, changelist.list_display)):
            share_names(list(changelist.result_list))
