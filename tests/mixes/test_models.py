"""Models of other packages: each row says who, whichever manager wrote it."""

import importlib
import io

import pytest
from asgiref.sync import async_to_sync
from concurrency.exceptions import RecordModifiedError
from django.contrib.contenttypes.models import ContentType
from django.core import management
from django.db import connection, models, transaction
from django_fsm import ConcurrentTransition

from django_audit_fields import NoActorError, acting_as, preserve_audit_fields
from django_audit_fields.drift.catalog import differences
from tests.database import assert_equals_row, people_of, row_of
from tests.factories import FORGED, LONG_AGO
from tests.mixes.models import (
    Account,
    Animal,
    Branch,
    Chapter,
    Dog,
    Draft,
    Folder,
    Order,
    Place,
    Plant,
    Restaurant,
    Section,
    Ticket,
    Tree,
)

pytestmark = pytest.mark.django_db


def written_in_every_way(model, **values):
    """Instances whose rows were made by one and changed by another, each by another path."""
    objects = model.objects
    with acting_as("maker"):
        saved = model(name="a", **values, **FORGED)
        saved.save()
        some = objects.create(name="b", **values)
        got, _ = objects.get_or_create(name="c", defaults=values)
        many = objects.create(name="d", **values)
        bulk = objects.create(name="e", **values)
        late = async_to_sync(objects.all().acreate)(name="f", **values)
    with acting_as("changer"):
        saved.name = "A"
        saved.save()
        some.name = "B"
        some.save(update_fields=["name"])
        got, _ = objects.update_or_create(pk=got.pk, defaults={"name": "C"})
        objects.filter(pk=many.pk).update(name="D")
        many = model._base_manager.get(pk=many.pk)
        bulk.name = "E"
        objects.bulk_update([bulk], ["name"])
        loaded = objects.get(pk=late.pk)
        loaded.name = "F"
        loaded.save()
    return {"saved": saved, "some": some, "got": got, "many": many, "bulk": bulk, "late": loaded}


@pytest.mark.parametrize(
    "model", [Ticket, Place, Restaurant, Animal, Dog, Plant, Tree, Draft], ids=lambda m: m.__name__
)
def test_rows_of_mixed_models_say_who(model):
    """Whatever else the model is; memory agrees where our manager or `save` wrote."""
    instances = written_in_every_way(model)
    if model in (Plant, Tree):
        # Their bulk_update is not ours: the row is stamped and the instance was told nothing.
        assert people_of(instances["bulk"]) == ("maker", "changer")
        assert instances.pop("bulk").updated_by == "maker"
    for instance in instances.values():
        assert people_of(instance) == ("maker", "changer")
        row = row_of(instance)
        assert LONG_AGO < row["created_at"] < row["updated_at"]
        assert_equals_row(instance)


def test_a_relation_to_a_mixed_model_stamps_its_rows():
    """Its manager derives from both."""
    with acting_as("maker"):
        dog, animal = Dog.objects.create(), Animal.objects.create()
    for actor, write in (
        ("adder", lambda: dog.pack.add(animal)),
        ("remover", lambda: dog.pack.remove(animal)),
    ):
        with acting_as(actor):
            write()
        assert people_of(animal) == ("maker", actor)


@pytest.mark.parametrize("model", [Ticket, Animal, Plant, Draft], ids=lambda m: m.__name__)
def test_bulk_create_of_mixed_models(model):
    """Through our queryset or another one, with our columns."""
    with acting_as("maker"):
        instances = model.objects.bulk_create([model(name="a", **FORGED), model(name="b")])
    for instance in instances:
        assert people_of(instance) == ("maker", "maker")
        assert row_of(instance)["created_at"] > LONG_AGO
        assert_equals_row(instance)


def test_a_field_tracker_sees_what_was_stamped():
    """model-utils: nothing of ours is left over as a change."""
    with acting_as("maker"):
        ticket = Ticket.objects.create(name="a")
    assert ticket.tracker.changed() == {}
    ticket = Ticket.objects.get()
    ticket.name = "b"
    assert ticket.tracker.changed() == {"name": "a"}
    with acting_as("changer"):
        ticket.save(update_fields=["name"])
    assert ticket.tracker.changed() == {}
    assert ticket.tracker.previous("updated_by") == "changer"
    assert_equals_row(ticket)


