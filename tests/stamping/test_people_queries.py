"""Rows found and sorted by the people behind the labels."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as
from tests.factories import ItemFactory
from tests.stamping.oddapp.models import ReadOnlyName, Unchanging
from tests.testapp.models import Item, Part

pytestmark = pytest.mark.django_db


@pytest.fixture
def people():
    """In the order of their names: Zoe's label is the least of three."""
    zoe = User.objects.create(pk=2, username="a", first_name="Zoe", last_name="Young")
    ann = User.objects.create(pk=10, username="z", first_name="Ann", last_name="Old")
    bob = User.objects.create(pk=9, username="bob")
    return zoe, ann, bob


@pytest.fixture
def rows(people):
    zoe, ann, bob = people
    found = []
    for maker, changer in ((zoe, ann), (ann, ann), (bob, "import"), ("import", zoe)):
        with acting_as(maker):
            item = ItemFactory()
        with acting_as(changer):
            item.save()
        found.append(item)
    return found


def test_rows_of_one_person_or_of_several(people, rows):
    """A user, a label, or some of each; through relations as well."""
    zoe, ann, bob = people
    objects = Item.objects
    assert list(objects.created_by_actor(zoe)) == rows[:1]
    assert list(objects.created_by_actor(zoe, "import")) == [rows[0], rows[3]]
    assert list(objects.updated_by_actor(ann)) == rows[:2]
    assert list(objects.filter(amount=1).updated_by_actor(ann, zoe, "import")) == rows
    assert list(objects.touched_by(zoe)) == [rows[0], rows[3]]
    assert list(objects.touched_by("import", bob)) == rows[2:]
    assert not objects.touched_by().exists()
    assert not objects.created_by_actor("nobody", AnonymousUser()).exists()
    with acting_as(zoe):
        part = rows[0].parts.create()
    assert list(rows[0].parts.created_by_actor(zoe)) == [part]
    assert list(objects.filter(parts__in=Part.objects.touched_by(zoe))) == rows[:1]


@pytest.mark.parametrize("name", ["created_by_actor", "updated_by_actor", "touched_by"])
def test_who_is_nobody_cannot_be_asked_for(name):
    """As for `acting_as`."""
    with pytest.raises(TypeError, match="An actor is a user or a label"):
        getattr(Item.objects, name)("import", 5)
    with pytest.raises(ValueError, match="must be saved"):
        getattr(Item.objects, name)(User(username="new"))


def test_rows_since(rows):
    """At that time or later."""
    last = max(item.updated_at for item in rows)
    assert Item.objects.updated_since(last).count() == 1
    assert not Item.objects.updated_since(last + timedelta(microseconds=1)).exists()


def test_rows_in_the_order_of_names(people, rows):
    """Ann Old, Zoe Young, bob and import: not by key, nor by user name."""
    with CaptureQueriesContext(connection) as queries:
        names = [row.pk for row in Item.objects.order_by_person("created_by")]
        back = [row.pk for row in Item.objects.order_by_person("-created_by")]
    assert len(queries) == 2
    assert names == [rows[number].pk for number in (1, 0, 2, 3)]
    assert back == names[::-1]


def test_rows_of_one_person_are_on_one_page_each(people):
    """Whatever order they lie in on disk, which an UPDATE changes."""
    with acting_as(people[0]):
        keys = [ItemFactory().pk for _ in range(8)]
    for key in reversed(keys):
        Item.objects.filter(pk=key).update(amount=2)
    for column in ("created_by", "-created_by"):
        ordered = Item.objects.order_by_person(column).values_list("pk", flat=True)
        assert [ordered[n] for n in range(8)] == keys


def test_rows_with_the_names_of_their_people(people, rows):
    """In the query that reads them; what is no user is the label, and who is gone is said to be."""
    people[2].delete()
    with CaptureQueriesContext(connection) as queries:
        found = [
            (row.created_by_name, row.updated_by_name)
            for row in Item.objects.with_people().order_by("pk")
        ]
    assert len(queries) == 1
    assert found == [
        ("Zoe Young", "Ann Old"),
        ("Ann Old", "Ann Old"),
        ("deleted user 9", "import"),
        ("import", "Zoe Young"),
    ]
    assert Item.objects.with_people().filter(created_by_name="Ann Old").get() == rows[1]
    with acting_as("changer"):
        assert Item.objects.with_people().filter(created_by_name="Ann Old").update(amount=2) == 1
    assert list(Item.objects.updated_by_actor("changer")) == rows[1:2]


def test_columns_that_a_model_dropped_have_no_names(people):
    """Only what the model has is annotated."""
    with acting_as(people[0]):
        Unchanging.objects.create()
        ReadOnlyName.objects.create()
    row = Unchanging.objects.with_people().get()
    assert row.created_by_name == "Zoe Young"
    assert not hasattr(row, "updated_by_name")
    assert not hasattr(ReadOnlyName.objects.with_people().get(), "created_by_name")


@override_settings(AUDIT_FIELDS={"ACTOR": lambda user: f"user:{user.username}"})
def test_an_actor_of_the_projects_own_leaves_the_labels(people, rows):
    """SQL cannot turn these into users."""
    with acting_as(people[0]):
        item = ItemFactory()
    assert Item.objects.created_by_actor(people[0]).with_people().get() == item
    assert Item.objects.with_people().get(pk=item.pk).created_by_name == "user:a"
    order = Item.objects.order_by_person("created_by").values_list("created_by", flat=True)
    assert list(order) == sorted(order)
