"""A person at a browser: cookies, pages, and forms that are filled in and sent."""

from __future__ import annotations

import html.parser
import http.cookiejar
import re
import urllib.parse
import urllib.request
from typing import Any


class PageError(RuntimeError):
    """A page is not what a person would expect there."""


class FormReader(html.parser.HTMLParser):
    """Collects each form's fields as they stand."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append({})
        elif not self.forms:
            return
        elif tag == "input" and (name := given.get("name")):
            if given.get("type") not in ("submit", "checkbox") or "checked" in given:
                self.forms[-1][name] = given.get("value") or ""
        elif tag == "select":
            self._select = given.get("name")
        elif tag == "option" and self._select and "selected" in given:
            self.forms[-1][self._select] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None


class Browser:
    """One person's: each has cookies of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))

    def open(self, path: str, data: dict[str, str] | None = None) -> tuple[str, str]:
        """The address where the page was found in the end, and its text."""
        url = urllib.parse.urljoin(self.address, path)
        body = None if data is None else urllib.parse.urlencode(data).encode()
        request = urllib.request.Request(url, body, {"Referer": url})  # noqa: S310 # ours
        with self._opener.open(request, timeout=30) as response:
            return response.geturl(), response.read().decode()

    def send(self, path: str, **values: Any) -> str:
        """Open the page, fill in its form, send it, and answer the page that follows."""
        url, page = self.open(path)
        reader = FormReader()
        reader.feed(page)
        form = next((form for form in reader.forms if values.keys() <= form.keys()), None)
        if form is None:
            raise PageError(f"{url} has no form with {', '.join(values)}.")
        after, page = self.open(url, form | {name: str(value) for name, value in values.items()})
        if after == url:
            # Both ours and the admin's error lists stand in elements of a class of that name.
            errors = re.findall(r'class="error[^>]*>(.*?)</(?:div|ul)>', page, re.DOTALL)
            text = " ".join(re.sub(r"<[^>]+>", " ", " ".join(errors)).split())
            raise PageError(f"{url} did not accept the form: {text or 'it was shown again'}")
        return page

    def log_in(self, username: str, password: str) -> None:
        self.send("/login/", username=username, password=password)