def test_their_timestamps_move_with_ours():
    """model-utils: `modified` is saved along with update_fields, as our columns are."""
    with acting_as("maker"):
        ticket = Ticket.objects.create(name="a")
    before = ticket.modified
    with acting_as("changer"):
        ticket.save(update_fields=["name"])
    fresh = Ticket.objects.get()
    assert before < fresh.modified == ticket.modified
    assert people_of(ticket) == ("maker", "changer")


def test_a_soft_deletion_says_who():
    """model-utils: by the instance and by the queryset; the hidden row can be read past both."""
    with acting_as("maker"):
        one, two = Draft.available_objects.create(name="a"), Draft.available_objects.create()
    with acting_as("deleter"):
        one.delete()
        Draft.available_objects.filter(pk=two.pk).delete()
    assert Draft.available_objects.count() == 0
    assert people_of(one) == people_of(two) == ("maker", "deleter")


def test_subclasses_of_one_manager():
    """model-utils: whatever class comes out, its row is known."""
    with acting_as("maker"):
        Restaurant.objects.create(name="r", stars=1)
        Place.objects.create(name="p")
    for place in Place.objects.select_subclasses().created_by_actor("maker"):
        with acting_as("changer"):
            place.save()
        assert people_of(place) == ("maker", "changer")
        assert_equals_row(place)
    assert isinstance(Place.objects.get_subclass(name="r"), Restaurant)


def test_polymorphic_rows_come_back_as_what_they_are():
    """Through the parent's manager, filtered by ours, saved as the child."""
    with acting_as("maker"):
        Dog.objects.create(name="d", tricks=1)
        Animal.objects.create(name="a")
    animals = list(Animal.objects.created_by_actor("maker").order_by("name"))
    assert [type(animal) for animal in animals] == [Animal, Dog]
    for animal in animals:
        with acting_as("changer"):
            animal.save()
        assert people_of(animal) == ("maker", "changer")
        assert_equals_row(animal)
    with acting_as("trainer"):
        Dog.objects.update(tricks=2)
        assert Animal.objects.instance_of(Dog).update(name="x") == 1
    assert people_of(animals[1]) == ("maker", "trainer")


@pytest.mark.parametrize("model", [Folder, Branch], ids=lambda m: m.__name__)
def test_a_tree_of_mptt(model):
    """Nodes that only move aside are changed rows, too: the trigger says by whom."""
    with acting_as("maker"):
        root = model.objects.create(name="root")
        one = model.objects.create(name="one", parent=root)
        two = model.objects.create(name="two", parent=root)
        assert people_of(root)[0] == "maker"
        for instance in (root, one, two):
            instance.refresh_from_db()
    with acting_as("mover"):
        two.move_to(one, "left")
        two.save()
    for instance in (root, one, two):
        instance.refresh_from_db()
        assert_equals_row(instance)
    assert people_of(two) == ("maker", "mover")
    assert [node.name for node in root.get_children()] == ["two", "one"]
    with acting_as("rebuilder"):
        model.objects.rebuild()
        with model.objects.delay_mptt_updates():
            three = model.objects.create(name="three", parent=root)
    assert people_of(three) == ("rebuilder", "rebuilder")
    with acting_as("changer"):
        model.objects.filter(pk=one.pk).update(name="eins")
        three = model.objects.get(pk=three.pk)
        three.name = "drei"
        three.save()
    assert people_of(one) == ("maker", "changer")
    assert people_of(three) == ("rebuilder", "changer")
    assert_equals_row(three)


def test_bulk_paths_of_a_tree_with_both_managers():
    """mptt: our querysets write, and the tree stays whole."""
    with acting_as("maker"):
        root = Branch.objects.create(name="root")
        nodes = [Branch.objects.create(name=str(n), parent=root) for n in range(3)]
    with acting_as("changer"):
        nodes = list(Branch.objects.filter(parent=root))
        for node in nodes:
            node.name += "!"
        assert Branch.objects.bulk_update(nodes, ["name"]) == 3
    for node in nodes:
        assert people_of(node) == ("maker", "changer")
        assert_equals_row(node)
    assert root.get_descendants().updated_by_actor("changer").count() == 3


