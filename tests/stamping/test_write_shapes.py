"""Unusual models: columns dropped or replaced, keys of two parts, managers of their own."""

import functools
import inspect
import pickle
from datetime import UTC, datetime, timedelta

import django
import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.core.files.base import ContentFile
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.models import F
from django.db.models.functions import Now

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import assert_equals_row, needs_trigger, people_of, row_of
from tests.factories import FORGED, LONG_AGO, ItemFactory
from tests.stamping.oddapp.models import (
    Bare,
    BasedNote,
    BulkOnly,
    Composite,
    Computed,
    Filed,
    Grandchild,
    Live,
    LongLabels,
    Nameless,
    OtherColumns,
    PastBulkOnly,
    Ranked,
    ReadOnlyName,
    Selecting,
    Swapped,
    Thing,
    Unchanging,
    Undated,
)
from tests.testapp.models import Item, Keyed, Labelled, OwnManager, SpecialItem

pytestmark = pytest.mark.django_db


def write_in_every_way(model):
    """The instance of each row, after an insert and an update by every path."""
    objects = model.objects
    with acting_as("maker"):
        saved, some, bulk = model(name="a"), objects.create(name="b"), model(name="c")
        saved.save()
        objects.bulk_create([bulk])
        many, found = objects.create(name="d"), objects.create(name="e")
    with acting_as("changer"):
        saved.save()
        some.save(update_fields=["name"])
        objects.bulk_update([bulk], ["name"])
        objects.filter(pk=many.pk).update(name="x")
        many.refresh_from_db()
        found, _ = objects.update_or_create(pk=found.pk, defaults={"name": "y"})
    return [saved, some, bulk, many, found]


@pytest.mark.parametrize("model", [Nameless, Unchanging, Undated, Bare])
def test_columns_that_a_model_drops(model):
    """Whatever is left is stamped, and memory agrees."""
    kept = [field.attname for field in model._meta.fields if field.attname in FORGED]
    for instance in write_in_every_way(model):
        row = model.objects.values("pk", *kept).get(pk=instance.pk)
        del row["pk"]
        assert {name: getattr(instance, name) for name in kept} == row
        people = {"created_by": "maker", "updated_by": "changer"}
        assert {name: row[name] for name in people if name in row} == {
            name: label for name, label in people.items() if name in row
        }
        assert all(value is not None for value in row.values())


@pytest.mark.parametrize("model", [LongLabels, OtherColumns, Selecting, Grandchild, Swapped])
def test_columns_and_bases_of_a_models_own(model):
    """Replaced fields, other column names, abstract models between, a model that is swapped in."""
    for instance in write_in_every_way(model):
        assert people_of(instance) == ("maker", "changer")
        assert row_of(instance)["updated_at"] > row_of(instance)["created_at"]
        assert_equals_row(instance)


def test_a_row_that_is_written_once_names_its_maker():
    """Also where no column is left to say who forged it."""
    with acting_as("maker"):
        instance = Unchanging.objects.create(name="a")
    made = Unchanging.objects.values("created_at", "created_by").get()
    with acting_as("forger"):
        Unchanging.objects.update(name="b", created_by="forged")
        Unchanging.objects.update(created_by="forged")
        instance.created_by = "forged"
        Unchanging.objects.bulk_update([instance], ["name", "created_by"])
    assert Unchanging.objects.values("created_at", "created_by").get() == made
    assert (instance.created_at, instance.created_by) == (made["created_at"], "maker")


@needs_trigger
@pytest.mark.parametrize("model", [LongLabels, OtherColumns, Grandchild, Undated, Nameless])
def test_their_tables_have_triggers(model):
    """Plain Django, past every manager of ours."""
    instance = model.objects.create(name="a")
    with acting_as("changer"):
        models.QuerySet(model).update(name="b")
    kept = [field.attname for field in model._meta.fields if field.attname in FORGED]
    row = model.objects.values(*kept).get(pk=instance.pk)
    assert row.get("updated_by", "changer") == "changer"
    assert row["updated_at"] > instance.updated_at


