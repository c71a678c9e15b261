"""The pages as a person uses them, and who is in the rows afterwards."""

from __future__ import annotations

import csv
import datetime
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django.utils.http import urlencode

from django_audit_fields import acting_as
from django_audit_fields.people import name_of
from django_audit_fields.trail import trail_of

from .ledger_file import COLUMNS, LEDGER_FILE, import_ledger
from .management.commands.set_up_clinic import PASSWORD
from .models import ARSubledger, LegacyCharge, Tariff

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
        cls.amara, cls.jonas, cls.vera, cls.admin = (
            people[name] for name in ("amara", "jonas", "vera", "admin")
        )

    def add_entry(self, **changes: str) -> ARSubledger:
        self.client.force_login(self.amara)
        response = self.client.post(reverse("entry-new"), ENTRY | changes)
        self.assertRedirects(response, reverse("ledger"))
        return ARSubledger.objects.latest("entry_number")


class LoginTests(ClinicTestCase):
    def test_every_page_asks_for_a_login_first(self) -> None:
        """A stranger is led to the login page, and from there back to the page they wanted."""
        pages = [("ledger", []), ("entry-new", []), ("entry-edit", [1]), ("charges", [])]
        pages += [("charge-edit", ["OLD-40"]), ("report", []), ("report-file", [])]
        for name, arguments in pages:
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
        shown = '<td data-label="{}" class="who-did">Amara Okafor</td>'.format
        self.assertContains(response, shown("Created by"), count=1, html=True)
        self.assertContains(response, shown("Changed by"), count=1, html=True)
        self.assertContains(response, "import:few")
        self.assertContains(response, "Page 1 of 3")

    def test_times_are_shown_with_their_zone(self) -> None:
        entry = self.add_entry()
        self.assertContains(
            self.client.get(reverse("ledger")), f"<span>{entry.updated_at:%H:%M} UTC</span>"
        )

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
        for person in (self.jonas, self.vera, self.admin):
            with acting_as(person):
                ARSubledger.objects.create(**ENTRY | {"patient_account": "PA-10501"})
        with CaptureQueriesContext(connection) as few:
            self.client.get(reverse("ledger"), {"search": "PA-10500"})
        with self.assertNumQueries(len(few)):
            self.client.get(reverse("ledger"))

    def test_list_is_filtered_by_person(self) -> None:
        """Among the names of those who created or changed something; each part by itself, too."""
        mine, changed, other = (self.add_entry(description=text) for text in "abc")
        self.client.force_login(self.jonas)
        for entry in (mine, changed):
            self.client.post(entry.get_absolute_url(), ENTRY | {"status": "settled"})
        with acting_as(self.jonas):
            own = ARSubledger.objects.create(**ENTRY)

        def found(person: Any, part: str) -> set[int]:
            query = {"person": str(person.pk), "part": part}
            return {row.pk for row in self.client.get(reverse("ledger"), query).context["entries"]}

        self.assertEqual(found(self.jonas, "created"), {own.pk})
        self.assertEqual(found(self.jonas, "changed"), {mine.pk, changed.pk, own.pk})
        self.assertEqual(found(self.jonas, ""), {mine.pk, changed.pk, own.pk})
        self.assertEqual(found(self.amara, "changed"), {other.pk})
        self.assertEqual(found(self.amara, ""), {mine.pk, changed.pk, other.pk})
        response = self.client.get(reverse("ledger"))
        for name in ("Amara Okafor", "Jonas Lindqvist", "import:few"):
            self.assertContains(response, f">{name}</option>")
        self.assertNotContains(response, ">Vera Castillo</option>")

    def test_list_is_sorted_by_person_and_by_time(self) -> None:
        """By names and not by keys; the head says so, and a second click turns it round."""
        for person in (self.vera, self.admin, self.jonas, self.amara):
            with acting_as(person):
                latest = ARSubledger.objects.create(**ENTRY)

        def people(sort: str) -> list[str]:
            response = self.client.get(reverse("ledger"), {"sort": sort})
            return [name_of(entry.created_by) for entry in response.context["entries"]]

        def first(sort: str) -> Any:
            response = self.client.get(reverse("ledger"), {"sort": sort})
            self.assertContains(response, "aria-sort=", count=1)
            return response.context["entries"][0]

        self.client.force_login(self.vera)
        names = ["Amara Okafor", "Jonas Lindqvist", "Rosa Ferreira", "Vera Castillo"]
        for sort in ("creator", "changer"):
            self.assertEqual(people(sort)[:5], [*names, "import:few"])
        self.assertEqual(people("-creator")[0], "import:few")
        self.assertEqual(first("-created"), latest)
        self.assertEqual(first("-changed"), latest)
        self.assertEqual(first("-date"), latest)
        self.assertEqual(first("no-such-column"), latest)
        response = self.client.get(reverse("ledger"), {"sort": "changer", "search": "PA-1"})
        self.assertContains(
            response,
            '<th scope="col" class="sortable" aria-sort="ascending">'
            '<a href="?sort=-changer&amp;search=PA-1">Changed by</a></th>',
            html=True,
        )

    def test_each_entry_is_on_one_page_of_a_list_sorted_by_person(self) -> None:
        """Though all have the same person."""
        self.client.force_login(self.vera)
        shown = []
        for page in (1, 2, 3):
            response = self.client.get(reverse("ledger"), {"sort": "creator", "page": page})
            shown += [entry.pk for entry in response.context["entries"]]
        self.assertEqual(len(shown), len(set(shown)))
        self.assertEqual(set(shown), set(ARSubledger.objects.values_list("pk", flat=True)))

    def test_ledger_as_it_was(self) -> None:
        """What was added since is not there, what was changed is as before; nothing is to edit."""
        entry = ARSubledger.objects.latest("entry_number")
        before = entry.description
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            [then] = cursor.fetchone()
        ARSubledger.objects.filter(pk=entry.pk).update(description="Changed since")
        self.add_entry()
        response = self.client.get(reverse("ledger"), {"as_of": then.isoformat()})
        rows = {row.pk: row for row in response.context["page_obj"].paginator.object_list}
        self.assertEqual((len(rows), rows[entry.pk].description), (60, before))
        self.assertContains(response, "The ledger as it was on")
        self.assertNotContains(response, "Edit")
        self.assertNotContains(response, reverse("entry-new"))
        response = self.client.get(reverse("ledger"))
        self.assertContains(response, "Changed since")
        self.assertNotContains(response, "The ledger as it was on")

    def test_past_is_searched_and_sorted_like_today(self) -> None:
        entry = self.add_entry(description="Rare & odd")
        query = {"as_of": timezone.now().isoformat(), "search": "rare", "sort": "-changer"}
        query |= {"person": str(self.amara.pk), "part": "created"}
        response = self.client.get(reverse("ledger"), query)
        self.assertEqual([row.pk for row in response.context["entries"]], [entry.pk])
        self.assertEqual(response.context["balance"], 110)

    def test_wrong_filter_is_said_and_shows_nothing(self) -> None:
        self.client.force_login(self.vera)
        tomorrow = (timezone.now() + datetime.timedelta(days=1)).isoformat()
        for query, message in [
            ({"as_of": tomorrow}, "That is in the future."),
            ({"as_of": "yesterday"}, "Enter a valid date/time."),
            ({"person": "nobody"}, "Select a valid choice."),
        ]:
            response = self.client.get(reverse("ledger"), query)
            self.assertContains(response, message)
            self.assertEqual(len(response.context["entries"]), 0)

    def test_page_and_filter_are_kept_after_saving(self) -> None:
        self.client.force_login(self.amara)
        place = f"{reverse('ledger')}?search=PA-1&page=2"
        response = self.client.get(place)
        entry = response.context["entries"][0]
        address = f"{entry.get_absolute_url()}?{urlencode({'next': place})}"
        self.assertContains(response, escape(address))
        self.assertContains(self.client.get(address), f'<a href="{escape(place)}">Cancel</a>')
        self.assertRedirects(self.client.post(address, ENTRY), place)

    def test_link_that_leads_elsewhere_is_not_followed(self) -> None:
        entry = self.add_entry()
        for place in ("https://example.com/", "//example.com/", "javascript:alert(1)"):
            address = f"{entry.get_absolute_url()}?{urlencode({'next': place})}"
            self.assertRedirects(self.client.post(address, ENTRY), reverse("ledger"))

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


