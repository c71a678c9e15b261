"""The admin's pages of a trail in a browser: the timeline, the reason, the list of all events."""

import csv

import pytest
from playwright.sync_api import expect

from .pages import add_entry, change_entry, faults_in_all_looks

#: Django's own search form, which is not ours to mend: its field has a picture for a label.
NOT_OURS = ["#changelist-search"]


@pytest.fixture
def entry(open_page):
    """The number of an entry that Amara added and Jonas changed."""
    number = add_entry(open_page("amara"), "PA-50001")
    change_entry(open_page("jonas"), number, reason="agreed by phone", Debit="90.00")
    return number


def test_a_change_is_taken_back_on_the_history_page(open_page, rows, entry):
    page = open_page("admin")
    page.goto(f"/admin/invoices/arsubledger/{entry}/change/")
    page.get_by_role("link", name="History").click()
    newest = page.get_by_role("listitem").filter(has_text="Jonas Lindqvist")
    expect(newest).to_contain_text("agreed by phone")
    newest.get_by_role("link", name="Revert").click()
    page.get_by_label("Reason for change").fill("another patient's")
    page.get_by_role("button", name="Revert").click()
    expect(page.get_by_text("The change was reverted.")).to_be_visible()
    [(debit, who)] = rows(
        "SELECT debit, username FROM invoices_arsubledger JOIN auth_user ON auth_user.id::text ="
        " updated_by WHERE entry_number = %s",
        entry,
    )
    assert (str(debit), who) == ("80.00", "admin")


def test_a_price_is_changed_with_a_reason(open_page, rows):
    """The form asks for it, and the trail has it."""
    page = open_page("admin")
    page.goto("/admin/invoices/tariff/")
    page.get_by_role("link", name="Electrocardiogram").click()
    page.get_by_label("Price").fill("80.00")
    page.get_by_label("Reason for change").fill("new contract")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    [(price, reason)] = rows(
        "SELECT after->>'price', context->>'reason' FROM audit_trail.event WHERE table_name ="
        " 'invoices_tariff' AND row_key = 'Electrocardiogram' ORDER BY id DESC LIMIT 1"
    )
    assert (price, reason) == ("80.00", "new contract")


def test_all_events_are_listed_by_person_and_exported(open_page, entry, tmp_path):
    page = open_page("vera")
    page.goto("/admin/")
    page.get_by_role("link", name="Audit events").first.click()
    page.get_by_role("link", name="Jonas Lindqvist", exact=True).click()
    expect(page.get_by_role("cell", name="import:ledger")).to_have_count(0)
    expect(page.get_by_role("cell", name="agreed by phone").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    path = tmp_path / "events.csv"
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {line["person"] for line in lines} == {"Jonas Lindqvist"}
    assert lines[0]["row_key"] == str(entry)


@pytest.mark.parametrize(
    "place",
    [
        "invoices/arsubledger/{entry}/history/",
        "invoices/arsubledger/{entry}/history/{event}/",
        "invoices/arsubledger/{entry}/history/{event}/revert/",
        "django_audit_fields/auditevent/{event}/change/",
        "django_audit_fields/auditevent/",
        "invoices/tariff/Lipid panel/change/",
        "invoices/tariff/Lipid panel/delete/",
    ],
)
def test_a_page_of_the_trail_fits_the_screen_and_can_be_read(page_of, rows, story, place):
    """At both widths, in light and in dark."""
    entry = story["entry"]
    query = "SELECT max(id) FROM audit_trail.event WHERE row_key = %s"
    [(event,)] = rows(query, str(entry))
    page = page_of("admin")
    response = page.goto(f"/admin/{place.format(entry=entry, event=event)}")
    assert response.status == 200
    assert faults_in_all_looks(page, besides=NOT_OURS) == {}
