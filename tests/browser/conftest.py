"""Chromium, and the example behind gunicorn on a database of its own.

Django's ORM is not used here: a test looks at the pages, and reads rows with a plain connection.
"""

from __future__ import annotations

import functools

import psycopg
import pytest
from django.conf import settings

IS_ASKED_FOR = settings.SETTINGS_MODULE == "tests.browser.settings"
# These tests want a browser, which the ordinary ones do without.
collect_ignore_glob = [] if IS_ASKED_FOR else ["*.py"]

if IS_ASKED_FOR:
    from playwright.sync_api import Error, expect, sync_playwright

    from .clinic import clinic_database, web_server
    from .pages import ARGUMENTS, WIDE, add_entry, change_entry, chromium, log_in

    expect.set_options(timeout=15_000)


def pytest_addoption(parser):
    parser.addoption(
        "--screenshots", action="store_true", help="also draw the documentation's pictures anew"
    )


def pytest_ignore_collect(collection_path, config):
    # Pictures are drawn for the documentation only: each has another time in it.
    are_wanted = config.getoption("--screenshots", default=False)
    return True if collection_path.name == "test_pictures.py" and not are_wanted else None


@pytest.fixture(scope="session")
def database():
    with clinic_database("browser") as address:
        yield address


@pytest.fixture(scope="session")
def site(database):
    """The address of the example on a real web server."""
    with web_server(database) as running:
        yield running.address


@pytest.fixture
def rows(database):
    """`rows(query, *values)`: what PostgreSQL answers, past Django and past the site."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        except Error as error:
            pytest.exit(
                "No Chromium starts: install one (apt-get install chromium), name one with "
                f"PLAYWRIGHT_CHROMIUM, or run `playwright install chromium`.\n{error}",
                returncode=1,
            )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def login(browser, site):
    """`login("amara")`: the cookies of a person, who logs in once."""
    known = {}

    def cookies(username):
        if username not in known:
            context = browser.new_context(base_url=site)
            log_in(context.new_page(), username)
            known[username] = context.storage_state()
            context.close()
        return known[username]

    return cookies


@pytest.fixture(scope="session")
def new_page(browser, site, login):
    """`new_page("amara")`: a person's window, or nobody's. A page's own error fails the tests."""
    errors = []

    def window(username=None, *, viewport=WIDE, **options):
        context = browser.new_context(
            base_url=site,
            viewport=viewport,
            locale="en-US",
            storage_state=login(username) if username else None,
            **options,
        )
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.set_default_timeout(15_000)
        return context.new_page()

    yield window
    assert errors == []


@pytest.fixture
def open_page(new_page):
    """The same, for one test."""
    pages = []

    def window(*args, **options):
        pages.append(new_page(*args, **options))
        return pages[-1]

    yield window
    for page in pages:
        page.context.close()


@pytest.fixture(scope="session")
def page_of(new_page):
    """`page_of("vera")`: one window for each person, for tests that only look."""
    return functools.cache(new_page)


@pytest.fixture(scope="session")
def story(page_of):
    """The numbers of two entries with a history; of one all texts are as long as can be."""
    people = {name: page_of(name) for name in ("amara", "jonas")}
    number = add_entry(people["amara"], "PA-40001")
    change_entry(people["amara"], number, reason="agreed by phone", Debit="90.00")
    change_entry(people["jonas"], number, reason="remittance of July", Debit="85.00")
    long = add_entry(people["amara"], "P" * 20, Description="x" * 200, Debit="9" * 10)
    change_entry(people["jonas"], long, reason="y" * 300, Description="z" * 200)
    charge = people["jonas"]
    charge.goto("/charges/OLD-41/")
    charge.get_by_label("Amount").fill("12.00")
    charge.get_by_role("button", name="Save").click()
    expect(charge.get_by_role("status")).to_have_text("Charge OLD-41 was changed.")
    return {"entry": number, "long": long}
