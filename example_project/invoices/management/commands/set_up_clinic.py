"""People and data for the example. Run again, it adds only what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management.base import BaseCommand, CommandParser

from ...ledger_file import LEDGER_FILE, import_ledger

PASSWORD = "clinic"
#: username: first name, last name, whether the admin's every door is open
PEOPLE = {
    "amara": ("Amara", "Okafor", False),
    "jonas": ("Jonas", "Lindqvist", False),
    "admin": ("Rosa", "Ferreira", True),
}


class Command(BaseCommand):
    help = f"Make the users {', '.join(PEOPLE)} (password: {PASSWORD}) and import the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ledger", type=Path, default=LEDGER_FILE, help="a CSV file")

    def handle(self, *args: Any, ledger: Path, **options: Any) -> None:
        for username, (first_name, last_name, is_superuser) in PEOPLE.items():
            user, created = get_user_model().objects.get_or_create(
                username=username,
                defaults={
                    "first_name": first_name,
                    "last_name": last_name,
                    "is_staff": True,
                    "is_superuser": is_superuser,
                },
            )
            if created:
                user.set_password(PASSWORD)
                user.save()
                user.user_permissions.set(
                    Permission.objects.filter(content_type__app_label="invoices")
                )
                self.stdout.write(f"Made the user {username}.")
        if number := import_ledger(ledger):
            self.stdout.write(f"Imported {number} entries from {ledger.name}.")
        else:
            self.stdout.write(f"{ledger.name} was imported before.")
