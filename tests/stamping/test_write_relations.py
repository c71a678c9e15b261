"""Writes that reach a row through another one: related managers, deletion, inheritance."""

import threading

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import assert_equals_row, needs_trigger, people_of, row_of
from tests.factories import LONG_AGO, ItemFactory, PartFactory
from tests.stamping.oddapp.models import (
    BasedNote,
    Comment,
    Commented,
    Listed,
    Note,
    RefusingChild,
    RefusingChildProxy,
    Thing,
)
from tests.testapp.models import Item, Part, SpecialItem, Tag, Tagging

pytestmark = pytest.mark.django_db

SAVES = [
    pytest.param(lambda item, part: item.parts.add(part, bulk=False), id="add-one-by-one"),
    pytest.param(lambda item, part: item.parts.set([part], bulk=False), id="set-one-by-one"),
]
UPDATES = [
    pytest.param(lambda item, part: item.parts.add(part), id="add"),
    pytest.param(lambda item, part: item.parts.set([part]), id="set"),
    pytest.param(lambda item, part: item.parts.set([part], clear=True), id="set-clear"),
    pytest.param(lambda item, part: async_to_sync(item.parts.aadd)(part), id="aadd"),
    pytest.param(lambda item, part: async_to_sync(item.parts.aset)([part]), id="aset"),
]


@pytest.mark.parametrize("move", SAVES)
def test_related_manager_stamps_those_it_saves(move):
    """The rows change hands, and say who did it; so do the instances."""
    with acting_as("maker"):
        item, part = ItemFactory(), PartFactory(item=None)
    with acting_as("mover"):
        move(item, part)
    assert people_of(part) == ("maker", "mover")
    assert_equals_row(part)
    assert Part.objects.get() in item.parts.all()


@needs_trigger
@pytest.mark.parametrize("move", UPDATES)
def test_related_manager_stamps_those_it_takes(move):
    """Django updates them through its own base manager, and leaves the instances as they were."""
    with acting_as("maker"):
        item, part = ItemFactory(), PartFactory(item=None)
    made = row_of(part)
    with acting_as("mover"):
        move(item, part)
    assert people_of(part) == ("maker", "mover")
    assert row_of(part)["updated_at"] > made["updated_at"]
    assert part.updated_by == "maker"
    assert Part.objects.get() in item.parts.all()
    with acting_as("saver"):
        part.save()
    assert people_of(part) == ("maker", "saver")
    assert_equals_row(part)


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("leave", ["remove", "aremove", "clear", "set"])
def test_related_manager_stamps_those_it_gives_up(leave, bulk):
    """The rows are updated through our own queryset, or saved as other instances."""
    with acting_as("maker"):
        item = ItemFactory()
        part = PartFactory(item=item)
    arguments = {"clear": [], "set": [[]]}.get(leave, [part])
    write = getattr(item.parts, leave)
    with acting_as("mover"):
        (async_to_sync(write) if leave == "aremove" else write)(*arguments, bulk=bulk)
    assert people_of(part) == ("maker", "mover")
    assert not item.parts.exists()


def test_instances_that_no_manager_was_handed_cannot_stamp_wrong(monkeypatch):
    """`update()` leaves them stale; their next save is right, even on a clock that is behind."""
    with acting_as("maker"):
        part = PartFactory(item=None)
        with acting_as("changer"):
            Part.objects.update(name="x")
            part.created_by = "forged"
            PartFactory(item=None)
    moved_at = row_of(part)["updated_at"]
    assert part.updated_at < moved_at
    monkeypatch.setattr(timezone, "now", lambda: LONG_AGO)
    with acting_as("saver"):
        part.save()
    row = row_of(part)
    assert (row["created_by"], row["updated_by"]) == ("maker", "saver")
    if connection.vendor == "postgresql":
        assert row["updated_at"] >= moved_at


@pytest.mark.parametrize("write", ["add", "remove", "set"])
def test_related_managers_store_as_given(write):
    """Under `preserve_audit_fields()` none of the columns moves."""
    item = ItemFactory()
    with acting_as("maker"):
        part = PartFactory(item=item if write == "remove" else None)
    made = row_of(part)
    with acting_as("mover"), preserve_audit_fields():
        getattr(item.parts, write)([part] if write == "set" else part)
    assert row_of(part) == made
    assert_equals_row(part)