class HistoryTests(ClinicTestCase):
    def change(self, entry: ARSubledger, **changes: str) -> None:
        response = self.client.post(entry.get_absolute_url(), ENTRY | changes)
        self.assertRedirects(response, reverse("ledger"))

    def revert(self, entry: ARSubledger, event: int | None = None, reason: str = "typo") -> Any:
        newest = event or entry.trail.first().pk
        return self.client.post(
            reverse("entry-revert", args=[entry.pk]),
            {"revert-event": newest, "revert-reason": reason},
            follow=True,
        )

    def test_reason_for_a_change_is_in_the_history(self) -> None:
        """The page tells who, why and what; a change without a reason has none."""
        entry = self.add_entry()
        self.client.force_login(self.jonas)
        self.change(entry, debit="90.00", reason="agreed by phone")
        event = entry.trail.first()
        self.assertEqual((event.actor, event.reason), (str(self.jonas.pk), "agreed by phone"))
        self.assertEqual([change.field for change in event.changes()][-1], "debit")
        response = self.client.get(entry.get_absolute_url())
        self.assertContains(response, "agreed by phone")
        self.assertContains(response, '<li class="audit-event', count=2)
        self.change(entry, debit="80.00", reason="  ")
        self.assertIsNone(entry.trail.first().reason)

    def test_history_takes_the_same_queries_for_few_and_many_changes(self) -> None:
        entry = self.add_entry()

        def change(debit: int) -> None:
            with acting_as(self.jonas):
                ARSubledger.objects.filter(pk=entry.pk).update(debit=debit)

        change(90)
        with CaptureQueriesContext(connection) as few:
            self.client.get(entry.get_absolute_url())
        for_names = [query for query in few if '"auth_user"."id" IN' in query["sql"]]
        self.assertEqual(len(for_names), 1)
        for debit in range(1, 21):
            change(debit)
        with self.assertNumQueries(len(few)):
            response = self.client.get(entry.get_absolute_url())
        self.assertContains(response, '<li class="audit-event', count=22)

    def test_newest_change_is_reverted_with_a_reason(self) -> None:
        entry = self.add_entry()
        self.change(entry, debit="90.00", status="settled")
        self.client.force_login(self.jonas)
        response = self.revert(entry)
        self.assertContains(response, f"The change of entry {entry.pk} was reverted.")
        again = ARSubledger.objects.get(pk=entry.pk)
        self.assertEqual((again.debit, again.status), (110, "open"))
        self.assertEqual(again.updated_by, str(self.jonas.pk))
        event = entry.trail.first()
        self.assertEqual((event.actor, event.reason), (str(self.jonas.pk), "typo"))

    def test_revert_of_what_added_an_entry_deletes_it(self) -> None:
        entry = self.add_entry()
        self.assertContains(self.client.get(entry.get_absolute_url()), "its revert deletes it")
        response = self.revert(entry)
        self.assertRedirects(response, reverse("ledger"))
        self.assertContains(response, f"Entry {entry.pk} was deleted again.")
        self.assertFalse(ARSubledger.objects.filter(pk=entry.pk).exists())

    def test_revert_of_an_older_change_is_refused_and_says_why(self) -> None:
        """Somebody else may have changed the entry while the page was open."""
        entry = self.add_entry()
        self.change(entry, debit="90.00")
        seen = entry.trail.first().pk
        self.change(entry, debit="95.00")
        response = self.revert(entry, event=seen)
        self.assertContains(response, "The row has changed since")
        self.assertEqual(ARSubledger.objects.get(pk=entry.pk).debit, 95)

    def test_revert_without_a_reason_is_refused(self) -> None:
        entry = self.add_entry()
        self.assertContains(self.revert(entry, reason=" "), "Say why")
        self.assertEqual(entry.trail.count(), 1)

    def test_event_of_another_entry_is_not_reverted(self) -> None:
        entry, other = self.add_entry(), self.add_entry()
        response = self.revert(entry, event=other.trail.first().pk)
        self.assertEqual(response.status_code, 404)
        self.assertTrue(ARSubledger.objects.filter(pk=other.pk).exists())

    def test_revert_is_a_permission_of_its_own(self) -> None:
        """Also for a clerk who may change the entry, and one who may not delete it."""
        entry = self.add_entry()
        for codename in ("revert_auditevent", "delete_arsubledger"):
            permission = Permission.objects.get(codename=codename)
            self.amara.user_permissions.remove(permission)
            page = self.client.get(entry.get_absolute_url())
            self.assertNotContains(page, "Revert the newest change")
            self.assertEqual(self.revert(entry).status_code, 403)
            self.amara.user_permissions.add(permission)
        self.assertTrue(ARSubledger.objects.filter(pk=entry.pk).exists())