def test_a_swapped_model_has_no_table():
    """Its stand-in has the trigger."""
    assert apps.get_model("oddapp", "Swappable")._meta.swapped == "oddapp.Swapped"
    tables = connection.introspection.table_names()
    assert "oddapp_swapped" in tables
    assert "oddapp_swappable" not in tables


def test_a_key_of_two_parts():
    """Insert, update, bulk; a changed key is another row's."""
    with acting_as("maker"):
        one = Composite.objects.create(tenant=1, number=1)
        two, three = Composite.objects.bulk_create(
            [Composite(tenant=1, number=2), Composite(tenant=2, number=1)]
        )
    with acting_as("changer"):
        one = Composite.objects.get(pk=one.pk)
        one.created_by = "forged"
        one.save()
        Composite.objects.bulk_update([two], ["name"])
        Composite.objects.filter(pk=three.pk).update(name="x")
    three.refresh_from_db()
    for composite in (one, two, three):
        assert people_of(composite) == ("maker", "changer")
        assert_equals_row(composite)
    with acting_as("other"):
        four = Composite.objects.create(tenant=3, number=3)
    one = Composite.objects.get(pk=one.pk)
    one.pk = four.pk
    with acting_as("changer"):
        one.save()
    assert people_of(four) == ("other", "changer")
    assert_equals_row(one)


def test_columns_that_come_back_from_the_database():
    """Generated columns and defaults of the database keep to their own fields."""
    with acting_as("maker"):
        saved = Computed.objects.create(amount=2)
        bulk = Computed.objects.bulk_create([Computed(amount=3), Computed(amount=4, code="c")])
    for computed in (saved, *bulk):
        assert computed.double == computed.amount * 2
        assert computed.code == ("c" if computed.amount == 4 else "none")
        assert_equals_row(computed)
    with acting_as("changer"):
        saved.amount = F("amount") + 5
        saved.save()
        upserted = Computed.objects.bulk_create(
            [Computed(pk=saved.pk, amount=9, slot=1), Computed(pk=saved.pk + 1000, amount=1)],
            update_conflicts=True,
            update_fields=["amount", "slot"],
            unique_fields=["pk"],
        )
    assert people_of(saved) == ("maker", "changer")
    assert [people_of(computed) for computed in upserted] == [
        ("maker", "changer"),
        ("changer", "changer"),
    ]
    for computed in upserted:
        assert computed.double == computed.amount * 2
        assert_equals_row(computed)
    saved.refresh_from_db()
    assert_equals_row(saved)


def test_an_order_that_the_parent_keeps():
    """Putting the rows in order changes them, and somebody did it."""
    with acting_as("maker"):
        thing = Thing.objects.create()
        one, two = Ranked.objects.create(thing=thing), Ranked.objects.create(thing=thing)
        three = Ranked.objects.create(thing=thing)
        if django.VERSION >= (6,):  # not before does Django number them in bulk
            Ranked.objects.bulk_create([Ranked(thing=Thing.objects.create())])
    with acting_as("sorter"):
        thing.set_ranked_order([three.pk, two.pk, one.pk])
    assert list(thing.get_ranked_order()) == [three.pk, two.pk, one.pk]
    for ranked in (one, two, three):
        assert people_of(ranked) == ("maker", "sorter")


def test_a_default_manager_that_leaves_rows_out():
    """Methods of a project's own go through ours, and the hidden rows can be saved."""
    with acting_as("maker"):
        live, other = Live.objects.create(), Live.objects.create()
    with acting_as("changer"):
        assert Live.objects.filter(pk=live.pk).retire() == 1
        live.refresh_from_db()
        assert people_of(live) == ("maker", "changer")
        live.save()
    assert_equals_row(live)
    assert list(Live.objects.created_by_actor("maker")) == [other]


def test_a_path_made_from_the_time_of_creation():
    """Django asks for the path before the row is written; by then the time is known."""
    with acting_as("maker"):
        filed = Filed(file=ContentFile(b"x", name="a.txt"))
        filed.save()
        filed.file.delete(save=False)
        bulk = Filed.objects.bulk_create([Filed(file=ContentFile(b"x", name="b.txt"))])[0]
    for instance in (filed, bulk):
        assert_equals_row(instance)
    assert Filed.objects.get(pk=bulk.pk).file.name.startswith(f"{bulk.created_at:%Y}/")


