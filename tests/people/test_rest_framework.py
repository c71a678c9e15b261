"""People in serializers."""

import pytest
from django.contrib.auth.models import User
from rest_framework import serializers

from django_audit_fields import acting_as
from django_audit_fields.contrib.rest_framework import PersonField
from tests.factories import ItemFactory, PartFactory
from tests.testapp.models import Item, Part

pytestmark = pytest.mark.django_db


class ItemSerializer(serializers.ModelSerializer):
    created_by = PersonField()
    changed_by = PersonField(source="updated_by", as_name=True)

    class Meta:
        model = Item
        fields = ["name", "created_by", "changed_by"]


class PartSerializer(serializers.ModelSerializer):
    item_by = PersonField(source="item.created_by", as_name=True)

    class Meta:
        model = Part
        fields = ["item_by"]


@pytest.fixture
def amara():
    return User.objects.create_user("amara", first_name="Amara", last_name="Okafor")


def test_a_person_is_a_label_and_a_name(amara):
    """Or the name alone."""
    with acting_as(amara):
        item = ItemFactory(name="one")
    with acting_as("import"):
        item.save()
    assert ItemSerializer(item).data == {
        "name": "one",
        "created_by": {"label": str(amara.pk), "name": "Amara Okafor"},
        "changed_by": "import",
    }


def test_nobody_is_null():
    """A row that is not saved yet has no people."""
    assert ItemSerializer(Item()).data == {"name": "", "created_by": None, "changed_by": None}


def test_a_person_cannot_be_sent(amara):
    """What a client sends is ignored, also where `read_only=False` is asked for."""
    serializer = ItemSerializer(data={"name": "new", "created_by": "forged", "changed_by": "x"})
    assert serializer.is_valid()
    assert serializer.validated_data == {"name": "new"}
    assert PersonField(read_only=False).read_only
    with acting_as(amara):
        assert serializer.save().created_by == str(amara.pk)


@pytest.mark.parametrize("page", [lambda rows: rows, list], ids=["queryset", "page"])
def test_a_list_asks_once_for_each_field(django_assert_num_queries, page):
    """However many people there are; one query is for the rows."""
    for number in range(6):
        with acting_as(User.objects.create_user(f"user{number}")):
            ItemFactory()
    with django_assert_num_queries(3):
        data = ItemSerializer(page(Item.objects.order_by("pk")), many=True).data
    assert [row["created_by"]["name"] for row in data] == [f"user{n}" for n in range(6)]
    assert [row["changed_by"] for row in data] == [f"user{n}" for n in range(6)]


def test_the_people_of_a_related_row(amara, django_assert_num_queries):
    """Through `source`; what is missing is left out, as the framework does."""
    with acting_as(amara):
        PartFactory()
    PartFactory(item=None)
    rows = Part.objects.select_related("item").order_by("pk")
    with django_assert_num_queries(2):
        assert PartSerializer(rows, many=True).data == [{"item_by": "Amara Okafor"}, {}]
