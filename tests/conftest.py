"""What every test may use."""

import pytest

from django_audit_fields.conf import audit_settings

pytest_plugins = ["django_audit_fields.testing"]


@pytest.fixture(autouse=True)
def _settings_are_read_anew():
    """A test that replaced the settings past `override_settings` leaves nothing to the next."""
    yield
    audit_settings.cache_clear()