@pytest.mark.parametrize("names", [["amount"], ["amount", "created_at"]])
def test_an_expression_for_a_column_of_ours(names):
    """Overwritten, but under preserve: then memory reads what the database made of it."""
    with acting_as("maker"):
        item = Item.objects.create(created_at=Now() - timedelta(days=1), created_by=F("name"))
        assert people_of(item) == ("maker", "maker")
        assert_equals_row(item)
        with preserve_audit_fields():
            preserved = Item.objects.create(**{**FORGED, "created_at": Now()})
            bulk = Item.objects.bulk_create([Item(**{**FORGED, "created_at": Now()})])[0]
            for instance in (preserved, bulk):
                assert row_of(instance)["created_at"] > LONG_AGO
                assert_equals_row(instance)
            preserved.updated_at = Now()
            preserved.save()
    assert row_of(preserved)["updated_at"] > LONG_AGO
    assert_equals_row(preserved)


def test_bulk_update_with_duplicates_and_expressions():
    """As Django has it: the first of two values for one row counts."""
    with acting_as("maker"):
        item, other = ItemFactory(amount=1), ItemFactory(amount=1)
    again = Item.objects.get(pk=item.pk)
    item.amount, again.amount = F("amount") + 10, 99
    other.amount = F("amount") * 7
    with acting_as("changer"):
        count = Item.objects.bulk_update([item, again, other], ["amount"], batch_size=2)
    assert count == 2
    for instance in (item, again, other):
        assert people_of(instance) == ("maker", "changer")
        assert_equals_row(instance)
    assert Item.objects.get(pk=other.pk).amount == 7


@pytest.mark.parametrize(
    ("queryset", "error"),
    [
        (lambda: Item.objects.all()[:1], TypeError),
        (lambda: Item.objects.union(Item.objects.all()), Exception),
    ],
)
def test_querysets_that_django_does_not_update(queryset, error):
    """Its own error, and nothing is written."""
    with acting_as("maker"):
        item = ItemFactory()
    with acting_as("changer"), pytest.raises(error):
        queryset().update(amount=3)
    assert people_of(item) == ("maker", "maker")


def test_update_through_annotations_and_order():
    """The columns join whatever the caller wrote."""
    with acting_as("maker"):
        item = ItemFactory(amount=2)
    with acting_as("changer"):
        Item.objects.annotate(twice=F("amount") * 2).order_by("-twice").update(amount=F("twice"))
        assert async_to_sync(Item.objects.none().aupdate)(amount=1) == 0
    item.refresh_from_db()
    assert item.amount == 4
    assert people_of(item) == ("maker", "changer")


def test_a_pickle_is_not_swollen():
    """What is remembered is mostly what the instance holds anyway."""
    ItemFactory(name="n" * 100)
    item = Item.objects.get()
    size = len(pickle.dumps(item))
    del item._state.audit_memory
    assert size < len(pickle.dumps(item)) * 1.25


def test_naive_times(settings):
    """`USE_TZ = False`: the clock is Django's, and moves forward all the same."""
    settings.USE_TZ = False
    with acting_as("maker"):
        item = ItemFactory()
    assert item.created_at.tzinfo is None
    with acting_as("changer"):
        item.save()
        Item.objects.bulk_update([item], ["amount"])
    item = Item.objects.get()
    assert item.updated_at > item.created_at
    assert abs(item.updated_at - datetime.now(UTC).replace(tzinfo=None)) < timedelta(days=1)
    assert_equals_row(item)


@pytest.mark.skipif("other" not in connections, reason="Two databases: on SQLite.")
@pytest.mark.django_db(databases=["default", "other"])
def test_saving_into_another_database():
    """A row of its own there, made by whoever copies it; the first keeps its own."""
    with acting_as("maker"):
        item = ItemFactory()
    with acting_as("copier"):
        item.save(using="other")
    assert people_of(item) == ("maker", "maker")
    assert people_of(item, using="other") == ("copier", "copier")
    assert_equals_row(item, using="other")
    with acting_as("changer"):
        item.save(using="other")
        Item.objects.using("other").update(amount=3)
        Item.objects.using("other").bulk_create([Item(name="b")])
    assert people_of(item, using="other") == ("copier", "changer")
    assert_equals_row(Item.objects.using("other").get(name="b"), using="other")


