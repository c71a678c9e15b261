"""`nobody="refuse"`: NoActorError comes before Django opens a block, and reading needs nobody."""

import pytest
from asgiref.sync import async_to_sync
from django import forms
from django.db import IntegrityError, connection, transaction
from django.test import override_settings

from django_audit_fields import NoActorError, acting_as, preserve_audit_fields
from tests.database import people_of, row_of
from tests.factories import FORGED, ItemFactory
from tests.stamping.oddapp.models import (
    Refusing,
    RefusingChild,
    RefusingChildProxy,
    RefusingLink,
    Thing,
)
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db


@pytest.fixture
def one():
    with acting_as("maker"):
        one = Refusing.objects.create(name="one", code="one")
        one.parent = one
        one.save()
        return one


@pytest.fixture
def child():
    with acting_as("maker"):
        return RefusingChild.objects.create(name="child", extra="x")


@pytest.fixture
def thing():
    with acting_as("maker"):
        return Thing.objects.create(name="thing")


def save_formset(one):
    factory = forms.modelformset_factory(Refusing, fields=["name"], extra=1)
    data = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 0, "form-0-name": "new"}
    formset = factory(data, queryset=Refusing.objects.none())
    assert formset.is_valid()
    formset.save()


def arun(method, *args, **kwargs):
    return async_to_sync(method)(*args, **kwargs)


WRITES = [
    pytest.param(lambda one: Refusing().save(), id="save-insert"),
    pytest.param(lambda one: one.save(), id="save-update"),
    pytest.param(lambda one: one.save(update_fields=["name"]), id="save-update_fields"),
    pytest.param(lambda one: arun(one.asave), id="asave"),
    pytest.param(lambda one: Refusing.objects.create(), id="create"),
    pytest.param(lambda one: arun(Refusing.objects.all().acreate), id="acreate"),
    pytest.param(lambda one: Refusing.objects.get_or_create(name="new"), id="get_or_create"),
    pytest.param(
        lambda one: arun(Refusing.objects.all().aget_or_create, name="new"),
        id="aget_or_create",
    ),
    pytest.param(
        lambda one: Refusing.objects.update_or_create(name="new"), id="update_or_create-new"
    ),
    pytest.param(
        lambda one: Refusing.objects.update_or_create(name="one", defaults={"code": "2"}),
        id="update_or_create-found",
    ),
    pytest.param(
        lambda one: arun(Refusing.objects.all().aupdate_or_create, name="one"),
        id="aupdate_or_create",
    ),
    pytest.param(lambda one: Refusing.objects.bulk_create([Refusing()]), id="bulk_create"),
    pytest.param(
        lambda one: Refusing.objects.bulk_create([Refusing(code="one")], ignore_conflicts=True),
        id="ignore_conflicts",
    ),
    pytest.param(
        lambda one: Refusing.objects.bulk_create(
            [Refusing(code="one")],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["code"],
        ),
        id="update_conflicts",
    ),
    pytest.param(lambda one: Refusing.objects.bulk_update([one], ["name"]), id="bulk_update"),
    pytest.param(
        lambda one: arun(Refusing.objects.all().abulk_update, [one], ["name"]),
        id="abulk_update",
    ),
    pytest.param(lambda one: Refusing.objects.update(name="x"), id="update"),
    pytest.param(lambda one: arun(Refusing.objects.all().aupdate, name="x"), id="aupdate"),
    pytest.param(lambda one: one.children.create(), id="related-create"),
    pytest.param(lambda one: one.children.get_or_create(name="new"), id="related-get_or_create"),
    pytest.param(
        lambda one: one.children.update_or_create(name="new"), id="related-update_or_create"
    ),
    pytest.param(lambda one: one.children.bulk_create([Refusing()]), id="related-bulk_create"),
    pytest.param(lambda one: one.children.update(name="x"), id="related-update"),
    pytest.param(lambda one: arun(one.children.acreate), id="related-acreate"),
    pytest.param(
        lambda one: arun(one.children.aget_or_create, name="new"), id="related-aget_or_create"
    ),
    pytest.param(
        lambda one: arun(one.children.aupdate_or_create, name="new"),
        id="related-aupdate_or_create",
    ),
    pytest.param(save_formset, id="formset"),
    pytest.param(
        lambda one: RefusingChild.objects.create(name="x", extra="y"), id="child-table-create"
    ),
    pytest.param(lambda one: RefusingChild.objects.update(extra="y"), id="child-table-update"),
    pytest.param(lambda one: RefusingChildProxy(extra="z").save(), id="proxy-of-child-table"),
]


#: Django's own, which may open a block before they come to a manager, or never do.
RELATED = [
    pytest.param(lambda one: one.children.clear(), id="related-clear"),
    pytest.param(lambda one: one.children.clear(bulk=False), id="related-clear-saving"),
    pytest.param(lambda one: one.children.remove(one), id="related-remove"),
    pytest.param(lambda one: one.children.remove(one, bulk=False), id="related-remove-saving"),
    pytest.param(lambda one: arun(one.children.aremove, one), id="related-aremove"),
    pytest.param(lambda one: one.children.add(one), id="related-add"),
    pytest.param(lambda one: one.children.add(one, bulk=False), id="related-add-saving"),
    pytest.param(lambda one: arun(one.children.aadd, one), id="related-aadd"),
    pytest.param(lambda one: one.children.set([]), id="related-set"),
    pytest.param(lambda one: one.children.set([], bulk=False), id="related-set-saving"),
    pytest.param(lambda one: one.children.set([one], clear=True), id="related-set-clear"),
    pytest.param(lambda one: arun(one.children.aset, []), id="related-aset"),
]


