"""People and data for the example. Run again, it adds only what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Q

from django_audit_fields import audit_context
from django_audit_fields.contrib.commands import ActorCommandMixin

from ...factories import SERVICES
from ...ledger_file import LEDGER_FILE, import_ledger
from ...models import Tariff

PASSWORD = "clinic"
#: A clerk writes both tables and may take changes back; an auditor looks, and sees the whole trail.
CLERK = Q(content_type__app_label="invoices") | Q(codename="revert_auditevent")
AUDITOR = Q(content_type__app_label="invoices", codename__startswith="view_") | Q(
    codename="view_auditevent"
)


@dataclasses.dataclass(frozen=True)
class Person:
    first_name: str
    last_name: str
    permissions: Q | None = None
    is_superuser: bool = False


#: By user name.
PEOPLE = {
    "amara": Person("Amara", "Okafor", CLERK),
    "jonas": Person("Jonas", "Lindqvist", CLERK),
    "vera": Person("Vera", "Castillo", AUDITOR),
    "admin": Person("Rosa", "Ferreira", is_superuser=True),
}


class Command(ActorCommandMixin, BaseCommand):
    help = f"Make the users {', '.join(PEOPLE)} (password: {PASSWORD}) and import the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ledger", type=Path, default=LEDGER_FILE, help="a CSV file")

    def handle(self, *args: Any, ledger: Path, **options: Any) -> None:
        for username, person in PEOPLE.items():
            user, created = get_user_model().objects.get_or_create(
                username=username,
                defaults={
                    "first_name": person.first_name,
                    "last_name": person.last_name,
                    "is_staff": True,
                    "is_superuser": person.is_superuser,
                },
            )
            if created:
                user.set_password(PASSWORD)
                user.save()
                self.stdout.write(f"Made the user {username}.")
            # Each time: an earlier release of the example gave fewer.
            if person.permissions is not None:
                user.user_permissions.add(*Permission.objects.filter(person.permissions))
        if not Tariff.objects.exists():
            with audit_context(reason="First price list"):
                Tariff.objects.bulk_create(
                    Tariff(service=service, price=price) for service, price in SERVICES.items()
                )
            self.stdout.write(f"Made a price list of {len(SERVICES)} services.")
        if number := import_ledger(ledger):
            self.stdout.write(f"Imported {number} entries from {ledger.name}.")
        else:
            self.stdout.write(f"{ledger.name} was imported before.")
