"""What a person does on the example's pages, and what is asked of a page as it stands."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

PROJECT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = PROJECT / "example_project"
IMAGES = PROJECT / "docs" / "images"

PASSWORD = "clinic"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
#: What a test is tried with where the look may matter: the options of a window.
LOOKS = {
    f"{viewport['width']}-{scheme}": {"viewport": viewport, "color_scheme": scheme}
    for viewport in (WIDE, NARROW)
    for scheme in ("light", "dark")
}


def chromium():
    """The browser's program; None for the one that playwright has installed."""
    if program := os.environ.get("PLAYWRIGHT_CHROMIUM"):
        return program
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def log_in(page, username):
    page.goto("/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def add_entry(page, account, **values):
    """Fill the form of a new entry, and answer the entry's number."""
    page.goto("/")
    page.get_by_role("link", name="Add an entry").click()
    given = {
        "Patient account": account,
        "Entry date": "2026-07-01",
        "Description": "Office visit",
        "Debit": "80.00",
        **values,
    }
    for label, value in given.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Save").click()
    message = page.get_by_role("status")
    expect(message).to_have_text(re.compile(r"^Entry \d+ was added\.$"))
    return int(re.search(r"\d+", message.inner_text())[0])


def change_entry(page, number, reason="", **values):
    page.goto(f"/entries/{number}/")
    for label, value in values.items():
        page.get_by_label(label).fill(value)
    page.get_by_label("Reason for change").fill(reason)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(f"Entry {number} was changed.")


def show(page, look):
    """Give an open page another look, and let colours arrive that the admin changes slowly."""
    page.set_viewport_size(LOOKS[look]["viewport"])
    page.emulate_media(color_scheme=LOOKS[look]["color_scheme"])
    page.evaluate("Promise.all(document.getAnimations().map(each => each.finished))")


def faults_in_all_looks(page, **options):
    """By look: whether the page is too wide, and what axe finds.

    axe takes its time, and what it finds hangs on the width or on the colours: each is had once.
    """
    found = {}
    for look in LOOKS:
        show(page, look)
        faults = ["It is wider than the screen."] if is_too_wide(page) else []
        if look in ("1280-light", "390-dark"):
            faults += faults_of(page, **options)
        found |= {look: faults} if faults else {}
    return found


def faults_of(page, *, besides=()):
    """What axe calls serious or critical on the page; `besides` are parts that are not ours."""
    # Of all else it names one place only, which is quicker.
    options = {"resultTypes": ["violations"]}
    context = {"exclude": [[part] for part in besides]}
    found = Axe().run(page, context=context, options=options).response
    # Otherwise an empty answer would pass.
    assert found["passes"]
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def is_too_wide(page):
    """Whether the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
