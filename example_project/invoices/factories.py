"""Made-up ledger entries. `manage.py make_ledger` writes the repository's CSV file with them."""

from __future__ import annotations

import datetime
from decimal import Decimal

import factory
from factory import fuzzy

from .models import ARSubledger

SERVICES = {
    "Office visit, new patient": "185.00",
    "Office visit, established patient": "110.00",
    "Influenza vaccination": "42.50",
    "Complete blood count": "31.80",
    "Lipid panel": "47.20",
    "Chest X-ray, two views": "128.00",
    "Electrocardiogram": "76.40",
    "Wound repair, simple": "214.90",
    "Physical therapy, 30 minutes": "64.00",
    "Telephone consultation": "38.00",
}
PAYMENTS = ["Card payment", "Bank transfer", "Insurance remittance", "Cash at the front desk"]
FIRST_DAY, LAST_DAY = datetime.date(2025, 1, 2), datetime.date(2026, 6, 30)


class EntryFactory(factory.django.DjangoModelFactory):
    """A charge; with `payment=True` a credit."""

    class Meta:
        model = ARSubledger

    class Params:
        payment = factory.Trait(
            description=fuzzy.FuzzyChoice(PAYMENTS),
            debit=Decimal(0),
            credit=fuzzy.FuzzyDecimal(10, 180, precision=2),
            status=ARSubledger.Status.SETTLED,
        )

    patient_account = factory.LazyFunction(
        lambda: f"PA-{factory.random.randgen.randrange(10001, 10161)}"
    )
    entry_date = fuzzy.FuzzyDate(FIRST_DAY, LAST_DAY)
    description = fuzzy.FuzzyChoice(list(SERVICES))
    debit = factory.LazyAttribute(lambda entry: Decimal(SERVICES[entry.description]))
    credit = Decimal(0)
    # Most are still open, as receivables are.
    status = fuzzy.FuzzyChoice(
        [ARSubledger.Status.OPEN] * 5
        + [ARSubledger.Status.SETTLED] * 3
        + [ARSubledger.Status.DISPUTED, ARSubledger.Status.WRITTEN_OFF]
    )
