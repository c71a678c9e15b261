"""The admin shows the four columns and lets nobody change them."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from django_audit_fields import acting_as
from tests.database import people_of
from tests.factories import ItemFactory, PartFactory
from tests.testapp.models import Item, Part

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return User.objects.create_superuser("ada", password="x")


@pytest.fixture
def client(client, ada):
    client.force_login(ada)
    return client


def change_data(item, **values):
    prefix = "parts"
    return {
        "name": item.name,
        "amount": item.amount,
        f"{prefix}-TOTAL_FORMS": "0",
        f"{prefix}-INITIAL_FORMS": "0",
        **values,
    }


def test_adding_stamps_the_user(client, ada):
    """Through the form, the inline formset and the middleware."""
    response = client.post(
        reverse("admin:testapp_item_add"),
        change_data(
            Item(name="new"),
            **{"parts-TOTAL_FORMS": "1", "parts-0-name": "inline", "parts-0-item": ""},
        ),
    )
    assert response.status_code == 302
    assert people_of(Item.objects.get()) == (str(ada.pk), str(ada.pk))
    assert people_of(Part.objects.get()) == (str(ada.pk), str(ada.pk))


def test_changing_stamps_the_user_and_ignores_forged_values(client, ada):
    """What a browser sends for a read-only column is not read."""
    with acting_as("maker"):
        item = ItemFactory()
    response = client.post(
        reverse("admin:testapp_item_change", args=[item.pk]),
        change_data(item, name="changed", created_by="forged", updated_by="forged"),
    )
    assert response.status_code == 302
    assert people_of(item) == ("maker", str(ada.pk))


def test_list_editable_and_actions_stamp_the_user(client, ada):
    """The list writes too."""
    with acting_as("maker"):
        one, two = ItemFactory(), ItemFactory()
    address = reverse("admin:testapp_item_changelist")
    response = client.post(
        address,
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "1",
            "form-0-id": one.pk,
            "form-0-amount": "9",
            "_save": "Save",
        }
        | {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "2"}
        | {"form-1-id": two.pk, "form-1-amount": two.amount},
    )
    assert response.status_code == 302
    assert people_of(one) == ("maker", str(ada.pk))
    assert people_of(two) == ("maker", "maker")
    client.post(address, {"action": "double", "_selected_action": [two.pk]})
    assert people_of(two) == ("maker", str(ada.pk))


def test_people_are_shown_by_name(client, ada):
    """A label that names no user is shown as it is."""
    with acting_as(ada):
        item = ItemFactory()
    with acting_as("import:claims"):
        item.save()
    page = client.get(reverse("admin:testapp_item_change", args=[item.pk])).content.decode()
    assert '<div class="readonly">ada</div>' in page
    assert '<div class="readonly">import:claims</div>' in page
    assert 'name="created_by"' not in page


def test_a_list_asks_for_its_people_once(client, ada, django_assert_max_num_queries):
    """However many rows there are, and whoever wrote them."""
    for number in range(12):
        with acting_as(User.objects.create_user(f"user{number}")):
            ItemFactory()
    with django_assert_max_num_queries(9):
        page = client.get(reverse("admin:testapp_item_changelist")).content.decode()
    for number in range(12):
        assert f'field-created_by_name">user{number}<' in page


def test_fieldsets_may_name_the_columns(client, ada):
    """Nested as Django allows, and the columns not named are still no input."""
    with acting_as(ada):
        part = PartFactory(item=None)
    page = client.get(reverse("admin:testapp_part_change", args=[part.pk])).content.decode()
    assert '<div class="readonly">ada</div>' in page
    assert client.get(reverse("admin:testapp_part_add")).status_code == 200
