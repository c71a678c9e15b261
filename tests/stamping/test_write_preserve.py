"""Rows stored as given: `preserve_audit_fields()`, fixtures and other raw saves."""

import io
from datetime import date, datetime, timedelta

import pytest
from django.core import management, serializers
from django.db import connection, models

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import assert_equals_row, people_of, row_of
from tests.factories import FORGED, LONG_AGO, ItemFactory
from tests.stamping.oddapp.models import RefusingChild, Thing
from tests.testapp.models import Item, SpecialItem

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


def corrected(item):
    return {**row_of(item), "created_by": "corrected", "updated_by": "corrected"}


def by_save(item):
    item.save()


def by_update_fields(item):
    item.save(update_fields=["created_by", "updated_by"])


def by_bulk_update(item):
    type(item).objects.bulk_update([item], ["created_by", "updated_by"])


def by_upsert(item):
    again = Item(pk=item.pk, name=item.name, **corrected(item))
    Item.objects.bulk_create(
        [again],
        update_conflicts=True,
        update_fields=["created_by", "updated_by"],
        unique_fields=["pk"],
    )
    assert_equals_row(again)


def by_update_or_create(item):
    people = {"created_by": "corrected", "updated_by": "corrected"}
    found, is_new = Item.objects.update_or_create(pk=item.pk, defaults=people)
    assert not is_new
    assert_equals_row(found)


@pytest.mark.parametrize(
    "repair", [by_save, by_update_fields, by_bulk_update, by_upsert, by_update_or_create]
)
@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_repair_by_any_path_is_stored_as_given(repair, is_loaded):
    """And known from then on: the next ordinary save keeps the corrected maker."""
    with acting_as("maker"):
        item = ItemFactory()
    if is_loaded:
        item = Item.objects.get()
    expected = corrected(item)
    item.created_by = item.updated_by = "corrected"
    with acting_as("repairer"), preserve_audit_fields():
        repair(item)
    assert row_of(item) == expected
    assert_equals_row(item)
    if repair in (by_save, by_update_fields, by_bulk_update):
        with acting_as("changer"):
            item.save()
        assert people_of(item) == ("corrected", "changer")
        assert_equals_row(item)


def test_a_write_that_names_nobody_keeps_them_under_preserve():
    """A repair of another column leaves all four as they are, row and memory."""
    with acting_as("maker"):
        item, special = ItemFactory(), SpecialItem.objects.create(extra="a")
    rows = row_of(item), row_of(special)
    with acting_as("repairer"), preserve_audit_fields():
        item.save(update_fields=["amount"])
        Item.objects.bulk_update([item], ["amount"])
        Item.objects.filter(pk=item.pk).update(amount=3)
        special.save(update_fields=["extra"])
        SpecialItem.objects.update(extra="b")
        special.save()
    assert (row_of(item), row_of(special)) == rows
    assert_equals_row(item)
    assert_equals_row(special)


def test_what_bulk_update_is_given_under_preserve():
    """An expression is read back, None keeps the row's value."""
    with acting_as("maker"):
        item, other = ItemFactory(name="n"), ItemFactory(name="o")
    item.created_by, item.updated_by = models.F("name"), None
    other.created_at, other.updated_at = LONG_AGO, LONG_AGO
    with acting_as("repairer"), preserve_audit_fields():
        Item.objects.bulk_update([other], ["created_at", "updated_at"])
        Item.objects.bulk_update([item], ["created_by"])
    assert people_of(item) == ("n", "maker")
    assert row_of(other) == {**FORGED, "created_by": "maker", "updated_by": "maker"}
    for instance in (item, other):
        assert_equals_row(instance)
        with acting_as("changer"):
            instance.save()
        assert_equals_row(instance)


def test_a_child_table_is_stored_as_given():
    """The parent's columns, through the child."""
    with preserve_audit_fields():
        child = RefusingChild.objects.create(name="a", extra="x", **FORGED)
    assert row_of(child) == FORGED
    assert_equals_row(child)


@pytest.mark.django_db(transaction=True)
def test_rows_that_come_back_after_a_rollback_keep_their_stamps():
    """Django's `serialized_rollback` writes raw, what it has read as JSON."""
    with acting_as("maker"):
        thing = Thing.objects.create(name="a")
        with preserve_audit_fields():
            Thing.objects.create(name="b", **FORGED)
    before = {item.name: row_of(item) for item in Thing.objects.all()}
    text = serializers.serialize("json", Thing.objects.all())
    thing.delete()
    Thing.objects.all().delete()
    with acting_as("restorer"):
        connection.creation.deserialize_db_from_string(text)
    for item in Thing.objects.all():
        row = row_of(item)
        assert people_of(item) == (before[item.name]["created_by"], before[item.name]["updated_by"])
        # JSON keeps milliseconds.
        assert before[item.name]["created_at"] - row["created_at"] < timedelta(milliseconds=1)


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
@pytest.mark.parametrize(
    "given",
    ["2020-01-01T00:00:00Z", date(2020, 1, 1), datetime(2020, 1, 1)],
    ids=["text", "date", "naive"],
)
def test_times_given_in_another_form_are_those_of_the_row(given):
    """As an import may have them; later writes go on, and memory is what was stored."""
    values = {"created_at": given, "updated_at": given, "created_by": "5", "updated_by": "7"}
    with preserve_audit_fields():
        saved = Item.objects.create(**values)
        (bulk,) = Item.objects.bulk_create([Item(**values)])
        filled = Item.objects.create(created_at=given)
        updated, stored = ItemFactory(), ItemFactory()
        for item in (updated, stored):
            for name, value in values.items():
                setattr(item, name, value)
        updated.save()
        Item.objects.bulk_update([stored], values)
    assert row_of(filled)["updated_at"] == row_of(filled)["created_at"]
    for item in (saved, bulk, updated, stored):
        assert people_of(item) == ("5", "7")
        assert row_of(item)["created_at"] == row_of(item)["updated_at"]
        assert_equals_row(item)
    with acting_as("changer"):
        saved.save()
        Item.objects.bulk_update([bulk, updated], ["name"])
        stored.save(update_fields=["name"])
    for item in (saved, bulk, updated, stored):
        assert people_of(item) == ("5", "changer")
        assert_equals_row(item)
