"""The list of all events: who did what, when and why. Read-only, and no wider than `Sight`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import connections, models
from django.http import HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext_lazy

from ..filters import PersonFilter
from ..models import AuditEvent
from ..trail import ACTIONS, DEEDS, Entry, has_trail, in_table, timeline
from .export import csv_lines
from .sight import Sight

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    EventAdminBase = admin.ModelAdmin[AuditEvent]
else:
    EventAdminBase = admin.ModelAdmin

#: What an address may filter by.
FILTERED: Final = frozenset({"actor", "recorded_at", "table", "action"})
#: Among how many of the newest events the people of the filter are looked for.
RECENT: Final = 10_000


class RecentPeople(PersonFilter):
    """The people of the newest events, and a search among all users."""

    def find_labels(self, request: HttpRequest, model_admin: Any) -> list[str]:
        newest = model_admin.get_queryset(request).order_by("-id").values("id")[:RECENT]
        events = AuditEvent.objects.using(model_admin.using()).filter(id__in=newest)
        return list(events.order_by().values_list("actor", flat=True).distinct())


class TableFilter(admin.SimpleListFilter):
    title = gettext_lazy("table")
    parameter_name = "table"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.models = list(model_admin.sight(request).models_seen())
        found = [
            (model._meta.label_lower, capfirst(model._meta.verbose_name_plural))
            for model in self.models
        ]
        return sorted(found, key=lambda choice: choice[1].casefold())

    def queryset(self, request: HttpRequest, events: Any) -> Any:
        for model in self.models if self.value() else ():
            if model._meta.label_lower == self.value():
                return events.filter(in_table(model, connections[events.db]))
        return events


class ActionFilter(admin.SimpleListFilter):
    title = gettext_lazy("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(action, str(DEEDS[action])) for action in ACTIONS]

    def queryset(self, request: HttpRequest, events: Any) -> Any:
        return events.actions(self.value()) if self.value() in ACTIONS else events


@admin.register(AuditEvent)
class AuditEventAdmin(EventAdminBase):
    """Searched by the key of a row or by a request's id, both as they are."""

    list_display = ("time", "who", "what", "row", "why")
    list_filter = (("actor", RecentPeople), TableFilter, ActionFilter)
    search_fields = ("row_key", "context__request_id")
    search_help_text = gettext_lazy("The key of a row, or the ID of a request")
    date_hierarchy = "recorded_at"
    ordering = ("-id",)
    list_per_page = 50
    show_full_result_count = False
    actions = None
    change_list_template = "admin/audit_fields/event_list.html"

    @admin.display(description=gettext_lazy("time"), ordering="id")
    def time(self, event: AuditEvent) -> str:
        # To the second and with its zone, which an auditor needs and the admin's format leaves out.
        at = event.recorded_at
        return date_format(localtime(at) if is_aware(at) else at, "Y-m-d H:i:s T")

    @admin.display(description=gettext_lazy("person"))
    def who(self, event: AuditEvent) -> str:
        return event.person

    @admin.display(description=gettext_lazy("action"))
    def what(self, event: AuditEvent) -> str:
        return Entry(event, []).deed

    @admin.display(description=gettext_lazy("row"))
    def row(self, event: AuditEvent) -> str:
        return Entry(event, []).row

    @admin.display(description=gettext_lazy("reason"), empty_value="")
    def why(self, event: AuditEvent) -> str | None:
        return event.reason

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.export_view)
        name = "django_audit_fields_auditevent_export"
        return [path("export/", view, name=name), *super().get_urls()]

    def using(self) -> str:
        return AuditEvent.objects.db

    def sight(self, request: HttpRequest) -> Sight:
        return Sight(self.admin_site, request)

    def get_queryset(self, request: HttpRequest) -> Any:
        return self.sight(request).events(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        # Whole and as it is: so an index finds it.
        if term := search_term.strip():
            queryset = queryset.filter(models.Q(row_key=term) | models.Q(context__request_id=term))
        return queryset, False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # Not the images: by `?after__ssn__startswith=1` hidden and masked values could be guessed.
        return lookup.partition("__")[0] in FILTERED

    def has_module_permission(self, request: HttpRequest) -> bool:
        # Where nothing is recorded there is nothing to list.
        return has_trail(self.using()) and super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One event, with each field before and after. Not Django's form, which has the images."""
        event: Any = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        if event is None:
            return super().change_view(request, object_id)  # which says so
        (entry,) = timeline([event], self.sight(request).fields)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": str(event),
            "subtitle": None,
            "opts": self.opts,
            "module_name": capfirst(self.opts.verbose_name_plural),
            "object": event,
            "entry": entry,
            "row_url": self.row_url(event),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/audit_fields/event.html", context)

    def row_url(self, event: Any) -> str | None:
        """The History page of its row, where the admin has one."""
        model = event.model
        if model is None or event.row_key is None or not self.admin_site.is_registered(model):
            return None
        options = model._meta
        name = f"admin:{options.app_label}_{options.model_name}_history"
        try:
            return reverse(name, args=[event.row_key], current_app=self.admin_site.name)
        except NoReverseMatch:
            return None

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the list is filtered to, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            events: Any = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect("..")
        fields = self.sight(request).fields

        def entries() -> Iterator[Entry]:
            for event in events.iterator(2000):
                yield from timeline([event], fields)

        response = StreamingHttpResponse(csv_lines(entries()), content_type="text/csv")
        response["Content-Disposition"] = 'attachment; filename="audit-events.csv"'
        return response
