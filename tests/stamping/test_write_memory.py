"""What an instance knows of its row: loaded, deferred, copied, failed."""

import copy
import pickle
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import assert_equals_row, needs_trigger, people_of, row_of
from tests.factories import FORGED, LONG_AGO, ItemFactory, PartFactory
from tests.stamping.oddapp.models import Unchanging
from tests.testapp.models import Item, Labelled, Part, SpecialItem

pytestmark = pytest.mark.django_db


def test_an_instance_that_was_never_loaded():
    """An UPDATE by key alone: who made the row is read when asked, and never overwritten."""
    with acting_as("maker"):
        made = ItemFactory()
    item = Item(pk=made.pk, name="by key")
    with acting_as("changer"):
        item.save()
    assert people_of(made) == ("maker", "changer")
    assert_equals_row(item)


@pytest.mark.parametrize("names", [["amount"], ["amount", "created_by"], ["amount", "updated_at"]])
def test_a_deferred_instance(names):
    """Columns that were never read are stamped too, and nothing is fetched to do it."""
    with acting_as("maker"):
        pk = ItemFactory().pk
    item = Item.objects.only(*names).get(pk=pk)
    item.amount = 5
    with acting_as("changer"), CaptureQueriesContext(connection) as queries:
        item.save()
    assert len(queries) == 1
    assert people_of(item) == ("maker", "changer")
    assert_equals_row(item)


def test_a_forged_value_in_a_deferred_column_is_undone():
    """The maker was never read, and is not what the caller says either."""
    with acting_as("maker"):
        pk = ItemFactory().pk
    item = Item.objects.only("amount").get(pk=pk)
    item.created_by = "forged"
    with acting_as("changer"):
        item.save()
    assert people_of(item) == ("maker", "changer")
    assert_equals_row(item)


def test_a_changed_key_does_not_carry_its_memory_along():
    """Saved under another row's key, the instance shows that row's maker."""
    with acting_as("first"):
        one = ItemFactory()
    with acting_as("second"):
        two = ItemFactory()
    one.pk = two.pk
    with acting_as("changer"):
        one.save()
    assert people_of(two) == ("second", "changer")
    assert_equals_row(one)


@pytest.mark.parametrize(
    "travel",
    [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))],  # noqa: S301
)
def test_memory_travels_with_the_instance(travel):
    """A copy or a pickle knows what was loaded."""
    with acting_as("maker"):
        item = travel(ItemFactory())
    item.created_by = "forged"
    with acting_as("changer"):
        item.save()
    assert people_of(item) == ("maker", "changer")
    assert_equals_row(item)


def test_refresh_from_db_renews_what_is_remembered():
    """A forged value is gone, and so is the floor of an older row."""
    with acting_as("maker"):
        item = ItemFactory()
        with acting_as("changer"):
            Item.objects.filter(pk=item.pk).update(amount=3)
    item.created_by = "forged"
    item.refresh_from_db()
    assert_equals_row(item)
    item.created_by = "forged"
    item.refresh_from_db(fields=["amount"])
    with acting_as("last"):
        item.save()
    assert people_of(item) == ("maker", "last")
    assert_equals_row(item)


def test_updated_at_moves_forward_when_the_clock_steps_back(monkeypatch):
    """Past the value that was loaded, also on a host whose clock is behind."""
    item = ItemFactory()
    floors = [item.updated_at]
    monkeypatch.setattr(timezone, "now", lambda: LONG_AGO)
    for write in (
        item.save,
        lambda: item.save(update_fields=["amount"]),
        lambda: Item.objects.bulk_update([item], ["amount"]),
    ):
        write()
        assert item.updated_at > floors[-1]
        assert_equals_row(item)
        floors.append(item.updated_at)


@needs_trigger
def test_an_update_of_rows_that_nobody_loaded_does_not_go_back_either(monkeypatch):
    """Python knows no floor; the trigger does."""
    item = ItemFactory()
    monkeypatch.setattr(timezone, "now", lambda: LONG_AGO)
    Item.objects.filter(pk=item.pk).update(amount=8)
    assert row_of(item)["updated_at"] >= item.updated_at


def test_failed_insert_leaves_the_instance_as_it_was():
    """What was never written is not claimed."""
    ItemFactory(code="taken")
    items = [Item(code="taken"), Item(code="taken", created_by="mine")]
    for write in (items[0].save, lambda: Item.objects.bulk_create([items[1]])):
        with pytest.raises(IntegrityError), transaction.atomic():
            write()
    assert (items[0].created_by, items[0].created_at) == (None, None)
    assert items[1].created_by == "mine"


def test_an_unsaved_instance_has_no_stamp_and_is_valid():
    """Validation does not ask for what the database fills in."""
    item = Item(name="a", amount=1, code="c")
    assert [getattr(item, name) for name in FORGED] == [None] * 4
    item.full_clean()


def test_people_can_ask_for_their_rows():
    """By user or label, and since when."""
    with acting_as("maker"):
        item = ItemFactory()
    with acting_as("changer"):
        item.save()
    assert list(Item.objects.created_by_actor("maker")) == [item]
    assert list(Item.objects.filter(amount=1).updated_by_actor("changer")) == [item]
    assert not Item.objects.created_by_actor("changer").exists()
    assert list(Item.objects.updated_since(item.updated_at)) == [item]
    assert not Item.objects.updated_since(item.updated_at + timedelta(microseconds=1)).exists()


