"""Who did what: the trail of all tables, filtered, page by page or as a CSV file."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.views.generic import ListView

from django_audit_fields.models import AuditEvent
from django_audit_fields.trail import timeline

from .forms import people_choices
from .models import ARSubledger, LegacyCharge, Tariff

TABLES: dict[str, type[Model]] = {
    model._meta.db_table: model for model in (ARSubledger, Tariff, LegacyCharge)
}
ACTIONS = {"insert": "Created", "update": "Changed", "delete": "Deleted"}
DAY = {"widget": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}


class ReportFilter(forms.Form):
    person = forms.ChoiceField(required=False)
    since = forms.DateField(label="From", **DAY)
    until = forms.DateField(label="To", **DAY)
    table = forms.ChoiceField(
        required=False,
        choices=[
            ("", "All tables"),
            *((name, capfirst(model._meta.verbose_name_plural)) for name, model in TABLES.items()),
        ],
    )
    action = forms.ChoiceField(required=False, choices=[("", "Any action"), *ACTIONS.items()])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = AuditEvent.objects.order_by().values_list("actor", flat=True).distinct()
        self.fields["person"].choices = people_choices(labels, "Anybody")

    def clean(self) -> None:
        days = [self.cleaned_data.get(name) for name in ("since", "until")]
        if all(days) and days[0] > days[1]:
            raise ValidationError("The last day is before the first.")

    def events(self) -> Any:
        """The events that are asked for, newest first; both days are included."""
        given = self.cleaned_data
        events = AuditEvent.objects.filter(table_name__in=TABLES).between(
            timezone.make_aware(datetime.datetime.combine(given["since"], datetime.time.min)),
            timezone.make_aware(datetime.datetime.combine(given["until"], datetime.time.max)),
        )
        if given["person"]:
            events = events.by(given["person"])
        if given["table"]:
            events = events.of(TABLES[given["table"]])
        if given["action"]:
            events = events.actions(given["action"])
        return events.order_by("-id")


class ReportView(PermissionRequiredMixin, ListView):
    permission_required = "django_audit_fields.view_auditevent"
    template_name = "invoices/report.html"
    context_object_name = "events"
    paginate_by = 50

    def get_queryset(self) -> Any:
        self.filter = ReportFilter(self.asked())
        return self.filter.events() if self.filter.is_valid() else AuditEvent.objects.none()

    def asked(self) -> dict[str, Any]:
        """The last week, unless other days are asked for."""
        today = timezone.localdate()
        week = {"since": today - datetime.timedelta(days=6), "until": today}
        return week | self.request.GET.dict()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        query = self.request.GET.copy()
        query.pop("page", None)
        entries = timeline(context["events"])
        addresses = addresses_of([entry.event for entry in entries])
        return context | {
            "filter": self.filter,
            "query": query.urlencode(),
            "rows": list(zip(entries, addresses, strict=True)),
        }


def addresses_of(events: list[Any]) -> list[str]:
    """The page of each event's row, empty where there is none: one query for each table."""
    alive: set[tuple[str, str]] = set()
    pages = {table: model for table, model in TABLES.items() if hasattr(model, "get_absolute_url")}
    for table, model in pages.items():
        keys = {event.row_key for event in events if event.table_name == table and event.row_key}
        found = model._default_manager.filter(pk__in=keys).values_list("pk", flat=True)
        alive |= {(table, str(key)) for key in found}
    return [
        pages[event.table_name](pk=event.row_key).get_absolute_url()
        if (event.table_name, event.row_key) in alive
        else ""
        for event in events
    ]


class ReportFileView(ReportView):
    """The same as a CSV file: all pages of it, sent while they are read."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        events = self.get_queryset()
        if not self.filter.is_valid():
            # The page says what is wrong.
            return HttpResponseRedirect(f"{reverse('report')}?{request.GET.urlencode()}")
        days = [self.filter.cleaned_data[name].isoformat() for name in ("since", "until")]
        return StreamingHttpResponse(
            csv_lines(events),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{"-to-".join(days)}.csv"'},
        )


HEAD = [
    "when",
    "person",
    "label",
    "action",
    "row",
    "reason",
    "on behalf of",
    "by way of",
    "changes",
]


class Line:
    """What csv takes for a file, and only hands the line on."""

    def write(self, text: str) -> str:
        return text


def csv_lines(events: Any) -> Iterator[str]:
    writer = csv.writer(Line())
    yield writer.writerow(HEAD)
    for event in events.iterator(chunk_size=500):
        [entry] = timeline([event])
        yield writer.writerow(
            plain(value or "")
            for value in (
                timezone.localtime(event.recorded_at).isoformat(" ", "milliseconds"),
                entry.person,
                event.actor,
                entry.deed,
                entry.row,
                event.reason,
                event.on_behalf_of,
                entry.origin,
                "; ".join(map(change_text, entry.changes)),
            )
        )


def change_text(change: Any) -> str:
    return f"{change.verbose_name}: {change.before_display} → {change.after_display}"


def plain(text: str) -> str:
    """A spreadsheet would take a cell that begins like this for a formula, and run it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
