"""The pytest plugin, in use: this suite loads it in its conftest."""

import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from django_audit_fields import acting_as, current_actor
from tests.database import people_of
from tests.factories import ItemFactory
from tests.testapp.models import Item

pytestmark = [pytest.mark.django_db, pytest.mark.acting_as("suite")]


def test_a_mark_of_the_module_says_who_is_acting():
    assert people_of(ItemFactory()) == ("suite", "suite")


@pytest.mark.acting_as("import:march")
def test_the_closest_mark_counts():
    assert people_of(ItemFactory()) == ("import:march", "import:march")


def test_a_user_acts(acting_user):
    """And may be shown by name."""
    assert people_of(ItemFactory()) == (str(acting_user.pk),) * 2
    assert User.objects.get() == acting_user


def test_who_acts_may_change(act_as):
    """The last one counts; what is no actor is refused and changes nothing."""
    act_as("first")
    act_as("second")
    with pytest.raises(ValueError, match="label"):
        act_as("")
    assert current_actor() == "second"
    with acting_as("inner"):
        assert current_actor() == "inner"
    assert current_actor() == "second"


def test_nobody_is_left_over():
    """Neither from a fixture of the test before."""
    assert current_actor() == "suite"


def test_a_request_inside_carries_the_mark(client):
    """As under any `acting_as`: tests of what a request stamps go without a mark."""
    client.force_login(User.objects.create_superuser("ada"))
    inlines = {"parts-TOTAL_FORMS": "0", "parts-INITIAL_FORMS": "0"}
    response = client.post(
        reverse("admin:testapp_item_add"), {"name": "new", "amount": "1", **inlines}
    )
    assert response.status_code == 302
    assert people_of(Item.objects.get()) == ("suite", "suite")


def test_the_package_does_not_import_pytest():
    """Only who asks for the plugin does."""
    program = (
        "import sys; from django.conf import settings; import django;"
        "settings.configure(INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes',"
        " 'django_audit_fields']); django.setup();"
        "import django_audit_fields.models, django_audit_fields.people;"
        "sys.exit('pytest' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
