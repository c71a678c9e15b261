"""What a person fills in; the four columns are not among it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_audit_fields.people import names_of

from .models import ARSubledger, LegacyCharge


class EntryForm(forms.ModelForm):
    class Meta:
        model = ARSubledger
        fields = ["patient_account", "entry_date", "description", "debit", "credit", "status"]
        widgets = {"entry_date": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}
        help_texts = {
            "patient_account": "For example PA-10042.",
            "debit": "What the patient owes. Leave 0 for a payment.",
            "credit": "What the patient paid or was let off. Leave 0 for a charge.",
        }


class ChargeForm(forms.ModelForm):
    class Meta:
        model = LegacyCharge
        fields = ["patient_account", "amount"]


class ReasonedForm(forms.Form):
    """Asks why, beside what is changed: the trail keeps it."""

    reason = forms.CharField(
        required=False,
        max_length=300,
        label="Reason for change",
        help_text="May be left empty. It stays in the history of the row.",
    )


class EntryChangeForm(ReasonedForm, EntryForm):
    pass


class ChargeChangeForm(ReasonedForm, ChargeForm):
    pass


class RevertForm(forms.Form):
    """Which change, so that a newer one is not reverted unseen, and why."""

    event = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(max_length=300, label="Reason for the revert")


def people_choices(labels: Iterable[str], everybody: str) -> list[tuple[str, str]]:
    """The people by name, under their labels."""
    names = names_of(labels)
    return [("", everybody), *sorted(names.items(), key=lambda item: item[1].casefold())]


class LedgerFilter(forms.Form):
    search = forms.CharField(
        required=False,
        max_length=100,
        label="Account or description",
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    status = forms.ChoiceField(
        required=False, choices=[("", "Any status"), *ARSubledger.Status.choices]
    )
    person = forms.ChoiceField(required=False)
    part = forms.ChoiceField(
        required=False,
        label="What they did",
        choices=[("", "Created or changed"), ("created", "Created"), ("changed", "Changed last")],
    )
    as_of = forms.DateTimeField(
        required=False,
        label="As it was on",
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
        ),
    )
    sort = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = ARSubledger.objects.order_by()
        labels = rows.values_list("created_by").union(rows.values_list("updated_by")).order_by()
        self.fields["person"].choices = people_choices((label for (label,) in labels), "Anybody")
        self.fields["as_of"].label = f"As it was on ({timezone.get_current_timezone_name()})"

    def clean_as_of(self) -> datetime.datetime | None:
        when: datetime.datetime | None = self.cleaned_data["as_of"]
        if when is not None and when > timezone.now():
            raise ValidationError("That is in the future.")
        return when