KEYS = [
    pytest.param(Item, {}, {}, id="number"),
    pytest.param(Keyed, {}, {}, id="uuid"),
    pytest.param(Labelled, {"label": "it's 100%"}, {"label": "other"}, id="text"),
    pytest.param(Composite, {"tenant": 1, "number": 2}, {"tenant": 1, "number": 3}, id="two-parts"),
    pytest.param(SpecialItem, {"extra": "x"}, {}, id="child-table"),
    pytest.param(OwnManager, {}, {}, id="own-manager"),
    pytest.param(BasedNote, {}, {}, id="base-manager-of-its-own"),
    pytest.param(Selecting, {}, {}, id="select_on_save"),
]


@pytest.mark.parametrize(("model", "key", "other_key"), KEYS)
def test_a_save_finds_its_row_and_no_other(model, key, other_key):
    """Whatever the key is made of."""
    with acting_as("maker"):
        one, other = model.objects.create(**key), model.objects.create(**other_key)
    for actor, options in (("saver", {}), ("forcer", {"force_update": True})):
        with acting_as(actor):
            one.save(**options)
        assert people_of(one) == ("maker", actor)
        assert people_of(other) == ("maker", "maker")
        assert_equals_row(one)


def test_a_key_may_be_text_for_a_number():
    """And what is no number is refused as Django does."""
    with acting_as("maker"):
        pk = Item.objects.create().pk
    with acting_as("changer"):
        Item(pk=str(pk), name="by text").save()
    assert Item.objects.get().name == "by text"
    with pytest.raises(ValueError, match="expected a number but got 'x'"):
        Item(pk="x").save()


def test_a_row_that_is_gone_is_made_again():
    """No row has the key any more: an INSERT follows, by whoever saves, unless forbidden."""
    with acting_as("maker"):
        item, other = Item.objects.create(name="a"), Item.objects.create(name="b")
    Item.objects.all().delete()
    with acting_as("again"):
        item.save()
        with pytest.raises(DatabaseError), transaction.atomic():
            other.save(force_update=True)
    assert people_of(item) == ("again", "again")
    assert_equals_row(item)
    assert list(Item.objects.all()) == [item]


def test_a_property_in_the_place_of_a_column():
    """What the model has instead of a column stays the model's."""
    for instance in write_in_every_way(ReadOnlyName):
        assert instance.updated_by == "nobody in particular"
        assert instance.created_by is None
        row = ReadOnlyName.objects.values("created_at", "updated_at").get(pk=instance.pk)
        assert row == {name: getattr(instance, name) for name in row}
        assert row["updated_at"] > row["created_at"]


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
@pytest.mark.parametrize("model", [Item, Swapped, BulkOnly, PastBulkOnly])
def test_a_time_given_for_one_column_reaches_neither(name, model):
    """One forged time, while the other column is left empty; also past our manager."""
    (bulk,) = model.objects.bulk_create([model(**{name: LONG_AGO})])
    saved = model(**{name: LONG_AGO})
    saved.save()
    for instance in (bulk, saved):
        row = row_of(instance)
        assert row["created_at"] == row["updated_at"] > LONG_AGO
        assert_equals_row(instance)


@pytest.mark.parametrize("fields", [None, ["name"]])
def test_an_update_around_djangos(monkeypatch, fields):
    """Another package's, which calls it by the arguments' names."""
    signature = inspect.signature(models.Model._do_update)
    original = Item._do_update

    @functools.wraps(original)
    def update(*args):
        return original(args[0], **dict(list(signature.bind(*args).arguments.items())[1:]))

    monkeypatch.setattr(Item, "_do_update", update)
    with acting_as("maker"):
        item = ItemFactory()
    with acting_as("changer"):
        item.save(update_fields=fields)
    assert people_of(item) == ("maker", "changer")
    assert_equals_row(item)