@pytest.mark.parametrize("write", WRITES)
def test_nobody_is_refused_and_the_transaction_stays_usable(one, write):
    """NoActorError, with no block of Django's around it, so that its caller may go on."""
    made = row_of(one)
    with transaction.atomic():
        with pytest.raises(NoActorError, match=r"oddapp\.Refusing"):
            write(one)
        assert not connection.needs_rollback
        Item.objects.create(name="afterwards")
    assert Item.objects.filter(name="afterwards").exists()
    assert row_of(one) == made
    assert Refusing.objects.count() == 1


@pytest.mark.parametrize("write", RELATED)
@pytest.mark.django_db(transaction=True)
def test_nobody_is_refused_by_relations(one, write):
    """By the queryset, or by the trigger where Django writes past every manager of ours."""
    made = row_of(one)
    with pytest.raises((NoActorError, IntegrityError), match=r"[Nn]obody is acting"):
        write(one)
    assert row_of(one) == made


@pytest.mark.parametrize("write", [*WRITES, *RELATED])
def test_somebody_is_not_refused(one, write):
    """The same writes, with somebody acting."""
    with acting_as("writer"):
        write(one)


@pytest.mark.parametrize("write", [p for p in WRITES if "child-table" not in p.id])
@override_settings(AUDIT_FIELDS={"FALLBACK": "nightly"})
def test_the_models_own_rule_wins_over_the_settings(one, write):
    """A fallback is configured, and this model does not take it."""
    with pytest.raises(NoActorError):
        write(one)


def test_child_table_is_refused_before_its_block(child):
    """The rule is the parent's trigger; Django opens a block for two tables."""
    child.extra = "y"
    with transaction.atomic():
        with pytest.raises(NoActorError):
            child.save()
        assert not connection.needs_rollback
    assert people_of(child) == ("maker", "maker")


def test_reading_needs_nobody(one):
    """A row that is there is found, and nothing to write asks for no one."""
    assert Refusing.objects.get_or_create(name="one") == (one, False)
    assert Refusing.objects.bulk_create([]) == []
    assert Refusing.objects.bulk_update([], ["name"]) == 0
    one.save(update_fields=[])
    one.refresh_from_db()


def test_a_complete_row_gets_in_as_given():
    """A restore names everybody itself; what leaves a name out is refused."""
    with preserve_audit_fields():
        one = Refusing.objects.create(name="restored", **FORGED)
        two = Refusing.objects.bulk_create([Refusing(**FORGED)])[0]
        with transaction.atomic():
            for incomplete in ({**FORGED, "created_by": None}, {**FORGED, "updated_by": None}):
                with pytest.raises(NoActorError):
                    Refusing.objects.create(**incomplete)
                with pytest.raises(NoActorError):
                    Refusing.objects.bulk_create([Refusing(**incomplete)])
            assert not connection.needs_rollback
    assert row_of(one) == row_of(two) == FORGED


def test_settings_refuse_for_every_model():
    """`NOBODY = "refuse"` without a word in the models."""
    item = ItemFactory()
    with override_settings(AUDIT_FIELDS={"NOBODY": "refuse"}), transaction.atomic():
        for write in (item.save, item.parts.create, lambda: Item.objects.update(amount=1)):
            with pytest.raises(NoActorError):
                write()
        assert not connection.needs_rollback


LINKS = [
    pytest.param(lambda one, thing: one.things.add(thing), id="add"),
    pytest.param(lambda one, thing: one.things.set([thing]), id="set"),
    pytest.param(lambda one, thing: one.things.create(name="new"), id="create"),
    pytest.param(lambda one, thing: one.things.get_or_create(name="new"), id="get_or_create"),
    pytest.param(lambda one, thing: one.things.update_or_create(name="new"), id="update_or_create"),
    pytest.param(lambda one, thing: thing.refusing_set.add(one), id="reverse-add"),
    pytest.param(lambda one, thing: thing.refusing_set.set([one], clear=True), id="reverse-set"),
    pytest.param(lambda one, thing: arun(one.things.aadd, thing), id="aadd"),
    pytest.param(lambda one, thing: arun(one.things.aset, [thing]), id="aset"),
    pytest.param(lambda one, thing: arun(one.things.acreate, name="new"), id="acreate"),
]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.django_db(transaction=True)
def test_a_link_by_nobody_is_refused(one, thing, link):
    """The rows of the table between refuse, inside the block that Django has opened."""
    with pytest.raises(NoActorError, match=r"oddapp\.Refusing"), transaction.atomic():
        link(one, thing)
    assert not one.things.exists()
    assert list(Thing.objects.all()) == [thing]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_by_somebody_is_not_refused(one, thing, link):
    """The same writes, with somebody acting."""
    with acting_as("linker"):
        link(one, thing)
    assert people_of(RefusingLink.objects.get()) == ("linker", "linker")


def test_what_there_is_nothing_to_write_for_is_not_refused(one, thing):
    """Nobody may ask for what is there already."""
    with acting_as("maker"):
        one.things.add(thing)
    made = row_of(one)
    one.things.add(thing)
    one.things.set([thing])
    one.children.set([one])
    one.children.add()
    one.children.remove()
    assert one.things.get_or_create(name="thing") == (thing, False)
    assert row_of(one) == made
