"""The listener: forged, disconnected or failing, and receivers that save again."""

import contextlib

import pytest
from django.db.models.signals import post_save, pre_save

from django_audit_fields import acting_as
from django_audit_fields.stamping import listener
from tests.database import assert_equals_row, people_of, row_of
from tests.factories import FORGED, LONG_AGO, ItemFactory
from tests.stamping.oddapp.models import Saving
from tests.testapp.models import Item, Part, SpecialItem

pytestmark = pytest.mark.django_db


@contextlib.contextmanager
def connected(signal, receiver, sender=Item):
    signal.connect(receiver, sender=sender, weak=False)
    try:
        yield
    finally:
        assert signal.disconnect(receiver, sender=sender)


@contextlib.contextmanager
def without_the_listener():
    uid = "django_audit_fields.stamp_actor"
    assert pre_save.disconnect(dispatch_uid=uid)
    try:
        yield
    finally:
        pre_save.connect(listener.stamp_actor, dispatch_uid=uid)


def fail(*args, **kwargs):
    raise RuntimeError("The listener is broken.")


@pytest.fixture(params=["disconnected", "failing"])
def broken_listener(request, monkeypatch):
    if request.param == "failing":
        monkeypatch.setattr(listener, "current_actor", fail)
        yield
    else:
        with without_the_listener():
            yield


@pytest.mark.usefixtures("broken_listener")
@pytest.mark.parametrize("model", [Item, SpecialItem])
def test_without_the_listener_every_save_is_stamped(model):
    """Insert, update, some fields, another key: the write goes on and says who."""
    with acting_as("maker"):
        item = model(name="a", **FORGED)
        item.save()
        assert people_of(item) == ("maker", "maker")
        assert row_of(item)["created_at"] > LONG_AGO
        assert_equals_row(item)
    for actor, options in (("saver", {}), ("some", {"update_fields": ["name"]})):
        with acting_as(actor):
            item.updated_by = "forged"
            item.save(**options)
        assert people_of(item) == ("maker", actor)
        assert_equals_row(item)
    with acting_as("late"):
        loaded = model.objects.get()
        loaded.save()
    assert people_of(item) == ("maker", "late")
    assert_equals_row(loaded)


@pytest.mark.usefixtures("broken_listener")
def test_without_the_listener_nobody_is_the_fallback():
    """Nobody is acting, and the row says so."""
    item = Item.objects.create()
    assert people_of(item) == ("system", "system")
    assert_equals_row(item)


def test_a_failing_listener_says_so(monkeypatch, caplog):
    """The write goes on, and the log has the reason."""
    monkeypatch.setattr(listener, "current_actor", fail)
    with caplog.at_level("ERROR", logger="django_audit_fields"):
        Item.objects.create()
    assert "The actor of a testapp.Item could not be read." in caplog.text
    assert "The listener is broken." in caplog.text


def forge(sender, instance, **kwargs):
    for name, value in FORGED.items():
        setattr(instance, name, value)


def test_a_receiver_cannot_forge():
    """Another pre_save receiver has its say before the columns get theirs."""
    with connected(pre_save, forge), acting_as("maker"):
        item = Item.objects.create()
        assert people_of(item) == ("maker", "maker")
        assert_equals_row(item)
        with acting_as("changer"):
            item.save()
            assert people_of(item) == ("maker", "changer")
            assert_equals_row(item)
            item.save(update_fields=["amount", *FORGED])
    row = row_of(item)
    assert (row["created_by"], row["updated_by"]) == ("maker", "changer")
    assert row["created_at"] > LONG_AGO
    assert_equals_row(item)


def test_a_receiver_that_saves_again():
    """Within post_save, the same instance and another one; both agree with their rows."""
    parts = []

    def save_again(sender, instance, created, **kwargs):
        if created:
            with acting_as("receiver"):
                instance.amount += 1
                instance.save()
                parts.append(Part.objects.create(item=instance))

    with connected(post_save, save_again), acting_as("maker"):
        item = Item.objects.create()
    assert people_of(item) == ("maker", "receiver")
    assert people_of(parts[0]) == ("receiver", "receiver")
    for instance in (item, parts[0]):
        assert_equals_row(instance)


def test_a_receiver_that_saves_the_same_instance_first():
    """Within pre_save: the inner save makes the row, the outer one changes it."""
    seen = []

    def save_first(sender, instance, **kwargs):
        if not seen:
            seen.append(instance)
            with acting_as("receiver"):
                instance.save()

    with connected(pre_save, save_first), acting_as("maker"):
        item = Item(name="a")
        item.save()
    assert people_of(item) == ("receiver", "maker")
    assert_equals_row(item)


def test_a_receiver_that_raises_after_the_row_was_written():
    """The instance is as it was before the call, and what it saves next is right."""
    with acting_as("maker"):
        item = ItemFactory()
        fresh = Item(name="a")
    made = row_of(item)
    with connected(post_save, fail), acting_as("changer"):
        for instance in (fresh, item):
            with pytest.raises(RuntimeError):
                instance.save()
    assert (fresh.created_by, item.updated_at) == (None, made["updated_at"])
    with acting_as("saver"):
        for instance in (fresh, item):
            instance.save()
            assert_equals_row(instance)
    assert people_of(fresh) == ("changer", "saver")
    assert people_of(item) == ("maker", "saver")


def test_a_receiver_that_raises_before():
    """Nothing was written, and nothing is claimed."""
    with acting_as("maker"):
        item = ItemFactory()
    made = row_of(item)
    fresh = Item(name="a")
    with connected(pre_save, fail), acting_as("changer"):
        for instance in (fresh, item):
            with pytest.raises(RuntimeError):
                instance.save()
    assert (fresh.created_by, fresh.updated_by) == (None, None)
    assert row_of(item) == made
    assert_equals_row(item)


def test_the_listener_tells_the_receivers_behind_it():
    """Who is about to write stands on the instance by then."""
    seen = []

    def look(sender, instance, **kwargs):
        seen.append((instance.created_by, instance.updated_by))

    with connected(pre_save, look):
        with acting_as("maker"):
            item = Item.objects.create()
        with acting_as("changer"):
            item.save()
    assert seen == [("maker", "maker"), ("maker", "changer")]


def test_a_signal_without_a_save_names_nobody_for_later():
    """What the listener was told by hand does not reach a save that it does not hear of."""
    item = ItemFactory()
    with acting_as("other"):
        for instance in (item, fresh := Item(name="a")):
            pre_save.send(sender=Item, instance=instance, raw=False, using="default")
    with without_the_listener(), acting_as("writer"):
        item.save()
        fresh.save()
    assert people_of(item)[1] == "writer"
    assert people_of(fresh) == ("writer", "writer")


def test_a_save_that_saves_again():
    """A model whose `save` writes what it has just been told."""
    with acting_as("maker"):
        saving = Saving.objects.create(name="a")
    assert saving.seen == "maker"
    with acting_as("changer"):
        saving.save()
    assert saving.seen == "changer"
    assert people_of(saving) == ("maker", "changer")
    assert_equals_row(saving)