class AuditorTests(ClinicTestCase):
    def test_auditor_sees_and_does_not_change(self) -> None:
        """No link or form leads to a change, and none is taken."""
        entry = self.add_entry()
        self.client.force_login(self.vera)
        for page in (reverse("ledger"), entry.get_absolute_url(), reverse("charges")):
            response = self.client.get(page)
            self.assertNotContains(response, "Edit")
            self.assertNotContains(response, "Add an entry")
            self.assertNotContains(response, "Save")
        self.assertContains(self.client.get(entry.get_absolute_url()), "<dd>PA-10500</dd>")
        charge = LegacyCharge.objects.get(pk="OLD-40")
        self.assertNotContains(self.client.get(charge.get_absolute_url()), "<button>Save")
        for address, values in [
            (reverse("entry-new"), ENTRY),
            (entry.get_absolute_url(), ENTRY | {"debit": "1.00"}),
            (reverse("entry-revert", args=[entry.pk]), {"revert-event": 1}),
            (charge.get_absolute_url(), {"patient_account": "PA-1", "amount": "1.00"}),
        ]:
            response = self.client.post(address, values)
            self.assertContains(response, "Your login may not do this", status_code=403)
        self.assertEqual(ARSubledger.objects.get(pk=entry.pk).updated_at, entry.updated_at)
        self.assertEqual(entry.trail.count(), 1)
        self.assertEqual(LegacyCharge.objects.get(pk="OLD-40").amount, charge.amount)

    def test_login_without_permissions_sees_nothing(self) -> None:
        self.client.force_login(get_user_model().objects.create_user("new"))
        for name in ("ledger", "charges", "report", "report-file"):
            response = self.client.get(reverse(name))
            self.assertContains(response, "Your login may not do this", status_code=403)
            self.assertNotContains(response, "<li>", status_code=403)


