"""A clerk's day: an entry is added, changed with a reason, looked at and taken back."""

import re

import pytest
from playwright.sync_api import expect

from .pages import LOOKS, NARROW, WIDE, add_entry, change_entry, is_too_wide, log_in

ENTRY = """
    SELECT debit, first_name, status FROM invoices_arsubledger
    JOIN auth_user ON auth_user.id::text = updated_by WHERE entry_number = %s
"""
NEWEST = """
    SELECT action, first_name, context->>'reason' FROM audit_trail.event
    JOIN auth_user ON auth_user.id::text = actor
    WHERE table_name = 'invoices_arsubledger' AND row_key = %s ORDER BY event.id DESC LIMIT 1
"""


@pytest.mark.parametrize("look", ["1280-light", "390-dark"])
def test_a_clerk_adds_changes_and_reverts(open_page, rows, look):
    """The page tells what was done, and the row and its trail hold it."""
    page = open_page(**LOOKS[look])
    log_in(page, "amara")
    number = add_entry(page, "PA-20001")

    page.goto("/?search=PA-20001")
    page.get_by_role("link", name=f"Edit entry {number}").click()
    page.get_by_label("Debit").fill("90.00")
    page.get_by_label("Status").select_option("Disputed")
    page.get_by_label("Reason for change").fill("agreed by phone")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(f"Entry {number} was changed.")
    expect(page).to_have_url(re.compile(r"/\?search=PA-20001$"))
    assert rows(NEWEST, str(number)) == [("update", "Amara", "agreed by phone")]

    page.get_by_role("link", name=f"Edit entry {number}").click()
    history = page.get_by_role("region", name="History")
    newest = history.get_by_role("listitem").first
    expect(newest).to_contain_text("Amara Okafor")
    expect(newest).to_contain_text("Reason: agreed by phone")
    expect(newest.get_by_role("definition")).to_contain_text(
        [re.compile(r"80\.00\s+→\s+after:\s+90\.00"), re.compile(r"Open\s+→\s+after:\s+Disputed")]
    )
    # A value takes the line that it needs: no line break of the template is seen.
    assert newest.get_by_role("definition").first.bounding_box()["height"] < 40

    history.get_by_text("Revert the newest change").click()
    history.get_by_label("Reason for the revert").fill("another patient's")
    history.get_by_role("button", name="Revert").click()
    expect(page.get_by_role("status")).to_have_text(f"The change of entry {number} was reverted.")
    expect(page.get_by_label("Debit")).to_have_value("80.00")
    assert [(str(debit), *rest) for debit, *rest in rows(ENTRY, number)] == [
        ("80.00", "Amara", "open")
    ]
    assert rows(NEWEST, str(number)) == [("update", "Amara", "another patient's")]
    page.get_by_role("link", name="Cancel").click()
    expect(page).to_have_url(re.compile(r"/\?search=PA-20001$"))


def test_a_newer_change_is_not_reverted_unseen(open_page, rows):
    """Another clerk was faster: the page says so, and nothing is lost."""
    amara, jonas = open_page("amara"), open_page("jonas")
    number = add_entry(amara, "PA-20002")
    change_entry(amara, number, Debit="90.00")
    amara.goto(f"/entries/{number}/")
    change_entry(jonas, number, Debit="95.00")
    amara.get_by_text("Revert the newest change").click()
    amara.get_by_label("Reason for the revert").fill("typo")
    amara.get_by_role("button", name="Revert").click()
    expect(amara.get_by_role("alert")).to_contain_text("The row has changed since")
    assert [(str(debit), who) for debit, who, _ in rows(ENTRY, number)] == [("95.00", "Jonas")]


