"""List, create and edit. None of it knows that rows are stamped, only how a stamp is shown."""

from __future__ import annotations

import contextlib
import dataclasses
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_permission_codename
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.db.models import Model, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.http import urlencode
from django.views.generic import CreateView, ListView, UpdateView, View

from django_audit_fields import audit_context
from django_audit_fields.people import prefetch
from django_audit_fields.trail import RevertError, trail_of

from .forms import ChargeChangeForm, EntryChangeForm, EntryForm, LedgerFilter, RevertForm
from .models import ARSubledger, LegacyCharge
from .places import BackToList


def permission(action: str, model: type[Model]) -> str:
    return f"{model._meta.app_label}.{get_permission_codename(action, model._meta)}"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the ledger, and what a click on its head sorts by."""

    title: str
    sort: str = ""
    order: tuple[str, ...] = ()
    css: str = ""


COLUMNS = [
    Column("No.", css="number"),
    Column("Date", "date", ("entry_date",)),
    Column("Account"),
    Column("Description"),
    Column("Debit", css="number"),
    Column("Credit", css="number"),
    Column("Status"),
    Column("Created by", "creator", ("created_by_name",)),
    Column("Created", "created", ("created_at",)),
    Column("Changed by", "changer", ("updated_by_name",)),
    Column("Changed", "changed", ("updated_at",)),
]
SORTS = {column.sort: column.order for column in COLUMNS if column.sort}


class LedgerView(PermissionRequiredMixin, ListView):
    permission_required = "invoices.view_arsubledger"
    template_name = "invoices/ledger.html"
    context_object_name = "entries"
    paginate_by = 25

    def get_queryset(self) -> QuerySet[ARSubledger]:
        self.filter = LedgerFilter(self.request.GET)
        if not self.filter.is_valid():
            return ARSubledger.objects.none()
        given = self.filter.cleaned_data
        entries = ARSubledger.objects.all()
        if given["as_of"]:
            entries = ARSubledger.trail.as_of(given["as_of"])
        if search := given["search"]:
            entries = entries.filter(
                Q(patient_account__icontains=search) | Q(description__icontains=search)
            )
        if given["status"]:
            entries = entries.filter(status=given["status"])
        if person := given["person"]:
            if given["part"] == "created":
                entries = entries.created_by_actor(person)
            elif given["part"] == "changed":
                entries = entries.updated_by_actor(person)
            else:
                entries = entries.touched_by(person)
        return entries

    def get_ordering(self) -> str:
        """`"changer"`, or `"-changer"` for backwards; by date, newest first, unless asked."""
        wanted = self.request.GET.get("sort", "")
        return wanted if wanted.removeprefix("-") in SORTS else "-date"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        totals = self.object_list.aggregate(debit=Sum("debit"), credit=Sum("credit"))
        debit, credit = (totals[name] or Decimal(0) for name in ("debit", "credit"))
        # Many rows have the same person: by the number, too, so that each is on one page.
        sort = self.get_ordering()
        minus = "-" if sort.startswith("-") else ""
        order = [*SORTS[sort.removeprefix("-")], "entry_number"]
        self.object_list = self.object_list.with_people().order_by(
            *(minus + name for name in order)
        )
        context = super().get_context_data(**kwargs)
        # The filter travels from page to page; the page number does not travel with it.
        query = self.request.GET.copy()
        query.pop("page", None)
        heads = []
        for column in COLUMNS:
            is_sorted = sort.removeprefix("-") == column.sort
            query_of_head = query.copy()
            query_of_head["sort"] = f"-{column.sort}" if sort == column.sort else column.sort
            direction = ("descending" if minus else "ascending") if is_sorted else ""
            heads.append((column, query_of_head.urlencode(), direction))
        return context | {
            "filter": self.filter,
            "as_of": self.filter.is_valid() and self.filter.cleaned_data["as_of"],
            "heads": heads,
            "query": query.urlencode(),
            "here": urlencode({"next": self.request.get_full_path()}),
            "debit": debit,
            "credit": credit,
            "balance": debit - credit,
        }


class EntryCreateView(BackToList, PermissionRequiredMixin, SuccessMessageMixin, CreateView):
    permission_required = "invoices.add_arsubledger"
    model = ARSubledger
    form_class = EntryForm
    template_name = "invoices/entry_form.html"
    success_message = "Entry %(entry_number)s was added."
    list_name = "ledger"

    def get_success_message(self, cleaned_data: dict[str, Any]) -> str:
        return self.success_message % {"entry_number": self.object.entry_number}


class RowView(BackToList, PermissionRequiredMixin, SuccessMessageMixin, UpdateView):
    """A row with its history: a form for those who may change it, a page for those who may look."""

    #: The columns that hold labels.
    people: tuple[str, ...] = ("created_by", "updated_by")

    def get_permission_required(self) -> list[str]:
        is_look = self.request.method in ("GET", "HEAD")
        return [permission("view" if is_look else "change", self.model)]

    def form_valid(self, form: Any) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        with audit_context(reason=reason) if reason else contextlib.nullcontext():
            return super().form_valid(form)

    def get_success_message(self, cleaned_data: dict[str, Any]) -> str:
        return self.success_message % {"pk": self.object.pk}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        prefetch([self.object], *self.people)
        may_change = self.request.user.has_perm(permission("change", self.model))
        return super().get_context_data(**kwargs) | {"may_change": may_change}


class EntryEditView(RowView):
    model = ARSubledger
    form_class = EntryChangeForm
    template_name = "invoices/entry_form.html"
    success_message = "Entry %(pk)s was changed."
    list_name = "ledger"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        newest = trail_of(self.object).first()
        may_revert = newest is not None and self.request.user.has_perms(needed_to_revert(newest))
        form = RevertForm(initial={"event": newest.pk}, prefix="revert") if may_revert else None
        return super().get_context_data(**kwargs) | {"newest": newest, "revert_form": form}


def needed_to_revert(event: Any) -> list[str]:
    """The revert of what added an entry deletes it."""
    action = "delete" if event.action == "insert" else "change"
    return ["django_audit_fields.revert_auditevent", permission(action, ARSubledger)]


class EntryRevertView(BackToList, PermissionRequiredMixin, View):
    """Takes back the newest change of an entry; the revert is a change like any other."""

    permission_required = "django_audit_fields.revert_auditevent"
    http_method_names = ["post"]
    list_name = "ledger"

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        entry = get_object_or_404(ARSubledger, pk=pk)
        page = f"{entry.get_absolute_url()}?{urlencode({'next': self.get_success_url()})}"
        form = RevertForm(request.POST, prefix="revert")
        if not form.is_valid():
            messages.error(request, "Say why the change is to be reverted.")
            return HttpResponseRedirect(page)
        event = get_object_or_404(trail_of(entry), pk=form.cleaned_data["event"])
        if not request.user.has_perms(needed_to_revert(event)):
            return self.handle_no_permission()
        try:
            made = event.revert(reason=form.cleaned_data["reason"])
        except RevertError as error:
            messages.error(request, f"Entry {pk} was not reverted. {error}")
            return HttpResponseRedirect(page)
        if made.action == "delete":
            messages.success(request, f"Entry {pk} was deleted again.")
            return HttpResponseRedirect(self.get_success_url())
        messages.success(request, f"The change of entry {pk} was reverted.")
        return HttpResponseRedirect(page)


class ChargesView(PermissionRequiredMixin, ListView):
    permission_required = "invoices.view_legacycharge"
    model = LegacyCharge
    template_name = "invoices/charges.html"
    context_object_name = "charges"
    paginate_by = 25

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        here = urlencode({"next": self.request.get_full_path()})
        return super().get_context_data(**kwargs) | {"here": here}


class ChargeEditView(RowView):
    model = LegacyCharge
    form_class = ChargeChangeForm
    template_name = "invoices/charge_form.html"
    success_message = "Charge %(pk)s was changed."
    people = ("entered_by", "changed_by")
    list_name = "charges"
