"""What a person fills in; the four columns are not among it."""

from __future__ import annotations

from django import forms

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
