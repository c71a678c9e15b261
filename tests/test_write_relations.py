"""Writes that reach a row through another one: related managers, deletion, inheritance."""

import pytest
from django.db import IntegrityError, transaction

from django_audit_fields import acting_as
from tests.database import assert_equals_row, needs_trigger, people_of, row_of
from tests.factories import ItemFactory, PartFactory
from tests.oddapp.models import BasedNote, Note, RefusingChild, RefusingChildProxy, Thing
from tests.testapp.models import Item, Part, SpecialItem

pytestmark = pytest.mark.django_db

MOVES = [
    pytest.param(lambda item, part: item.parts.add(part, bulk=False), id="add-one-by-one"),
    pytest.param(lambda item, part: item.parts.set([part], bulk=False), id="set-one-by-one"),
    # These two update through the base manager, which knows nothing of the columns.
    pytest.param(lambda item, part: item.parts.add(part), id="add", marks=needs_trigger),
    pytest.param(lambda item, part: item.parts.set([part]), id="set", marks=needs_trigger),
]


@pytest.mark.parametrize("move", MOVES)
def test_related_manager_stamps_those_it_takes(move):
    """The rows change hands, and say who did it."""
    with acting_as("maker"):
        item, part = ItemFactory(), PartFactory(item=None)
    with acting_as("mover"):
        move(item, part)
    assert people_of(part) == ("maker", "mover")
    assert Part.objects.get() in item.parts.all()


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("leave", ["remove", "clear", "set"])
def test_related_manager_stamps_those_it_gives_up(leave, bulk):
    """The rows are updated through our own queryset, or saved."""
    with acting_as("maker"):
        item = ItemFactory()
        part = PartFactory(item=item)
    arguments = {"remove": [part], "clear": [], "set": [[]]}[leave]
    with acting_as("mover"):
        getattr(item.parts, leave)(*arguments, bulk=bulk)
    assert people_of(part) == ("maker", "mover")
    assert not item.parts.exists()


def test_instances_that_were_added_in_bulk_keep_what_they_knew():
    """Nothing hands them the new values; saved or read again, they are right."""
    with acting_as("maker"):
        item, part = ItemFactory(), PartFactory(item=None)
    with acting_as("mover"):
        item.parts.add(part)
    assert part.updated_by == "maker"
    with acting_as("saver"):
        part.save()
    assert people_of(part) == ("maker", "saver")
    assert_equals_row(part)


@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize(
    ("model", "name"),
    [pytest.param(Note, "notes", marks=needs_trigger), (BasedNote, "based_notes")],
)
def test_deleting_the_parent_stamps_what_set_null_changes(model, name, is_loaded):
    """The collector updates through the base manager, be that Django's own or ours."""
    with acting_as("maker"):
        thing = Thing.objects.create()
        note = model.objects.create(thing=thing)
    if is_loaded:
        thing = Thing.objects.prefetch_related(name).get()
    with acting_as("deleter"):
        thing.delete()
    note.refresh_from_db()
    assert note.thing is None
    assert people_of(note) == ("maker", "deleter")


def test_a_base_manager_of_ours_stamps_what_is_added():
    """`Meta.base_manager_name` is Django's way to have its own writes go through a manager."""
    with acting_as("maker"):
        thing, note = Thing.objects.create(), BasedNote.objects.create()
    for actor, write in (
        ("adder", lambda: thing.based_notes.add(note)),
        ("setter", lambda: thing.based_notes.set([])),
        ("again", lambda: thing.based_notes.set([note])),
    ):
        with acting_as(actor):
            write()
        assert people_of(note) == ("maker", actor)


def test_child_table_stamps_the_columns_of_its_parent():
    """Saving only what the child's table holds still changes the row as a whole."""
    with acting_as("maker"):
        special = SpecialItem.objects.create(extra="a")
    for actor, write in (
        ("saver", lambda: special.save()),
        ("some", lambda: special.save(update_fields=["extra"])),
        ("bulk", lambda: SpecialItem.objects.bulk_update([special], ["extra"])),
        ("many", lambda: SpecialItem.objects.filter(pk=special.pk).update(extra="b")),
    ):
        with acting_as(actor):
            write()
        assert people_of(special) == ("maker", actor)
        if actor != "many":
            assert_equals_row(special)


def test_child_for_an_existing_parent_row():
    """The parent's row is changed, not made."""
    with acting_as("maker"):
        item = ItemFactory()
    special = SpecialItem(item_ptr=item, name="b")
    with acting_as("changer"):
        special.save()
    assert people_of(special) == ("maker", "changer")
    assert_equals_row(special)


def test_a_failed_child_table_leaves_the_instance_as_it_was():
    """The parent's row is undone along with it, and what was never written is not claimed."""
    with acting_as("maker"):
        one = RefusingChild.objects.create(name="one", extra="taken")
        two = RefusingChild.objects.create(name="two", extra="free")
    made = row_of(two)
    three = RefusingChild(name="three", extra="taken")
    two.extra = one.extra
    for instance in (two, three):
        before = (instance.created_by, instance.updated_by, instance.updated_at)
        with pytest.raises(IntegrityError), acting_as("changer"), transaction.atomic():
            instance.save()
        assert (instance.created_by, instance.updated_by, instance.updated_at) == before
    assert row_of(two) == made
    two.extra = "free"
    with acting_as("changer"):
        two.save()
    assert people_of(two) == ("maker", "changer")
    assert_equals_row(two)


def test_a_proxy_of_a_child_table_is_stamped():
    """Three classes, two tables, one set of columns."""
    with acting_as("maker"):
        proxy = RefusingChildProxy.objects.create(name="a", extra="x")
    for actor, write in (
        ("saver", lambda: proxy.save(update_fields=["extra"])),
        ("bulk", lambda: RefusingChildProxy.objects.bulk_update([proxy], ["name", "extra"])),
        ("many", lambda: RefusingChildProxy.objects.update(extra="z")),
    ):
        with acting_as(actor):
            write()
        assert people_of(proxy) == ("maker", actor)
    proxy.refresh_from_db()
    assert_equals_row(proxy)


def test_an_update_reaches_the_parents_columns_from_a_filter_on_the_child():
    """Fields of both tables and a filter of their own in one call."""
    with acting_as("maker"):
        special = SpecialItem.objects.create(extra="a", amount=1)
        other = SpecialItem.objects.create(extra="b", amount=1)
    with acting_as("changer"):
        count = SpecialItem.objects.filter(extra="a").update(amount=2, extra="c")
    assert count == 1
    assert people_of(special) == ("maker", "changer")
    assert people_of(other) == ("maker", "maker")
    assert Item.objects.get(pk=special.pk).amount == 2


def test_an_insert_forced_for_the_parents_table_too():
    """One statement each, and one stamp for both."""
    with acting_as("maker"):
        special = SpecialItem(name="a", extra="x")
        special.save(force_insert=(Item,))
    assert people_of(special) == ("maker", "maker")
    assert_equals_row(special)


def test_templates_cannot_save():
    """What replaces Django's own methods alters data as they do."""
    for method in (Item.save, Item.save_base, Item.refresh_from_db, Item.objects.update):
        expected = method.__name__ != "refresh_from_db"
        assert getattr(method, "alters_data", False) is expected
    for name in ("bulk_create", "bulk_update", "get_or_create", "update_or_create"):
        assert getattr(Item.objects, name).alters_data
