"""What a project's admin derives from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from ..filters import named
from ..stamping import audit_names
from .columns import ORDER, PeopleInList, label_columns, show_people
from .history import HistoryPages
from .reasons import ReasonPages

if TYPE_CHECKING:
    from django.contrib.admin.options import BaseModelAdmin
    from django.http import HttpRequest, HttpResponse

    # What a ModelAdmin and an inline have between them; a call of what only one of them has is
    # ignored as [misc] below.
    AdminBase = BaseModelAdmin[Any]
else:
    AdminBase = object


class AuditAdminMixin(ReasonPages, HistoryPages, AdminBase):
    """For a `ModelAdmin` of an audited model, or an inline::

        @admin.register(Invoice)
        class InvoiceAdmin(AuditAdminMixin, admin.ModelAdmin):
            list_display = ["number", "updated_by", "updated_at"]
            list_filter = ["updated_by"]
            search_fields = ["number", "updated_by"]

    The columns may stand wherever Django takes a field for display, and show people by name; the
    names of a whole list come in one query. An inline needs the mixin on its parent as well, which
    need not be audited.

    Of a model with a trail, the History page is the timeline of the row, from which a change can be
    taken back. Where a change needs a reason, forms, deletion and actions ask for one.
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
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def render_history_view(
        self, request: HttpRequest, template: str, context: dict[str, Any], **kwargs: Any
    ) -> Any:
        """What django-simple-history calls, for the form of a former version."""
        self._show_people(context)
        return super().render_history_view(request, template, context, **kwargs)  # type: ignore[misc]

    def _show_people(self, context: dict[str, Any]) -> None:
        if page := context.get("adminform"):
            show_people(page, self, lambda: [page.form.instance])

    def get_inline_formsets(self, *args: Any, **kwargs: Any) -> Any:
        pages = super().get_inline_formsets(*args, **kwargs)
        for page in pages:
            if isinstance(page.opts, AuditAdminMixin):
                show_people(page, page.opts, page.formset.get_queryset)
        return pages

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        changelist = super().get_changelist(request, **kwargs)
        return type(changelist.__name__, (PeopleInList, changelist), {})

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Where `search_fields` names one of the two columns, the name of a person is found."""
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        searched = set(self.get_search_fields(request))
        if search_term.strip():
            for column in label_columns(self.model):
                if column in searched:
                    found = found | queryset.filter(named(column, search_term.strip()))
        return found, may_have_duplicates
