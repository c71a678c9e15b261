"""Rows stored as given: `preserve_audit_fields()`, fixtures and other raw saves."""

import io
from datetime import timedelta

import pytest
from django.core import management, serializers

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import assert_equals_row, people_of, row_of
from tests.factories import FORGED, LONG_AGO, ItemFactory
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db


def test_loaddata_stores_what_the_fixture_says(tmp_path):
    """Also over an existing row, where every other save would keep who made it."""
    item = ItemFactory()
    for name, value in FORGED.items():
        setattr(item, name, value)
    fixture = tmp_path / "items.json"
    fixture.write_text(serializers.serialize("json", [item, Item(pk=item.pk + 1, **FORGED)]))
    with acting_as("loader"):
        management.call_command("loaddata", fixture, verbosity=0, stdout=io.StringIO())
    for loaded in Item.objects.all():
        # JSON keeps milliseconds, and 789 microseconds are less than one.
        assert row_of(loaded) == {
            name: value.replace(microsecond=0) if name.endswith("_at") else value
            for name, value in FORGED.items()
        }


def test_loaddata_fills_what_the_fixture_leaves_out(tmp_path):
    """A fixture from before the package has none of the four."""
    fixture = tmp_path / "items.json"
    fixture.write_text('[{"model": "testapp.item", "pk": 7, "fields": {"name": "old"}}]')
    with acting_as("loader"):
        management.call_command("loaddata", fixture, verbosity=0, stdout=io.StringIO())
    assert people_of(Item.objects.get(pk=7)) == ("loader", "loader")


def test_preserve_stores_what_is_given():
    """Insert, update, bulk and queryset, as given; the instance agrees."""
    with acting_as("importer"), preserve_audit_fields():
        saved = Item.objects.create(**FORGED)
        bulk = Item.objects.bulk_create([Item(**FORGED), Item(created_by="half")])
        assert row_of(saved) == FORGED
        assert row_of(bulk[0]) == FORGED
        assert people_of(bulk[1]) == ("half", "importer")
        assert_equals_row(bulk[1])
        saved.created_by = "corrected"
        saved.updated_at = LONG_AGO - timedelta(days=1)
        saved.save()
        assert row_of(saved) == {
            **FORGED,
            "created_by": "corrected",
            "updated_at": LONG_AGO - timedelta(days=1),
        }
        assert_equals_row(saved)
        Item.objects.filter(pk=saved.pk).update(updated_by="repair")
        assert row_of(saved)["updated_by"] == "repair"
        saved.updated_by = None
        saved.save()
        assert people_of(saved) == ("corrected", "repair")
        assert_equals_row(saved)
    with acting_as("changer"):
        saved.save()
    assert people_of(saved) == ("corrected", "changer")
