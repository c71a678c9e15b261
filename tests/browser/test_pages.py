"""Every page at both widths, light and dark: nothing too wide, and nothing that axe finds grave."""

import pytest
from playwright.sync_api import expect

from .pages import faults_in_all_looks, show


def open_revert(page):
    page.get_by_text("Revert the newest change").click()
    expect(page.get_by_label("Reason for the revert")).to_be_visible()


def open_fields(page):
    page.get_by_text("11 fields").last.click()
    expect(page.get_by_text("patient account").last).to_be_visible()


def save_wrong_values(page):
    page.get_by_label("Credit").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("either a debit or a credit")


def save_nothing(page):
    page.evaluate("document.querySelector('main form').noValidate = true")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("This field is required.").first).to_be_visible()


#: Whose page, where, and what is done there first.
PAGES = {
    "login": (None, "/login/", None),
    "ledger": ("amara", "/", None),
    "ledger-sorted": ("amara", "/?sort=-changer&search=PA-1&page=2", None),
    "ledger-long": ("amara", "/?search=zzzzz", None),
    "ledger-past": ("amara", "/?as_of={today}T00:00:00", None),
    "ledger-wrong": ("amara", "/?as_of=soon", None),
    "entry-new": ("amara", "/entries/new/", save_nothing),
    "entry": ("amara", "/entries/{entry}/", open_revert),
    "entry-wrong": ("amara", "/entries/{entry}/", save_wrong_values),
    "entry-long": ("amara", "/entries/{long}/", open_fields),
    "entry-to-look-at": ("vera", "/entries/{long}/", None),
    "charges": ("amara", "/charges/?page=2", None),
    "charge": ("amara", "/charges/OLD-41/", None),
    "charge-to-look-at": ("vera", "/charges/OLD-41/", None),
    "report": ("vera", "/report/", open_fields),
    "report-wrong": ("vera", "/report/?since=2026-02-01&until=2026-01-01", None),
    "forbidden": ("vera", "/entries/new/", None),
    "missing": ("amara", "/nowhere/", None),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_the_screen_and_can_be_read(page_of, story, rows, name):
    """At both widths, in light and in dark."""
    username, place, prepare = PAGES[name]
    [(today,)] = rows("SELECT current_date")
    page = page_of(username)
    show(page, "1280-light")
    page.goto(place.format(today=today, **story))
    if prepare is not None:
        prepare(page)
    assert faults_in_all_looks(page) == {}


def test_dark_is_dark(open_page):
    """What the system asks for is what the page has."""
    light, dark = (open_page(color_scheme=scheme) for scheme in ("light", "dark"))
    brightness = []
    for page in (light, dark):
        page.goto("/login/")
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(map(int, colour.strip("rgb()").split(","))))
    assert brightness[0] > 700 > 100 > brightness[1]


def test_nothing_moves_for_who_does_not_want_it(open_page):
    """Also what a project's own styles would move, such as those of the timeline."""
    style = "@keyframes turn { to { rotate: 1turn } } h1 { animation: turn 9s; transition: all 9s }"
    for wish, moving in (("no-preference", 1), ("reduce", 0)):
        page = open_page(reduced_motion=wish)
        page.goto("/login/")
        page.add_style_tag(content=style)
        assert page.evaluate("document.getAnimations().length") == moving
