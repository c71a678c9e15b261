"""The settings are read when asked, and a value that cannot be used never reaches a row."""

import pytest
from django.db import connection
from django.test import override_settings

from django_audit_fields.conf import audit_settings, label_fault


@pytest.mark.django_db
def test_tests_run_on_postgresql():
    """The suite means nothing on another database."""
    assert connection.vendor == "postgresql"


def test_settings_change_with_override_settings():
    """A cached value does not outlive the setting it was read from."""
    assert audit_settings().fallback == "system"
    with override_settings(AUDIT_FIELDS={"FALLBACK": "nightly"}):
        assert audit_settings().fallback == "nightly"
    assert audit_settings().fallback == "system"


@pytest.mark.parametrize("fallback", ["", "x" * 51, "a\0b", "\ud800", 7, None])
def test_unusable_fallback_is_replaced_by_the_default(fallback):
    """The checks name it; a process that skipped them still stamps a label that can be stored."""
    with override_settings(AUDIT_FIELDS={"FALLBACK": fallback}):
        assert audit_settings().fallback == "system"


@pytest.mark.parametrize("label", ["7", "x" * 50, "Ærø ✓", "a'b\\c%s", " "])
def test_storable_text_is_a_label(label):
    """Any text of 1 to 50 characters that PostgreSQL can store will do."""
    assert label_fault(label) is None