@pytest.mark.parametrize("model", [Chapter, Section], ids=lambda m: m.__name__)
def test_a_tree_of_treebeard(model):
    """Root, child, sibling, move: plain SQL among them, which the trigger sees."""
    with acting_as("maker"):
        root = model.objects.add_root({"name": "root"})
        one = model.objects.add_child(root, {"name": "one"})
        two = model.objects.add_sibling(one, "right", {"name": "two"})
    for node in (one, two):
        assert people_of(node) == ("maker", "maker")
        assert_equals_row(node)
    with acting_as("mover"):
        model.objects.move(model.objects.get(pk=two.pk), model.objects.get(pk=one.pk), "left")
    root, one, two = (model.objects.get(pk=node.pk) for node in (root, one, two))
    assert people_of(two) == ("maker", "mover")
    assert [node.name for node in model.objects.get_children(root)] == ["two", "one"]
    with acting_as("changer"):
        one.name = "eins"
        one.save()
        model.objects.filter(pk=two.pk).update(name="zwei")
    assert people_of(one) == people_of(two) == ("maker", "changer")
    assert_equals_row(one)
    with acting_as("deleter"):
        one.delete()
    assert people_of(root) == ("maker", "deleter")  # it counts its children


def test_updates_that_find_a_row_in_its_state_only():
    """fsm: whoever comes second is told, and the row carries the name of the first."""
    with acting_as("maker"):
        order = Order.objects.create(name="a")
    first, second = Order.objects.get(), Order.objects.get()
    for actor, one in (("first", first), ("second", second)):
        one.pay()
        with acting_as(actor):
            if one is second:
                with pytest.raises(ConcurrentTransition), transaction.atomic():
                    one.save()
            else:
                one.save()
    assert people_of(order) == ("maker", "first")
    assert_equals_row(first)
    with acting_as("changer"):
        first.name = "b"
        first.save(update_fields=["name"])
    assert people_of(order) == ("maker", "changer")
    assert_equals_row(first)


def test_updates_that_find_a_row_in_its_version_only():
    """concurrency: the same with a number, which each save counts up."""
    with acting_as("maker"):
        account = Account.objects.create(name="a")
    first, second = Account.objects.get(), Account.objects.get()
    with acting_as("first"):
        first.save()
    with acting_as("second"), pytest.raises(RecordModifiedError), transaction.atomic():
        second.save()
    assert people_of(account) == ("maker", "first")
    assert_equals_row(first)
    with acting_as("changer"):
        first.name = "b"
        first.save(update_fields=["name", "version"])
    assert people_of(account) == ("maker", "changer")
    assert_equals_row(first)


def test_refusing_and_preserving_reach_the_mixed_managers(settings):
    """What our manager knows holds behind other people's managers."""
    with preserve_audit_fields():
        animal = Dog.objects.create(name="a", **FORGED)
        ticket = Ticket.objects.bulk_create([Ticket(name="b", **FORGED)])[0]
        branch = Branch.objects.create(name="c", **FORGED)
    assert row_of(animal) == row_of(ticket) == row_of(branch) == FORGED
    settings.AUDIT_FIELDS = {"NOBODY": "refuse"}
    for write in (
        lambda: Dog.objects.create(name="x"),
        lambda: Dog.objects.update(name="x"),
        lambda: Branch.objects.filter(name="c").update(name="x"),
        lambda: Place.objects.bulk_create([Place(name="x")]),
        animal.save,
    ):
        with pytest.raises(NoActorError):
            write()


def test_migrations_of_mixed_models_settle(tmp_path, settings, monkeypatch):
    """What makemigrations writes can be read back, and then there is nothing to change."""
    (tmp_path / "mixes_migrations").mkdir()
    (tmp_path / "mixes_migrations" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {**settings.MIGRATION_MODULES, "mixes": "mixes_migrations"}
    management.call_command("makemigrations", "mixes", verbosity=0)
    assert (tmp_path / "mixes_migrations" / "0001_initial.py").exists()
    importlib.invalidate_caches()
    output = io.StringIO()
    management.call_command("makemigrations", "mixes", dry_run=True, stdout=output)
    assert output.getvalue() == "No changes detected in app 'mixes'\n"


def test_every_mixed_table_has_its_triggers():
    """The catalog holds what the code would install, and a plain table's writes show it."""
    assert list(differences(connection)) == []
    for model in (Ticket, Place, Animal, Plant, Folder, Branch, Chapter, Section):
        names = {constraint.name for constraint in model._meta.constraints}
        assert f"mixes_{model._meta.model_name}_audit" in names
    content_type = ContentType.objects.get_for_model(Plant)
    with acting_as("sql"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mixes_plant (name, polymorphic_ctype_id) VALUES ('p', %s)",
            [content_type.pk],
        )
    assert models.QuerySet(Plant).values_list("created_by", "updated_by").get() == ("sql", "sql")
