"""The pages as a person uses them, and who is in the rows afterwards."""

from __future__ import annotations

import csv
import tempfile
from io import StringIO
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from .ledger_file import COLUMNS, LEDGER_FILE, import_ledger
from .management.commands.set_up_clinic import PASSWORD
from .models import ARSubledger, LegacyCharge

ENTRY = {
    "patient_account": "PA-10500",
    "entry_date": "2026-07-01",
    "description": "Office visit",
    "debit": "110.00",
    "credit": "0",
    "status": "open",
}


class ClinicTestCase(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        with tempfile.TemporaryDirectory() as folder:
            few = Path(folder) / "few.csv"
            with LEDGER_FILE.open(encoding="utf-8") as file:
                few.write_text("".join(file.readlines()[:61]), encoding="utf-8")
            call_command("set_up_clinic", ledger=few, stdout=StringIO())
        people = {user.get_username(): user for user in get_user_model().objects.all()}
        cls.amara, cls.jonas, cls.admin = (people[name] for name in ("amara", "jonas", "admin"))

    def add_entry(self, **changes: str) -> ARSubledger:
        self.client.force_login(self.amara)
        response = self.client.post(reverse("entry-new"), ENTRY | changes)
        self.assertRedirects(response, reverse("ledger"))
        return ARSubledger.objects.latest("entry_number")


class LoginTests(ClinicTestCase):
    def test_every_page_asks_for_a_login_first(self) -> None:
        """A stranger is led to the login page, and from there back to the page they wanted."""
        for name, arguments in [("ledger", []), ("entry-new", []), ("charges", [])]:
            address = reverse(name, args=arguments)
            self.assertRedirects(self.client.get(address), f"{reverse('login')}?next={address}")

    def test_login_page_leads_to_the_wanted_page(self) -> None:
        response = self.client.post(
            reverse("login"),
            {"username": "amara", "password": PASSWORD, "next": reverse("entry-new")},
        )
        self.assertRedirects(response, reverse("entry-new"))

    def test_wrong_password_is_said_on_the_page(self) -> None:
        response = self.client.post(reverse("login"), {"username": "amara", "password": "no"})
        self.assertContains(response, "Please enter a correct username and password")


class LedgerTests(ClinicTestCase):
    def test_list_shows_who_and_when(self) -> None:
        """The creator's name, not the key; and a label as it is."""
        self.add_entry()
        response = self.client.get(reverse("ledger"))
        self.assertContains(response, "Amara Okafor", count=3)  # the header, creator and changer
        self.assertContains(response, "import:few")
        self.assertContains(response, "Page 1 of 3")

    def test_list_is_filtered_and_keeps_the_filter_from_page_to_page(self) -> None:
        self.add_entry(description="Rare & odd", status="disputed")
        filters = {"search": "rare & odd", "status": "disputed"}
        response = self.client.get(reverse("ledger"), filters)
        self.assertEqual(len(response.context["entries"]), 1)
        self.assertEqual(response.context["balance"], 110)
        response = self.client.get(reverse("ledger"), {"search": "PA-1"})
        self.assertContains(response, "?search=PA-1&amp;page=2")
        response = self.client.get(reverse("ledger"), {"search": "no such thing"})
        self.assertContains(response, "No entry matches.")

    def test_list_takes_the_same_queries_for_few_and_many_rows(self) -> None:
        """Names are looked up for the page at once."""
        self.add_entry()
        with CaptureQueriesContext(connection) as few:
            self.client.get(reverse("ledger"), {"search": "PA-10500"})
        with self.assertNumQueries(len(few)):
            self.client.get(reverse("ledger"))

    def test_new_entry_is_from_the_person_who_is_logged_in(self) -> None:
        entry = self.add_entry()
        self.assertEqual(
            (entry.created_by, entry.updated_by), (str(self.amara.pk), str(self.amara.pk))
        )

    def test_edit_keeps_the_creator_and_notes_who_changed_it(self) -> None:
        entry = self.add_entry()
        self.client.force_login(self.jonas)
        self.client.post(entry.get_absolute_url(), ENTRY | {"status": "settled"})
        changed = ARSubledger.objects.get(pk=entry.pk)
        self.assertEqual(changed.status, "settled")
        self.assertEqual(
            (changed.created_by, changed.updated_by), (str(self.amara.pk), str(self.jonas.pk))
        )
        self.assertEqual(changed.created_at, entry.created_at)
        self.assertGreater(changed.updated_at, entry.updated_at)

    def test_posted_audit_fields_are_ignored(self) -> None:
        """They are not in the form, so nobody enters them there."""
        entry = self.add_entry(created_by="mallory", updated_by="mallory")
        self.assertEqual(entry.created_by, str(self.amara.pk))

    def test_entry_that_is_neither_debit_nor_credit_is_refused(self) -> None:
        self.client.force_login(self.amara)
        for debit, credit in [("0", "0"), ("5", "5"), ("-5", "0")]:
            response = self.client.post(
                reverse("entry-new"), ENTRY | {"debit": debit, "credit": credit}
            )
            self.assertContains(response, 'class="errors"')
            if not debit.startswith("-"):
                self.assertContains(response, "Enter either a debit or a credit, above zero.")


class LegacyTests(ClinicTestCase):
    def test_row_without_a_past_says_so(self) -> None:
        self.client.force_login(self.amara)
        response = self.client.get(reverse("charges"))
        self.assertContains(response, "not recorded")

    def test_edit_stamps_the_columns_of_other_names(self) -> None:
        """No line of Python fills them: the trigger does, with the request's user."""
        self.client.force_login(self.jonas)
        response = self.client.post(
            reverse("charge-edit", args=["OLD-40"]),
            {"patient_account": "PA-10009", "amount": "12.00"},
        )
        self.assertRedirects(response, reverse("charges"))
        charge = LegacyCharge.objects.get(pk="OLD-40")
        self.assertEqual(
            (charge.entered_by, charge.changed_by), ("night-batch", str(self.jonas.pk))
        )
        self.assertIsNotNone(charge.changed_on)

    def test_rows_from_before_are_as_they_were(self) -> None:
        """Installing triggers made nothing up."""
        unchanged = LegacyCharge.objects.filter(changed_by=None, changed_on=None)
        self.assertEqual(unchanged.count(), 60)
        self.assertEqual(unchanged.filter(entered_by=None).count(), 30)


class AdminTests(ClinicTestCase):
    def test_admin_stamps_and_shows_the_four_columns(self) -> None:
        entry = self.add_entry()
        self.client.force_login(self.admin)
        address = reverse("admin:invoices_arsubledger_change", args=[entry.pk])
        shown = '<div class="readonly">{}</div>'.format
        amara, admin = self.amara.get_full_name(), self.admin.get_full_name()
        self.assertContains(self.client.get(address), shown(amara), count=2)
        self.client.post(address, ENTRY | {"description": "Corrected"})
        entry.refresh_from_db()
        self.assertEqual(entry.description, "Corrected")
        self.assertEqual(
            (entry.created_by, entry.updated_by), (str(self.amara.pk), str(self.admin.pk))
        )
        self.assertContains(self.client.get(address), shown(admin), count=1)


class ImportTests(ClinicTestCase):
    def ledger(self, *rows: list[str]) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "march.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        return path

    def test_rows_are_from_the_file_and_come_once(self) -> None:
        path = self.ledger(["PA-1", "2026-03-01", "Visit", "10.00", "0", "open"])
        self.assertEqual([import_ledger(path), import_ledger(path)], [1, 0])
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT created_by, updated_by FROM invoices_arsubledger"
                " WHERE patient_account = 'PA-1'"
            )
            self.assertEqual(cursor.fetchall(), [("import:march", "import:march")])

    def test_wrong_row_leaves_nothing_behind(self) -> None:
        good = ["PA-1", "2026-03-01", "Visit", "10.00", "0", "open"]
        path = self.ledger(good, [*good[:-1], "unheard-of"])
        with self.assertRaisesMessage(ValidationError, "unheard-of"):
            import_ledger(path)
        self.assertFalse(ARSubledger.objects.filter(created_by="import:march").exists())
