"""The documentation's pictures: `make test-browser ARGS=--screenshots` draws them anew."""

import pytest
from playwright.sync_api import expect

from .clinic import clinic_database, web_server
from .pages import IMAGES, LOOKS, add_entry, change_entry, log_in

#: The largest that one may be, in bytes.
LARGEST = 150_000


@pytest.fixture
def open_fresh(browser):
    """`open_fresh("vera")`: a page of a clinic where no other test has been."""
    with clinic_database("pictures") as database, web_server(database) as site:

        def new_window(username, look="1280-light"):
            context = browser.new_context(base_url=site.address, locale="en-US", **LOOKS[look])
            page = context.new_page()
            log_in(page, username)
            return page

        yield new_window


def draw(page, name, height=640):
    """The upper part of the page, as high as `height` says."""
    path = IMAGES / f"{name}.png"
    part = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=path, clip=part, animations="disabled")
    assert path.stat().st_size < LARGEST, f"{path} is too large for the documentation"


def test_pictures(open_fresh):
    amara, jonas = open_fresh("amara"), open_fresh("jonas")
    visit = add_entry(amara, "PA-10042", Description="Office visit, established patient")
    add_entry(jonas, "PA-10017", Description="Electrocardiogram", Debit="76.40")
    change_entry(jonas, visit, reason="tariff of July", Debit="110.00")
    panel = add_entry(amara, "PA-10103", Description="Lipid panel", Debit="47.20")
    change_entry(jonas, panel, reason="entered on the wrong day", Description="Chest X-ray")
    amara.goto(f"/entries/{visit}/")
    amara.get_by_label("Status").select_option("Disputed")
    amara.get_by_label("Reason for change").fill("patient called, was here once")
    amara.get_by_role("button", name="Save").click()
    expect(amara.get_by_role("status")).to_contain_text("was changed")

    amara.goto(f"/entries/{visit}/")
    draw(amara, "timeline", height=760)
    for look, name, height in (("1280-dark", "ledger-dark", 640), ("390-light", "ledger-390", 844)):
        page = open_fresh("amara", look)
        draw(page, name, height)

    vera = open_fresh("vera")
    vera.goto("/report/?action=update")
    draw(vera, "report", height=560)

    admin = open_fresh("admin")
    admin.goto(f"/admin/invoices/arsubledger/{visit}/history/")
    draw(admin, "admin-timeline")
    admin.goto("/admin/invoices/tariff/Electrocardiogram/change/")
    admin.get_by_label("Price").fill("80.00")
    admin.get_by_label("Reason for change").fill("contract of 2027")
    draw(admin, "admin-reason")
    admin.get_by_role("button", name="Save", exact=True).click()
    expect(admin.get_by_text("was changed successfully")).to_be_visible()
    admin.goto("/admin/django_audit_fields/auditevent/")
    draw(admin, "admin-events")
