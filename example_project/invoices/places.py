"""Where a page leads next: back to the list as it was left, with its filter and its page."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme


class BackToList:
    """For a view that is opened from a list, whose address travels along as `next`."""

    list_name: str
    request: Any

    def get_success_url(self) -> str:
        wanted = self.request.GET.get("next", "")
        # A link from elsewhere could name any place.
        is_ours = url_has_allowed_host_and_scheme(
            wanted, {self.request.get_host()}, require_https=self.request.is_secure()
        )
        return wanted if is_ours else reverse(self.list_name)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return context | {"back": self.get_success_url()}
