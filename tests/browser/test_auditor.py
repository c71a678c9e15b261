"""An auditor's day: who did what, by person and week, on a page and as a file."""

import csv
import datetime

from playwright.sync_api import expect

from .pages import add_entry, change_entry


def test_an_auditor_finds_what_a_person_did_in_a_week(open_page):
    """By name; the newest first, with the reason; and nothing of a week before."""
    clerk, page = open_page("jonas"), open_page("vera")
    number = add_entry(clerk, "PA-30001")
    change_entry(clerk, number, reason="agreed by phone", Debit="90.00")
    page.goto("/")
    page.get_by_role("link", name="Who did what").click()
    page.get_by_label("Person").select_option("Jonas Lindqvist")
    page.get_by_role("button", name="Show", exact=True).click()
    newest = page.get_by_role("row").nth(1)
    expect(newest).to_contain_text("Jonas Lindqvist")
    expect(newest).to_contain_text(f"Changed: Ledger entry {number}")
    expect(newest).to_contain_text("agreed by phone")
    expect(newest).to_contain_text("80.00 → 90.00")
    expect(page.get_by_role("cell", name="Amara Okafor")).to_have_count(0)
    today = datetime.date.fromisoformat(page.get_by_label("To").input_value())
    week = datetime.timedelta(days=7)
    page.get_by_label("From").fill((today - 2 * week).isoformat())
    page.get_by_label("To").fill((today - week).isoformat())
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("Nothing was changed.")).to_be_visible()


def test_an_auditor_takes_a_file_along(open_page, tmp_path):
    """What is filtered, and nothing else."""
    clerk, page = open_page("jonas"), open_page("vera")
    number = add_entry(clerk, "PA-30002")
    change_entry(clerk, number, reason="=1+1", Debit="90.00")
    page.goto("/report/?action=update")
    page.get_by_label("Person").select_option("Jonas Lindqvist")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_label("Action")).to_have_value("update")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    path = tmp_path / "report.csv"
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {(line["person"], line["action"]) for line in lines} == {("Jonas Lindqvist", "Changed")}
    assert (lines[0]["row"], lines[0]["reason"], lines[0]["changes"]) == (
        f"Ledger entry {number}",
        "'=1+1",
        "debit: 80.00 → 90.00",
    )


def test_an_auditor_changes_nothing(open_page):
    """No form or link to a change is on the pages, and a typed address is refused in words."""
    number = add_entry(open_page("amara"), "PA-30003")
    page = open_page("vera")
    page.goto("/?search=PA-30003")
    expect(page.get_by_role("link", name="Add an entry")).to_have_count(0)
    page.get_by_role("link", name=f"Show entry {number}").click()
    expect(page.get_by_role("region", name="History")).to_contain_text("Amara Okafor")
    for role, name in (("button", "Save"), ("button", "Revert"), ("textbox", "Debit")):
        expect(page.get_by_role(role, name=name)).to_have_count(0)
    expect(page.get_by_text("Revert the newest change")).to_have_count(0)
    page.goto("/entries/new/")
    expect(page.get_by_role("heading", name="Your login may not do this")).to_be_visible()
    page.get_by_role("link", name="To the ledger").click()
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()
