"""A row's History page: its timeline, each version of it, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, models
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from ..trail import Entry, RevertError, is_recorded, timeline, trail_of, version_of
from .reasons import ReasonForm
from .sight import fields_shown, is_restricted, is_superuser

if TYPE_CHECKING:
    from django.contrib.admin.options import ModelAdmin
    from django.http import HttpRequest, HttpResponse

    PageBase = ModelAdmin[Any]
else:
    PageBase = object

PER_PAGE: Final = 50
#: What else somebody needs who takes a change back: the permission to do what that does.
COUNTERPARTS: Final = {"insert": "delete", "update": "change", "delete": "add"}


class HistoryPages(PageBase):
    """Of a model with a trail; others keep Django's page."""

    def get_urls(self) -> list[Any]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        # simple-history has its versions at `history/5/`.
        event = "<path:object_id>/history/event/<int:event_id>/"
        return [
            path(event, view(self.version_view), name=f"{name}_version"),
            path(f"{event}revert/", view(self.revert_view), name=f"{name}_revert"),
            *super().get_urls(),
        ]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # What the admin's own log has stays within reach: it is older than the trail, perhaps.
        if not is_recorded(self.model) or "log" in request.GET:
            return super().history_view(request, object_id, extra_context)
        row = self.recorded_row(request, object_id)
        if row is None:
            return super().history_view(request, object_id, extra_context)  # which says so
        paginator = self.get_paginator(request, trail_of(row), PER_PAGE)
        page = paginator.get_page(request.GET.get(PAGE_VAR, 1))
        shown = fields_shown(self, request, row)
        entries = timeline(page.object_list, lambda event: shown)
        newest = newest_of_each_table(entries) if page.number == 1 else set()
        lines = [
            {
                "entry": entry,
                "version_url": self.event_url("version", object_id, entry.event),
                "revert_url": self.event_url("revert", object_id, entry.event)
                if entry.event.pk in newest and self.may_revert(request, entry.event, row)
                else None,
            }
            for entry in entries
        ]
        return self.page_of_row(
            request,
            "admin/audit_fields/history.html",
            row,
            {
                "title": _("Change history: %s") % named(row),
                "lines": lines,
                "page": page,
                "page_range": paginator.get_elided_page_range(page.number),
                "page_var": PAGE_VAR,
                "is_mixed": len({entry.event.table_name for entry in entries}) > 1,
                **(extra_context or {}),
            },
        )

    def version_view(self, request: HttpRequest, object_id: str, event_id: int) -> HttpResponse:
        """The row as it was after an event; before it, where that deleted it."""
        row, entry = self.recorded_event(request, object_id, event_id)
        shown = fields_shown(self, request, row)
        changed = {change.field for change in entry.changes if entry.event.action == "update"}
        events = trail_of(row)
        older = events.filter(pk__lt=event_id).first()
        newer = events.filter(pk__gt=event_id).last()
        return self.page_of_row(
            request,
            "admin/audit_fields/version.html",
            row,
            {
                "title": _("As it was: %s") % named(row),
                "entry": entry,
                "fields": [
                    {"told": told, "is_changed": told.field in changed}
                    for told in version_of(entry.event)
                    if told.field in shown
                ],
                "older_url": older and self.event_url("version", object_id, older),
                "newer_url": newer and self.event_url("version", object_id, newer),
            },
        )

    def revert_view(self, request: HttpRequest, object_id: str, event_id: int) -> HttpResponse:
        """Asks for a reason, and writes the row back as it was before its newest event."""
        row, entry = self.recorded_event(request, object_id, event_id)
        if not self.may_revert(request, entry.event, row):
            raise PermissionDenied
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                entry.event.revert(reason=form.reason)
            except (RevertError, IntegrityError, DataError) as error:
                told = str(error).partition("\n")[0]
                self.message_user(request, _("Not reverted. %s") % told, messages.ERROR)
            else:
                self.message_user(request, _("The change was reverted."), messages.SUCCESS)
            return HttpResponseRedirect(self.row_url("history", object_id))
        return self.page_of_row(
            request,
            "admin/audit_fields/revert.html",
            row,
            {"title": _("Revert a change: %s") % named(row), "entry": entry, "form": form},
        )

    def recorded_row(self, request: HttpRequest, object_id: str) -> Any:
        """Today's row; of one that was deleted, an instance with its key. None for no row.

        Raises PermissionDenied where the admin would not show it.
        """
        row: Any = self.get_object(request, object_id := unquote(object_id))
        if row is None:
            row = self.deleted_row(request, object_id)
        if row is not None and not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        return row

    def deleted_row(self, request: HttpRequest, object_id: str) -> Any:
        rows = self.get_queryset(request)
        # Whether a row that is gone would be among some of the rows, nobody can tell.
        if is_restricted(rows) and not is_superuser(request):
            return None
        model: type[models.Model] = self.model
        try:
            row = model(pk=model._meta.pk.to_python(object_id))
        except (ValidationError, ValueError):
            return None
        row._state.db = rows.db
        is_there = model._base_manager.using(rows.db).filter(pk=row.pk).exists()
        newest = None if is_there else trail_of(row).first()
        return newest and (self.last_known(newest) or row)

    def last_known(self, event: Any) -> Any:
        """So that it is called by its name."""
        row = event.instance()
        return row if isinstance(row, self.model) else None

    def recorded_event(
        self, request: HttpRequest, object_id: str, event_id: int
    ) -> tuple[Any, Entry]:
        row = self.recorded_row(request, object_id) if is_recorded(self.model) else None
        found = row and trail_of(row).filter(pk=event_id).first()
        if not found:
            raise Http404(_("No such event of this row."))
        shown = fields_shown(self, request, row)
        (entry,) = timeline([found], lambda event: shown)
        return row, entry

    def may_revert(self, request: HttpRequest, event: Any, row: Any) -> bool:
        counterpart = COUNTERPARTS.get(event.action)
        if counterpart is None or not request.user.has_perm(
            "django_audit_fields.revert_auditevent"
        ):
            return False
        if counterpart == "add":
            return bool(self.has_add_permission(request))
        return bool(getattr(self, f"has_{counterpart}_permission")(request, row))

    def row_url(self, page: str, *arguments: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=arguments, current_app=self.admin_site.name)

    def event_url(self, page: str, object_id: str, event: Any) -> str:
        return self.row_url(page, object_id, event.pk)

    def page_of_row(
        self, request: HttpRequest, template: str, row: Any, context: dict[str, Any]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "module_name": str(capfirst(self.opts.verbose_name_plural)),
                "object": named(row),
                "opts": self.opts,
                "subtitle": None,
                "preserved_filters": self.get_preserved_filters(request),
                **context,
            },
        )


@dataclass(frozen=True, slots=True)
class Named:
    """Stands for a row that has no name, in the admin's templates."""

    pk: Any
    name: str

    def __str__(self) -> str:
        return self.name


def named(row: Any) -> Any:
    """The row, or a stand-in: one that was deleted may call itself by what is gone, too."""
    try:
        str(row)
    except Exception:  # whatever a `__str__` raises
        return Named(row.pk, f"{capfirst(row._meta.verbose_name)} {row.pk}")
    return row


def newest_of_each_table(entries: list[Entry]) -> set[int]:
    """Only what is newest can be taken back."""
    newest: dict[tuple[str, str], int] = {}
    for entry in entries:
        newest.setdefault((entry.event.table_schema, entry.event.table_name), entry.event.pk)
    return set(newest.values())