def test_the_ledger_as_it_was(open_page, rows):
    """Marked, with the old values, and with nothing to click on that would change them."""
    page = open_page("amara")
    number = add_entry(page, "PA-20003")
    [(then,)] = rows("SELECT date_trunc('second', clock_timestamp()) + interval '1 second'")
    # The field knows seconds: the change has to come in a later one.
    rows("SELECT pg_sleep(greatest(0, extract(epoch FROM %s - clock_timestamp())))", then)
    change_entry(page, number, Debit="90.00")
    page.goto("/?search=PA-20003")
    expect(page.get_by_role("cell", name="90.00")).to_be_visible()
    page.get_by_label("As it was on (UTC)").fill(then.strftime("%Y-%m-%dT%H:%M:%S"))
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("The ledger as it was on")).to_be_visible()
    expect(page.get_by_role("cell", name="80.00")).to_be_visible()
    expect(page.get_by_role("link", name=f"Edit entry {number}")).to_have_count(0)
    expect(page.get_by_role("link", name="Add an entry")).to_have_count(0)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_the_ledger_is_filtered_and_sorted_by_person(open_page, viewport):
    """By name, also where rows are cards; a page of the list is kept."""
    page = open_page("jonas", viewport=viewport)
    number = add_entry(page, "PA-20004")
    page.get_by_label("Person").select_option("Jonas Lindqvist")
    page.get_by_label("What they did").select_option("Created")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("link", name=f"Edit entry {number}")).to_be_visible()
    expect(page.get_by_role("cell", name="import:ledger")).to_have_count(0)
    page.get_by_role("link", name="Show all").click()
    head = page.get_by_role("columnheader", name="Changed by")
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("row").nth(1)).to_contain_text("import:ledger")


class Keyboard:
    """A person without a mouse."""

    def __init__(self, page):
        self.page = page

    def go_to(self, locator):
        """Press Tab until it has the focus, which is seen at each stop."""
        for _ in range(80):
            self.page.keyboard.press("Tab")
            assert self.page.evaluate(
                "() => { const style = getComputedStyle(document.activeElement);"
                " return document.activeElement === document.body"
                " || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) }"
            ), self.page.evaluate("document.activeElement.outerHTML")
            if locator.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {locator}.")

    def fill(self, label, text):
        self.go_to(self.page.get_by_label(label, exact=True))
        self.page.keyboard.type(text)

    def press(self, locator):
        self.go_to(locator)
        self.page.keyboard.press("Enter")


@pytest.mark.parametrize("look", ["1280-dark", "390-light"])
def test_a_day_without_a_mouse(open_page, rows, look):
    """Each step can be reached with Tab and done with Enter, and the focus is always seen."""
    page = open_page(**LOOKS[look])
    keyboard = Keyboard(page)
    page.goto("/login/")
    keyboard.press(page.get_by_role("link", name="Skip to the content"))
    keyboard.fill("Username", "jonas")
    keyboard.fill("Password", "clinic")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()
    keyboard.press(page.get_by_role("link", name="Add an entry"))
    expect(page.get_by_role("heading", name="New entry")).to_be_visible()
    keyboard.fill("Patient account", "PA-20005")
    keyboard.fill("Entry date", "07012026")
    keyboard.fill("Description", "Office visit")
    keyboard.fill("Debit", "80")
    page.keyboard.press("Enter")
    message = page.get_by_role("status")
    expect(message).to_contain_text("was added")
    number = int(re.search(r"\d+", message.inner_text())[0])
    keyboard.fill("Account or description", "PA-20005")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("search=PA-20005"))
    keyboard.press(page.get_by_role("link", name=f"Edit entry {number}"))
    expect(page.get_by_role("heading", name=f"Entry {number}")).to_be_visible()
    keyboard.go_to(page.get_by_label("Status"))
    page.keyboard.type("Settled")
    keyboard.fill("Reason for change", "paid")
    page.keyboard.press("Enter")
    expect(message).to_contain_text("was changed")
    keyboard.press(page.get_by_role("link", name=f"Edit entry {number}"))
    expect(page.get_by_text("Reason: paid")).to_be_visible()
    expect(page.get_by_label("Status")).to_have_value("settled")
    keyboard.press(page.locator("summary", has_text="Revert the newest change"))
    keyboard.fill("Reason for the revert", "not yet")
    page.keyboard.press("Enter")
    expect(message).to_contain_text("was reverted")
    assert rows(NEWEST, str(number)) == [("update", "Jonas", "not yet")]
    assert [status for *_, status in rows(ENTRY, number)] == ["open"]
    assert not is_too_wide(page)
