from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def named(names: dict[str, str], label: str | None) -> str:
    """The name behind a label, or the label itself."""
    return names.get(label, label) if label else ""
