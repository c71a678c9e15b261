"""Where a change needs a reason, the admin asks for one: in forms, on deletion, for actions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
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


class ReasonPages(PageBase):
    """Of a model whose trail has `reason=True`, or with an inline of one."""

    def asks_for_reason(self) -> bool:
        own: list[Any] = [self, *getattr(self, "inlines", ())]
        return any(needs_reason(each.model) for each in own)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        asks = self.asks_for_reason() and self.may_save(request, obj, change)
        if asks:
            fields = kwargs.get("fields", [])
            if "fields" not in kwargs:
                fields = flatten_fieldsets(self.get_fieldsets(request, obj))
            # Django makes the form of the model's fields, and refuses any other name.
            kwargs["fields"] = fields and [name for name in fields if name != REASON]
        form = super().get_form(request, obj, change=change, **kwargs)
        if asks:
            # The class was made for this page alone.
            form.base_fields[REASON] = reason_field()
        return form

    def may_save(self, request: HttpRequest, obj: Any, change: bool) -> bool:
        if change or obj is not None:
            return bool(self.has_change_permission(request, obj))
        return bool(self.has_add_permission(request))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        given = super().get_fieldsets(request, obj)
        if not (self.is_page() and self.asks_for_reason()):
            return given
        groups = [
            (title, {**group, "fields": [name for name in group["fields"] if name != REASON]})
            for title, group in given
        ]
        if self.may_save(request, obj, change=obj is not None):
            groups.append((None, {"fields": [REASON]}))
        return groups

    def is_page(self) -> bool:
        """An inline is part of its parent's page, which asks."""
        return isinstance(self, ModelAdmin)

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
        name = request.POST.get(FORM_ACTION)
        acts = name and SAVING.isdisjoint(request.POST) and not self.only_looks(request, name)
        if acts and self.lacks_reason(request):
            return self.ask_for_reason(request)
        with self.given_reason(request):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def given_reason(self, request: HttpRequest) -> AbstractContextManager[Any]:
        """What the page was sent, for all that is saved with it."""
        form = ReasonForm(request.POST)
        if request.method == "POST" and self.asks_for_reason() and form.is_valid():
            return audit_context(reason=form.reason)
        return nullcontext()

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST" and self.lacks_reason(request):
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
        if self.writes(request) and self.lacks_reason(request):
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
        names = request.POST.getlist("action")
        place = request.POST.get("index", "0")
        name = names[int(place)] if place.isdigit() and int(place) < len(names) else None
        if not name or ACTION_CHECKBOX_NAME not in request.POST:
            return False
        if name == "delete_selected" and "post" not in request.POST:
            return False  # it asks on its own page
        return not self.only_looks(request, name)

    def only_looks(self, request: HttpRequest, name: str) -> bool:
        """Whether an action is one of `@admin.action(permissions=["view"])`."""
        action: Any = self.get_actions(request).get(name)
        if action is None:
            return False
        # Django 6.1 has an object for what was a tuple.
        function = getattr(action, "func", None) or action[0]
        return getattr(function, "allowed_permissions", None) == ["view"]

    def lacks_reason(self, request: HttpRequest) -> bool:
        return self.asks_for_reason() and not ReasonForm(request.POST).is_valid()

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
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/audit_fields/reason.html", context)

    def add_field(self, response: Any, template: str) -> None:
        """To a page that asks whether to delete; after a project's own, the page between asks."""
        names = response.template_name
        if self.asks_for_reason() and isinstance(names, (list, tuple)):
            response.template_name = [*names[:-1], template, names[-1]]
            response.context_data["reason_form"] = ReasonForm()