@pytest.mark.parametrize("bulk", [pytest.param(True, marks=needs_trigger), False])
def test_a_generic_relation_stamps_those_it_takes(bulk):
    """Two columns lead to the row that they hang on."""
    with acting_as("maker"):
        one, comments = Commented.objects.create(), [Comment.objects.create() for _ in range(2)]
    with acting_as("adder"):
        one.comments.add(*comments, bulk=bulk)
    for comment in comments:
        assert people_of(comment) == ("maker", "adder")
    one.comments.remove(comments[0])  # deletes it
    assert list(one.comments.all()) == comments[1:]


def test_a_manager_made_of_the_queryset_stamps_as_well():
    """`AuditQuerySet.as_manager()` is Django's other way to make one."""
    with acting_as("maker"):
        one = Listed.objects.create()
        two = Listed.objects.create(parent=one)
    with acting_as("remover"):
        one.children.remove(two)
    assert people_of(two) == ("maker", "remover")


def test_many_to_many_stamps_its_links():
    """From either side, by each of its methods."""
    item, tag = ItemFactory(), Tag.objects.create(name="a")
    for number, write in enumerate(
        (
            lambda: item.tags.add(tag),
            lambda: tag.items.set([item], clear=True),
            lambda: item.tags.create(name="b"),
            lambda: item.tags.get_or_create(name="c"),
            lambda: tag.items.update_or_create(name="d", defaults={"amount": 2}),
            lambda: async_to_sync(item.tags.acreate)(name="e"),
        )
    ):
        with acting_as(f"linker {number}"):
            write()
        assert people_of(Tagging.objects.latest("pk")) == (f"linker {number}",) * 2


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


def lazy(instance):
    return SimpleLazyObject(lambda: type(instance).objects.get(pk=instance.pk))


@pytest.mark.parametrize("is_read", [False, True])
def test_lazy_objects_are_what_they_stand_for(is_read):
    """Say `request.user`, among users to update."""
    with acting_as("maker"):
        part = PartFactory()
    one = lazy(part)
    if is_read:
        assert one.pk == part.pk
    with acting_as("changer"):
        Part.objects.bulk_update([one], ["name"])
    assert people_of(part) == ("maker", "changer")
    assert_equals_row(one._wrapped)


def test_lazy_objects_can_be_inserted():
    """As many at once."""
    part = Part(name="lazy")
    with acting_as("maker"):
        Part.objects.bulk_create([SimpleLazyObject(lambda: part)])
    assert people_of(part) == ("maker", "maker")
    assert_equals_row(part)


@needs_trigger
@pytest.mark.parametrize("values", [{"extra": "mine"}, {"extra": "mine", "amount": 2}])
@pytest.mark.django_db(transaction=True)
def test_of_two_who_swap_a_childs_value_one_wins(values):
    """Django finds the rows first and updates by their keys; nobody changes them in between."""
    with acting_as("maker"):
        item = SpecialItem.objects.create(extra="old", amount=1)
    rows = SpecialItem.objects.filter(extra="old")
    theirs = []

    def swap():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            with acting_as("other"):
                theirs.append(rows.update(extra="theirs"))
        except OperationalError as error:
            theirs.append(str(error).splitlines()[0])
        connection.close()

    def execute(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not theirs:
            thread = threading.Thread(target=swap)
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    with acting_as("changer"), connection.execute_wrapper(execute):
        assert rows.update(**values) == 1
    assert theirs == ["canceling statement due to lock timeout"]
    assert people_of(item) == ("maker", "changer")
    assert SpecialItem.objects.get().extra == "mine"


@pytest.mark.django_db(transaction=True)
def test_an_update_of_two_tables_is_one_unit():
    """Values of the child alone, or of both: nothing is written when a statement fails."""
    with acting_as("maker"):
        item = SpecialItem.objects.create(extra="old", amount=1)

    def fail(execute, sql, params, many, context):
        if sql.startswith('UPDATE "testapp_item"'):
            raise OperationalError("The connection is lost.")
        return execute(sql, params, many, context)

    for values in ({"extra": "new"}, {"extra": "new", "amount": 2}):
        with (
            acting_as("changer"),
            connection.execute_wrapper(fail),
            pytest.raises(OperationalError),
        ):
            SpecialItem.objects.filter(pk=item.pk).update(**values)
        assert SpecialItem.objects.get().extra == "old"
    with acting_as("changer"):
        assert SpecialItem.objects.filter(extra="old").update(extra="new", amount=2) == 1
        assert SpecialItem.objects.filter(extra="new", parts=None).update(extra="newer") == 1
    assert SpecialItem.objects.get().extra == "newer"
    assert people_of(item) == ("maker", "changer")