class MissingPageTests(ClinicTestCase):
    def test_missing_page_looks_like_the_others(self) -> None:
        """With the way back, also for who is not logged in."""
        for address in ("/nowhere/", "/entries/999999999/"):
            self.client.force_login(self.amara)
            response = self.client.get(address)
            self.assertContains(response, "There is no such page", status_code=404)
            self.assertContains(response, "Amara Okafor", status_code=404)
        self.client.logout()
        self.assertContains(self.client.get("/nowhere/"), "There is no such page", status_code=404)


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

    def test_history_of_a_charge_names_who_changed_it(self) -> None:
        """By name, in the columns too, though these are called otherwise."""
        self.client.force_login(self.jonas)
        address = reverse("charge-edit", args=["OLD-40"])
        values = {"patient_account": "PA-10009", "amount": "12.00", "reason": "new tariff"}
        self.client.post(address, values)
        response = self.client.get(address)
        self.assertContains(response, "new tariff")
        self.assertContains(response, "<bdi>Jonas Lindqvist</bdi>", count=2)
        response = self.client.get(reverse("charges"), {"page": 2})
        self.assertContains(response, "Jonas Lindqvist</td>")
        self.assertContains(response, "night-batch</td>")

    def test_page_of_the_list_is_kept_after_saving(self) -> None:
        self.client.force_login(self.jonas)
        place = f"{reverse('charges')}?page=2"
        address = f"{reverse('charge-edit', args=['OLD-40'])}?{urlencode({'next': place})}"
        self.assertContains(self.client.get(place), escape(address))
        values = {"patient_account": "PA-10009", "amount": "12.00"}
        self.assertRedirects(self.client.post(address, values), place)

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

    def test_history_page_is_the_trail_and_a_change_is_taken_back_there(self) -> None:
        entry = self.add_entry()
        self.client.post(entry.get_absolute_url(), ENTRY | {"debit": "90", "reason": "by phone"})
        self.client.force_login(self.admin)
        response = self.client.get(reverse("admin:invoices_arsubledger_history", args=[entry.pk]))
        self.assertContains(response, "by phone")
        event = entry.trail.first()
        address = reverse("admin:invoices_arsubledger_revert", args=[entry.pk, event.pk])
        self.assertContains(response, address)
        self.client.post(address, {"audit_reason": "wrong line"})
        entry.refresh_from_db()
        self.assertEqual((entry.debit, entry.updated_by), (110, str(self.admin.pk)))

    def test_price_is_not_changed_without_a_reason(self) -> None:
        """Neither in the admin, whose form asks for one, nor past it."""
        self.client.force_login(self.admin)
        address = reverse("admin:invoices_tariff_change", args=["Lipid panel"])
        self.assertContains(self.client.get(address), "Reason for change")
        values = {"service": "Lipid panel", "price": "50.00"}
        self.assertContains(self.client.post(address, values), "This field is required.")
        self.client.post(address, values | {"audit_reason": "new contract"})
        tariff = Tariff.objects.get(pk="Lipid panel")
        self.assertEqual((tariff.price, tariff.updated_by), (50, str(self.admin.pk)))
        self.assertEqual(trail_of(tariff).first().reason, "new contract")
        with self.assertRaisesMessage(IntegrityError, "reason"), transaction.atomic():
            Tariff.objects.update(price=1)

    def test_auditor_sees_all_events_and_may_change_nothing(self) -> None:
        self.client.force_login(self.vera)
        response = self.client.get(reverse("admin:django_audit_fields_auditevent_changelist"))
        self.assertContains(response, "import:few")
        for name in ("arsubledger", "tariff", "legacycharge"):
            self.assertEqual(
                self.client.get(reverse(f"admin:invoices_{name}_changelist")).status_code, 200
            )
            self.assertEqual(
                self.client.post(reverse(f"admin:invoices_{name}_add"), ENTRY).status_code, 403
            )

    def test_old_charges_are_listed_with_names(self) -> None:
        self.client.force_login(self.jonas)
        LegacyCharge.objects.filter(pk="OLD-40").update(changed_by=str(self.amara.pk))
        response = self.client.get(reverse("admin:invoices_legacycharge_changelist"))
        self.assertContains(response, '<td class="field-changed">Amara Okafor</td>')


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
