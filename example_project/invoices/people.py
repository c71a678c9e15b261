"""Turns the labels in `created_by` and `updated_by` into names that a reader knows."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model


def names_of(labels: Iterable[str | None]) -> dict[str, str]:
    """The name behind each label: a person's for a user's key, the label itself for the rest."""
    wanted = {label for label in labels if label}
    keys = [int(label) for label in wanted if label.isascii() and label.isdigit()]
    # A label may hold more digits than a key can.
    keys = [key for key in keys if key < 2**63]
    names = {
        str(user.pk): user.get_full_name() or user.get_username()
        for user in get_user_model()._default_manager.filter(pk__in=keys)
    }
    return {label: names.get(label, label) for label in wanted}
