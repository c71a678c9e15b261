"""Every way in which the ORM writes: who is stamped, when, and what memory holds afterwards."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, models
from django.forms import modelform_factory, modelformset_factory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_audit_fields import acting_as
from tests.database import assert_equals_row, people_of, row_of
from tests.factories import FORGED, ItemFactory
from tests.testapp.models import (
    Item,
    ItemProxy,
    Keyed,
    Labelled,
    OwnManager,
    PlainChild,
    SpecialItem,
    Tag,
    Tagging,
)

pytestmark = pytest.mark.django_db


def by_save():
    item = Item(name="a")
    item.save()
    return item


def by_forced_save():
    item = Item(name="a")
    item.save(force_insert=True)
    return item


def by_save_using():
    item = Item(name="a")
    item.save(using="default")
    return item


def by_asave():
    item = Item(name="a")
    async_to_sync(item.asave)()
    return item


def by_forging_save():
    item = Item(name="a", **FORGED)
    item.save()
    return item


def by_forging_bulk_create():
    return Item.objects.bulk_create([Item(name="a", **FORGED)])[0]


def by_upsert():
    return Item.objects.bulk_create(
        [Item(name="a", code="new")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["code"],
    )[0]


def by_ignoring_conflicts():
    Item.objects.bulk_create([Item(name="a", code="only")], ignore_conflicts=True)
    return Item.objects.get(code="only")


def by_form():
    form = modelform_factory(Item, fields=["name", "amount"])({"name": "a", "amount": "1"})
    return form.save()


def by_formset():
    formset = modelformset_factory(Item, fields=["name", "amount"])(
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "0",
            "form-0-name": "a",
            "form-0-amount": "1",
        },
        queryset=Item.objects.none(),
    )
    return formset.save()[0]


def by_related_manager():
    return ItemFactory().parts.create(name="a")


def by_through_table():
    tag = Tag.objects.create(name="t")
    tag.items.add(ItemFactory())
    return Tagging.objects.get(tag=tag)


def by_given_key():
    labelled = Labelled(label="k")
    labelled.save()
    return labelled


def by_copy():
    with acting_as("somebody else"):
        item = ItemFactory()
    item.pk = None
    item.save()
    return item


def by_copy_said_to_be_new():
    with acting_as("somebody else"):
        item = ItemFactory()
    item.pk = None
    item._state.adding = True
    item.save()
    return item


INSERTS = [
    by_save,
    by_forced_save,
    by_save_using,
    by_asave,
    by_forging_save,
    by_forging_bulk_create,
    by_upsert,
    by_ignoring_conflicts,
    by_form,
    by_formset,
    by_related_manager,
    by_through_table,
    by_given_key,
    by_copy,
    by_copy_said_to_be_new,
    pytest.param(lambda: Item.objects.create(name="a"), id="create"),
    pytest.param(lambda: async_to_sync(Item.objects.all().acreate)(name="a"), id="acreate"),
    pytest.param(lambda: Item.objects.get_or_create(name="a")[0], id="get_or_create"),
    pytest.param(
        lambda: async_to_sync(Item.objects.all().aget_or_create)(name="a")[0], id="aget_or_create"
    ),
    pytest.param(lambda: Item.objects.update_or_create(name="a")[0], id="update_or_create"),
    pytest.param(
        lambda: Item.objects.update_or_create(
            name="a", defaults={"amount": 1}, create_defaults={"amount": 2}
        )[0],
        id="create_defaults",
    ),
    pytest.param(lambda: Item.objects.bulk_create([Item(name="a")])[0], id="bulk_create"),
    pytest.param(
        lambda: Item.objects.bulk_create(Item(name=str(n)) for n in range(3))[2],
        id="bulk_create-generator",
    ),
    pytest.param(
        lambda: Item.objects.bulk_create([Item(name=str(n)) for n in range(5)], batch_size=2)[4],
        id="bulk_create-batches",
    ),
    pytest.param(
        lambda: async_to_sync(Item.objects.all().abulk_create)([Item(name="a")])[0],
        id="abulk_create",
    ),
    pytest.param(lambda: Keyed.objects.bulk_create([Keyed()])[0], id="bulk_create-client-key"),
    pytest.param(lambda: Keyed.objects.create(), id="create-client-key"),
    pytest.param(lambda: ItemProxy.objects.create(name="a"), id="proxy"),
    pytest.param(lambda: ItemProxy.objects.bulk_create([ItemProxy()])[0], id="proxy-bulk_create"),
    pytest.param(lambda: SpecialItem.objects.create(name="a"), id="child-table"),
    pytest.param(lambda: PlainChild.objects.create(name="a"), id="child-table-with-columns"),
    pytest.param(lambda: OwnManager.objects.create(name="a"), id="own-manager"),
    pytest.param(
        lambda: OwnManager.objects.bulk_create([OwnManager(name="a")])[0],
        id="own-manager-bulk_create",
    ),
    pytest.param(lambda: OwnManager.audited.bulk_create([OwnManager()])[0], id="second-manager"),
]


@pytest.mark.parametrize("insert", INSERTS)
def test_insert_stamps_all_four(insert):
    """One actor and one time, those of the writing, whatever the caller put in; memory agrees."""
    before = timezone.now()
    with acting_as("maker"):
        instance = insert()
    row = row_of(instance)
    assert (row["created_by"], row["updated_by"]) == ("maker", "maker")
    assert before <= row["created_at"] <= timezone.now()
    assert row["updated_at"] == row["created_at"]
    assert_equals_row(instance)


def save(**options):
    def write(item):
        item.amount += 1
        item.save(**options)

    return write


def save_some(fields):
    def write(item):
        item.amount += 1
        item.save(update_fields=fields())

    return write


def asave(item):
    item.amount += 1
    async_to_sync(item.asave)(update_fields=["amount"])


def forging_save(item):
    item.amount += 1
    for name, value in FORGED.items():
        setattr(item, name, value)
    item.save()


def forging_save_some(item):
    item.amount += 1
    for name, value in FORGED.items():
        setattr(item, name, value)
    item.save(update_fields=["amount", "created_by", "updated_at"])


def bulk_update(item):
    item.amount += 1
    Item.objects.bulk_update([item], ["amount"])


def abulk_update(item):
    item.amount += 1
    async_to_sync(Item.objects.all().abulk_update)([item], ["amount"])


def forging_bulk_update(item):
    item.amount += 1
    for name, value in FORGED.items():
        setattr(item, name, value)
    Item.objects.bulk_update([item], ["amount", *FORGED])


def bulk_update_of_nothing_else(item):
    item.updated_by = "forged"
    Item.objects.bulk_update([item], ["updated_by"])


def form(item):
    modelform_factory(Item, fields=["amount"])({"amount": "9"}, instance=item).save()


UPDATES = [
    pytest.param(save(), id="save"),
    pytest.param(save(force_update=True), id="save-forced"),
    pytest.param(save(using="default"), id="save-using"),
    pytest.param(save(update_fields=None), id="update_fields-None"),
    pytest.param(save_some(lambda: ["amount"]), id="update_fields-list"),
    pytest.param(save_some(lambda: ("amount",)), id="update_fields-tuple"),
    pytest.param(save_some(lambda: {"amount"}), id="update_fields-set"),
    pytest.param(save_some(lambda: (name for name in ["amount"])), id="update_fields-generator"),
    pytest.param(save_some(lambda: ["updated_by"]), id="update_fields-audit"),
    asave,
    forging_save,
    forging_save_some,
    bulk_update,
    abulk_update,
    forging_bulk_update,
    bulk_update_of_nothing_else,
    form,
]


@pytest.mark.parametrize("update", UPDATES)
def test_update_stamps_updated_and_keeps_created(update):
    """updated_* are the writer's, created_* the maker's, in the row and in memory."""
    with acting_as("maker"):
        item = ItemFactory()
    made = row_of(item)
    with acting_as("changer"):
        update(item)
    row = row_of(item)
    assert (row["created_by"], row["updated_by"]) == ("maker", "changer")
    assert row["created_at"] == made["created_at"]
    assert made["updated_at"] < row["updated_at"] <= timezone.now() + timedelta(seconds=1)
    assert_equals_row(item)


@pytest.mark.parametrize("update", UPDATES)
def test_update_of_a_loaded_instance_needs_no_further_query(update):
    """Memory is right because it is known, not because it is read back."""
    with acting_as("maker"):
        pk = ItemFactory().pk
    item = Item.objects.get(pk=pk)
    with acting_as("changer"):
        update(item)
    with CaptureQueriesContext(connection) as queries:
        seen = (item.created_at, item.created_by, item.updated_at, item.updated_by)
    assert len(queries) == 0
    row = row_of(item)
    assert seen == (row["created_at"], row["created_by"], row["updated_at"], row["updated_by"])


WITHOUT_INSTANCE = [
    pytest.param(lambda items: items.update(amount=7), id="update"),
    pytest.param(lambda items: items.update(amount=models.F("amount") + 1), id="expression"),
    pytest.param(lambda items: items.update(amount=1, **FORGED), id="forged"),
    pytest.param(lambda items: items.update(created_by="forged"), id="only-forged"),
    pytest.param(lambda items: async_to_sync(items.aupdate)(amount=7), id="aupdate"),
    pytest.param(
        lambda items: items.update_or_create(name="n", defaults={"amount": 5}),
        id="update_or_create",
    ),
    pytest.param(
        lambda items: async_to_sync(items.aupdate_or_create)(name="n", defaults={"amount": 5}),
        id="aupdate_or_create",
    ),
    pytest.param(
        lambda items: Item.objects.bulk_create(
            [Item(name="n", code="c")],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["code"],
        ),
        id="upsert",
    ),
    pytest.param(
        lambda items: Item.objects.bulk_create(
            [Item(name="n", code="c", **FORGED)],
            update_conflicts=True,
            update_fields=["name", *FORGED],
            unique_fields=["code"],
        ),
        id="upsert-naming-the-audit-fields",
    ),
    pytest.param(lambda items: ItemProxy.objects.update(amount=2), id="proxy"),
    pytest.param(lambda items: items.select_for_update().update(amount=2), id="locked"),
]


@pytest.mark.parametrize("update", WITHOUT_INSTANCE)
def test_update_without_the_instance_stamps_the_row(update):
    """No instance to stamp, and the row is stamped all the same."""
    with acting_as("maker"):
        item = ItemFactory(name="n", code="c")
    made = row_of(item)
    with acting_as("changer"):
        update(Item.objects.filter(pk=item.pk))
    row = row_of(item)
    assert (row["created_by"], row["updated_by"]) == ("maker", "changer")
    assert row["created_at"] == made["created_at"]
    assert row["updated_at"] > made["updated_at"]


def test_upsert_gives_memory_what_the_row_holds():
    """Both branches in one call: the found row keeps its maker, the new one has one."""
    with acting_as("maker"):
        ItemFactory(code="old")
    with acting_as("changer"):
        items = Item.objects.bulk_create(
            [Item(name="x", code="old"), Item(name="y", code="new")],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["code"],
        )
    assert [people_of(item) for item in items] == [("maker", "changer"), ("changer", "changer")]
    for item in items:
        assert_equals_row(item)


def test_upsert_with_keys_of_the_client_gives_memory_what_the_row_holds():
    """Nothing else comes back from such an INSERT, and the four columns do."""
    with acting_as("maker"):
        labelled = Labelled.objects.create(label="l")
    with acting_as("changer"):
        (again,) = Labelled.objects.bulk_create(
            [Labelled(label="l", amount=2)],
            update_conflicts=True,
            update_fields=["amount"],
            unique_fields=["label"],
        )
    assert people_of(labelled) == ("maker", "changer")
    assert_equals_row(again)


def test_empty_update_fields_write_nothing():
    """Also as a generator that turns out to be empty."""
    with acting_as("maker"):
        item = ItemFactory()
    made = row_of(item)
    with acting_as("changer"), CaptureQueriesContext(connection) as queries:
        item.save(update_fields=[])
        item.save(update_fields=(name for name in ()))
        Item.objects.update()
    assert len(queries) == 0
    assert row_of(item) == made
