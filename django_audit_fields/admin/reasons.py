"""Where a change needs a reason, the admin asks for one: in forms, on deletion, for actions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.db import models
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..actors import audit_context
from ..trail import needs_reason

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    PageBase = ModelAdmin[Any]
else:
    PageBase = object

#: The name of the field: that of no column.
REASON: Final = "audit_reason"
#: Of an action that is chosen in a form, which Django 6.1 has, and of the buttons that save it.
FORM_ACTION: Final = "CHANGE_FORM-action"
DELETION: Final = "delete_selected"
SAVING: Final = frozenset({"_save", "_continue", "_addanother", "_saveasnew"})


def reason_field() -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("Reason for change"),
        max_length=1000,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


class ReasonForm(forms.Form):
    audit_reason = reason_field()

    @property
    def reason(self) -> str:
        given: str = self.cleaned_data[REASON]
        return given


#: With the row goes what names it; Django 6.1 leaves that to the database on request.
CASCADES: Final = {models.CASCADE, getattr(models, "DB_CASCADE", None)}
UNTOUCHED: Final = {models.DO_NOTHING, models.PROTECT, models.RESTRICT}


def changed_by_deletion(model: type[models.Model]) -> set[Any]:
    """The models whose rows go, or lose a value, with a deleted row of the model."""
    deleted: set[Any] = set()
    emptied: set[Any] = set()
    ahead: list[Any] = [model]
    while ahead:
        options = ahead.pop()._meta
        if options.concrete_model in deleted:
            continue
        deleted.add(options.concrete_model)
        ahead += options.get_parent_list()
        for field in options.get_fields(include_hidden=True):
            if not (field.one_to_many or field.one_to_one) or field.concrete:
                continue
            # A generic relation takes its rows along.
            on_delete = getattr(field, "on_delete", None) or models.CASCADE
            if on_delete in CASCADES:
                ahead.append(field.related_model)
            elif on_delete not in UNTOUCHED:
                emptied.add(field.related_model)
    return deleted | emptied


class ReasonPages(PageBase):
    """Of a model whose trail has `reason=True`, or with an inline of one."""

    def asks_for_reason(self, inlines: Any, *, deletes: bool = False) -> bool:
        models = {self.model, *(inline.model for inline in inlines)}
        if deletes:
            models |= changed_by_deletion(self.model)
        return any(map(needs_reason, models))

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        asks = self.may_save(request, obj, change) and self.asks_for_reason(
            self.get_inlines(request, obj)
        )
        if fields := kwargs.get("fields"):
            # Django makes the form of the model's fields, and refuses any other name.
            kwargs["fields"] = [name for name in fields if name != REASON]
        form = super().get_form(request, obj, change=change, **kwargs)
        if asks:
            # The class was made for this page alone.
            form.base_fields[REASON] = reason_field()
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Django asks the form, which has it already.
        return [name for name in super().get_fields(request, obj) if name != REASON]

    def may_save(self, request: HttpRequest, obj: Any, change: bool) -> bool:
        if change or obj is not None:
            return bool(self.has_change_permission(request, obj))
        return bool(self.has_add_permission(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # Here, so that it is shown whatever `get_fieldsets()` a project has.
        page = context["adminform"]
        if REASON in page.form.fields and REASON not in flatten_fieldsets(page.fieldsets):
            page.fieldsets = [*page.fieldsets, (None, {"fields": [REASON]})]
        return super().render_change_form(request, context, *args, **kwargs)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        # It is no field of the row.
        form.changed_data = [name for name in form.changed_data if name != REASON]
        return super().construct_change_message(request, form, formsets, add)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method == "POST" and self.lacks_field(request, object_id):
            return self.ask_for_reason(request)
        with self.given_reason(request):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def lacks_field(self, request: HttpRequest, object_id: str | None) -> bool:
        """Whether there was no place for a reason: an action, or a form of the project's own."""
        is_own = type(self).get_inlines is not ModelAdmin.get_inlines
        if not is_own and not self.asks_for_reason(self.inlines):
            return False  # before the row is read, for nothing
        row = self.get_object(request, unquote(object_id)) if object_id else None
        is_change = row is not None
        if not (
            self.asks_for_reason(self.get_inlines(request, row))
            and self.may_save(request, row, is_change)
        ):
            return False
        name = request.POST.get(FORM_ACTION)
        if name and SAVING.isdisjoint(request.POST):
            return self.lacks_reason(request) and not self.only_looks(request, name)
        form = self.get_form(request, row, change=is_change)
        return REASON not in request.POST and REASON not in form.base_fields

    def given_reason(self, request: HttpRequest) -> AbstractContextManager[Any]:
        """What the page was sent, for all that is saved with it."""
        form = ReasonForm(request.POST)
        if request.method == "POST" and form.is_valid():
            return audit_context(reason=form.reason)
        return nullcontext()

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if (
            request.method == "POST"
            and self.lacks_reason(request)
            and self.asks_for_reason(self.inlines, deletes=True)
        ):
            return self.ask_for_reason(request)
        with self.given_reason(request):
            return super().delete_view(request, object_id, extra_context)

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> Any:
        response = super().render_delete_form(request, context)
        self.add_field(response, "admin/audit_fields/delete_confirmation.html")
        return response

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if (
            self.writes(request)
            and self.lacks_reason(request)
            and self.asks_for_reason(self.inlines, deletes=self.action_of(request) == DELETION)
        ):
            return self.ask_for_reason(request)
        with self.given_reason(request):
            response = super().changelist_view(request, extra_context)
        if "deletable_objects" in (getattr(response, "context_data", None) or {}):
            self.add_field(response, "admin/audit_fields/delete_selected_confirmation.html")
        return response

    def writes(self, request: HttpRequest) -> bool:
        """Whether what the list was sent changes rows, as far as one can tell beforehand."""
        if request.method != "POST":
            return False
        if "_save" in request.POST:
            return True
        name = self.action_of(request)
        if not name or ACTION_CHECKBOX_NAME not in request.POST:
            return False
        if name == DELETION and "post" not in request.POST:
            return False  # it asks on its own page
        return not self.only_looks(request, name)

    def action_of(self, request: HttpRequest) -> str | None:
        """The one that was chosen above or below the list."""
        names = request.POST.getlist("action")
        place = request.POST.get("index", "0")
        return names[int(place)] if place.isdecimal() and int(place) < len(names) else None

    def only_looks(self, request: HttpRequest, name: str) -> bool:
        """Whether an action is one of `@admin.action(permissions=["view"])`."""
        action: Any = self.get_actions(request).get(name)
        if action is None:
            return False
        # Django 6.1 has an object for what was a tuple.
        function = getattr(action, "func", None) or action[0]
        return getattr(function, "allowed_permissions", None) == ["view"]

    def lacks_reason(self, request: HttpRequest) -> bool:
        return not ReasonForm(request.POST).is_valid()

    def ask_for_reason(self, request: HttpRequest) -> HttpResponse:
        """A page between, which sends what was sent once more, with the reason."""
        form = ReasonForm(request.POST if REASON in request.POST else None)
        sent = [
            (name, value)
            for name, values in request.POST.lists()
            for value in values
            if name not in ("csrfmiddlewaretoken", REASON)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Reason for change"),
            "opts": self.opts,
            "module_name": self.opts.verbose_name_plural,
            "form": form,
            "sent": sent,
            # A browser sends a file that was chosen, and no page can choose it.
            "files": list(request.FILES),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/audit_fields/reason.html", context)

    def add_field(self, response: Any, template: str) -> None:
        """To a page that asks whether to delete; after a project's own, the page between asks."""
        names = response.template_name
        asks = self.asks_for_reason(self.inlines, deletes=True)
        if asks and isinstance(names, (list, tuple)):
            response.template_name = [*names[:-1], template, names[-1]]
            response.context_data["reason_form"] = ReasonForm()
