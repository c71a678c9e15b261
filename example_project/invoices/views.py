"""List, create and edit. None of it knows that rows are stamped, only how a stamp is shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.db.models import Q, QuerySet, Sum
from django.urls import reverse_lazy
from django.views.generic import CreateView, ListView, UpdateView

from django_audit_fields.people import names_of

from .forms import ChargeForm, EntryForm, LedgerFilter
from .models import ARSubledger, LegacyCharge


class LedgerView(LoginRequiredMixin, ListView):
    template_name = "invoices/ledger.html"
    context_object_name = "entries"
    paginate_by = 25

    def get_queryset(self) -> QuerySet[ARSubledger]:
        entries = ARSubledger.objects.all()
        self.filter = LedgerFilter(self.request.GET)
        if not self.filter.is_valid():
            return entries
        if search := self.filter.cleaned_data["search"]:
            entries = entries.filter(
                Q(patient_account__icontains=search) | Q(description__icontains=search)
            )
        if status := self.filter.cleaned_data["status"]:
            entries = entries.filter(status=status)
        return entries

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        shown = context["entries"]
        totals = self.object_list.aggregate(debit=Sum("debit"), credit=Sum("credit"))
        debit, credit = (totals[name] or Decimal(0) for name in ("debit", "credit"))
        names = names_of(label for entry in shown for label in (entry.created_by, entry.updated_by))
        # The filter travels from page to page; the page number does not travel with it.
        query = self.request.GET.copy()
        query.pop("page", None)
        return context | {
            "filter": self.filter,
            "query": query.urlencode(),
            "names": names,
            "debit": debit,
            "credit": credit,
            "balance": debit - credit,
        }


class EntryCreateView(LoginRequiredMixin, SuccessMessageMixin, CreateView):
    model = ARSubledger
    form_class = EntryForm
    template_name = "invoices/entry_form.html"
    success_message = "Entry %(entry_number)s was added."
    success_url = reverse_lazy("ledger")

    def get_success_message(self, cleaned_data: dict[str, Any]) -> str:
        return self.success_message % {"entry_number": self.object.entry_number}


class EntryEditView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    model = ARSubledger
    form_class = EntryForm
    template_name = "invoices/entry_form.html"
    success_message = "Entry %(entry_number)s was changed."
    success_url = reverse_lazy("ledger")

    def get_success_message(self, cleaned_data: dict[str, Any]) -> str:
        return self.success_message % {"entry_number": self.object.entry_number}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        names = names_of([self.object.created_by, self.object.updated_by])
        return super().get_context_data(**kwargs) | {"names": names}


class ChargesView(LoginRequiredMixin, ListView):
    model = LegacyCharge
    template_name = "invoices/charges.html"
    context_object_name = "charges"
    paginate_by = 25

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        labels = [label for row in context["charges"] for label in (row.entered_by, row.changed_by)]
        return context | {"names": names_of(labels)}


class ChargeEditView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    model = LegacyCharge
    form_class = ChargeForm
    template_name = "invoices/charge_form.html"
    success_message = "Charge %(charge_code)s was changed."
    success_url = reverse_lazy("charges")

    def get_success_message(self, cleaned_data: dict[str, Any]) -> str:
        return self.success_message % {"charge_code": self.object.charge_code}