LOADS = [
    pytest.param(lambda: Item.objects.get(), id="get"),
    pytest.param(lambda: next(Item.objects.iterator()), id="iterator"),
    pytest.param(lambda: Item.objects.in_bulk()[Item.objects.get().pk], id="in_bulk"),
    pytest.param(lambda: Item.objects.raw("SELECT *, 1 AS one FROM testapp_item")[0], id="raw"),
    pytest.param(lambda: Item.objects.raw("SELECT id, name FROM testapp_item")[0], id="raw-some"),
    pytest.param(lambda: Part.objects.select_related("item").get().item, id="select_related"),
    pytest.param(lambda: Part.objects.prefetch_related("item").get().item, id="prefetch_related"),
    pytest.param(lambda: Part.objects.get().item, id="foreign-key"),
    pytest.param(lambda: SpecialItem.objects.get(), id="child"),
    pytest.param(lambda: Item.objects.select_related("specialitem").get().specialitem, id="cast"),
    pytest.param(lambda: SpecialItem.objects.defer("extra", "updated_by").get(), id="deferred"),
]


@pytest.mark.parametrize("load", LOADS)
def test_however_it_was_loaded(load):
    """The row is known: a forged maker is undone, and memory is right after the save."""
    with acting_as("maker"):
        PartFactory(item=SpecialItem.objects.create(name="s", extra="x").item_ptr)
    item = load()
    item.created_by, item.created_at = "forged", LONG_AGO
    with acting_as("changer"):
        item.save()
    assert people_of(item) == ("maker", "changer")
    assert_equals_row(item)


def test_what_bulk_update_is_given_may_be_generators():
    """Objects and names, each read once."""
    with acting_as("maker"):
        items = ItemFactory.create_batch(3)
    with acting_as("changer"):
        count = Item.objects.bulk_update(iter(items), (name for name in ["amount", "name"]))
    assert count == 3
    for item in items:
        assert people_of(item) == ("maker", "changer")
        assert_equals_row(item)


def test_bulk_update_of_keys_alone():
    """Instances that were never loaded: who made the rows is read when asked."""
    with acting_as("maker"):
        made = ItemFactory()
    item = Item(pk=made.pk, amount=9)
    with acting_as("changer"):
        Item.objects.bulk_update([item], ["amount"])
    assert people_of(made) == ("maker", "changer")
    assert_equals_row(item)


def test_refreshing_from_a_queryset_that_defers():
    """What it leaves out is not taken for read."""
    with acting_as("maker"):
        item = ItemFactory()
    item.created_by = "forged"
    item.refresh_from_db(from_queryset=Item.objects.defer("created_by"))
    with acting_as("changer"):
        item.save()
    assert people_of(item) == ("maker", "changer")
    assert_equals_row(item)


def test_rows_that_a_queryset_hides_are_not_claimed():
    """`bulk_update()` does not say which rows it wrote."""
    with acting_as("maker"):
        hidden, seen = ItemFactory(amount=1), ItemFactory(amount=9)
    with acting_as("changer"):
        assert Item.objects.filter(amount__gt=5).bulk_update([hidden, seen], ["name"]) == 1
    assert people_of(hidden) == ("maker", "maker")
    assert people_of(seen) == ("maker", "changer")
    for item in (hidden, seen):
        assert_equals_row(item)
    with preserve_audit_fields():
        for item in (hidden, seen):
            item.created_by = "corrected"
        Item.objects.filter(amount__gt=5).bulk_update([hidden, seen], ["created_by"])
    assert people_of(hidden)[0] == "maker"
    for item in (hidden, seen):
        assert_equals_row(item)


def test_bulk_update_of_columns_that_are_written_once():
    """Nothing is the caller's to set there, and nothing else changes."""
    unchanging = Unchanging.objects.create()
    unchanging.created_by = "forged"
    assert Unchanging.objects.bulk_update([unchanging], ["created_by"]) == 0
    assert Unchanging.objects.exclude(created_by="forged").get() == unchanging


def test_a_save_of_an_instance_that_was_read_in_part_stays_partial():
    """Also when it was a column of ours that was left out."""
    item = ItemFactory()
    deferred = Item.objects.defer("created_by").get(pk=item.pk)
    Item.objects.all().delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        deferred.save()
    item = Item.objects.only("name", "updated_at").get(pk=ItemFactory(amount=1).pk)
    item.save()
    Item.objects.update(amount=5)
    item.save()
    assert Item.objects.get(pk=item.pk).amount == 5


@pytest.mark.parametrize("model", [Labelled, SpecialItem])
def test_what_a_write_leaves_to_be_read_is_a_deferred_column(model):
    """The next save stamps it all the same, and asks for none of it."""
    key = {"label": "a"} if model is Labelled else {"pk": 7}
    with acting_as("maker"):
        model.objects.create(**key)
    instance = model(**key)
    with acting_as("changer"):
        instance.save()  # by key alone
    assert instance.get_deferred_fields() == {"created_at", "created_by", "updated_at"} - (
        set() if connection.vendor == "postgresql" else {"updated_at"}
    )
    instance.amount = 5
    with acting_as("saver"), CaptureQueriesContext(connection) as queries:
        instance.save()
    assert not [query for query in queries if query["sql"].startswith("SELECT")]
    assert people_of(instance) == ("maker", "saver")
    assert model.objects.get().amount == 5
    assert_equals_row(instance)
