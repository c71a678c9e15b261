"""The auditor's report: who did what, on a page and as a file."""

from __future__ import annotations

import csv
import datetime
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_audit_fields import acting_as, audit_context

from .models import ARSubledger, LegacyCharge
from .tests import ENTRY, ClinicTestCase


class ReportTestCase(ClinicTestCase):
    def setUp(self) -> None:
        """Amara adds an entry, Jonas changes it and a charge; the import's are there already."""
        self.entry = self.add_entry()
        with acting_as(self.jonas), audit_context(reason="agreed by phone"):
            ARSubledger.objects.filter(pk=self.entry.pk).update(debit=90)
            LegacyCharge.objects.filter(pk="OLD-40").update(amount=12)
        self.client.force_login(self.vera)
        #: The database's day, which need not be the computer's by the end of a test at midnight.
        self.day = self.entry.trail.first().recorded_at.date()

    def days(self, since: int, until: int) -> dict[str, str]:
        """So many days after the events."""
        return {
            name: (self.day + datetime.timedelta(days=days)).isoformat()
            for name, days in (("since", since), ("until", until))
        }

    def found(self, **query: Any) -> list[tuple[str, str]]:
        response = self.client.get(reverse("report"), query)
        return [(entry.person, entry.row) for entry, _ in response.context["rows"]]


class ReportTests(ReportTestCase):
    def test_report_shows_everybodys_last_week(self) -> None:
        """Newest first and 50 a page, with names, reasons and what changed."""
        response = self.client.get(reverse("report"))
        self.assertContains(response, "73 changes")
        self.assertContains(response, "Page 1 of 2")
        days = response.context["filter"].cleaned_data
        self.assertEqual(days["until"] - days["since"], datetime.timedelta(days=6))
        jonas, row = "Jonas Lindqvist", f"Ledger entry {self.entry.pk}"
        self.assertEqual(self.found()[:2], [(jonas, "Legacy charge OLD-40"), (jonas, row)])
        self.assertContains(response, "agreed by phone", count=2)
        self.assertContains(response, "<del>110.00</del> → <ins>90.00</ins>")
        self.assertContains(response, f'<a href="{self.entry.get_absolute_url()}">{row}</a>')

    def test_report_is_filtered_by_person(self) -> None:
        self.assertEqual(
            self.found(person=str(self.amara.pk)),
            [("Amara Okafor", f"Ledger entry {self.entry.pk}")],
        )
        self.assertEqual(len(self.found(person=str(self.jonas.pk))), 2)
        response = self.client.get(reverse("report"))
        self.assertContains(response, ">Jonas Lindqvist</option>")
        self.assertContains(response, ">import:few</option>")

    def test_report_is_filtered_by_table_and_action(self) -> None:
        self.assertEqual(len(self.found(table="legacy_charge")), 1)
        self.assertEqual(len(self.found(action="update")), 2)
        changed = self.found(action="update", table="invoices_arsubledger")
        self.assertEqual(changed, [("Jonas Lindqvist", f"Ledger entry {self.entry.pk}")])
        self.assertEqual(self.found(action="delete"), [])

    def test_report_is_filtered_by_days_and_both_are_included(self) -> None:
        self.assertEqual(len(self.found(action="update", **self.days(0, 0))), 2)
        self.assertEqual(self.found(**self.days(1, 2)), [])
        self.assertEqual(self.found(**self.days(-2, -1)), [])

    def test_wrong_days_are_said_on_the_page(self) -> None:
        for query, message in [
            (self.days(1, 0), "The last day is before the first."),
            ({"since": "soon"}, "Enter a valid date."),
            ({"until": ""}, "This field is required."),
            ({"person": "mallory"}, "Select a valid choice."),
        ]:
            response = self.client.get(reverse("report"), query)
            self.assertContains(response, message)
            self.assertEqual(len(response.context["events"]), 0)
            file = self.client.get(reverse("report-file"), query, follow=True)
            self.assertContains(file, message)

    def test_row_that_is_gone_is_named_and_not_linked(self) -> None:
        address, number = self.entry.get_absolute_url(), self.entry.pk
        self.entry.delete()
        response = self.client.get(reverse("report"))
        self.assertContains(response, f"Deleted: Ledger entry {number}")
        self.assertNotContains(response, f'href="{address}"')

    def test_report_takes_the_same_queries_for_few_and_many_events(self) -> None:
        query = {"person": str(self.jonas.pk)}
        with CaptureQueriesContext(connection) as few:
            self.client.get(reverse("report"), query)
        with acting_as(self.jonas):
            for _ in range(30):
                ARSubledger.objects.create(**ENTRY)
        with self.assertNumQueries(len(few)):
            self.assertEqual(len(self.client.get(reverse("report"), query).context["events"]), 32)

    def test_report_is_for_those_who_may_see_the_trail(self) -> None:
        self.client.force_login(self.amara)
        for name in ("report", "report-file"):
            self.assertEqual(self.client.get(reverse(name)).status_code, 403)
        self.assertNotContains(self.client.get(reverse("ledger")), "Who did what")


class ReportFileTests(ReportTestCase):
    def lines(self, **query: Any) -> list[dict[str, str]]:
        response = self.client.get(reverse("report-file"), query)
        self.assertEqual(response["Content-Type"], "text/csv; charset=utf-8")
        self.assertIn("attachment", response["Content-Disposition"])
        text = b"".join(response.streaming_content).decode()
        return list(csv.DictReader(text.splitlines()))

    def test_file_has_what_is_filtered_and_all_pages_of_it(self) -> None:
        self.assertEqual(len(self.lines()), 73)
        [newest, older] = self.lines(person=str(self.jonas.pk))
        self.assertEqual(
            [newest[name] for name in ("person", "label", "action", "row", "reason")],
            [
                *("Jonas Lindqvist", str(self.jonas.pk), "Changed", "Legacy charge OLD-40"),
                "agreed by phone",
            ],
        )
        self.assertEqual(older["changes"], "debit: 110.00 → 90.00")
        when = datetime.datetime.fromisoformat(newest["when"])
        self.assertEqual(when.utcoffset(), datetime.timedelta(0))

    def test_page_links_to_the_file_of_the_same_filter(self) -> None:
        query = f"person={self.jonas.pk}&action=update"
        response = self.client.get(f"{reverse('report')}?{query}")
        self.assertContains(response, f"{reverse('report-file')}?{query.replace('&', '&amp;')}")

    def test_cell_that_a_spreadsheet_would_run_is_guarded(self) -> None:
        for formula in ("=1+1", "+1", "-1", "@SUM(A1)"):
            with acting_as(formula), audit_context(reason=formula, on_behalf_of=formula):
                ARSubledger.objects.filter(pk=self.entry.pk).update(description=formula)
            [line] = self.lines(person=formula)
            names = ("label", "reason", "on behalf of")
            self.assertEqual([line[name] for name in names], [f"'{formula}"] * 3)

    def test_file_takes_the_same_queries_for_few_and_many_events(self) -> None:
        query = {"person": str(self.jonas.pk)}
        with CaptureQueriesContext(connection) as few:
            self.lines(**query)
        with acting_as(self.jonas):
            for _ in range(30):
                ARSubledger.objects.create(**ENTRY)
        with self.assertNumQueries(len(few)):
            self.assertEqual(len(self.lines(**query)), 32)
