"""A user where a column holds a label: what `acting_as` would stamp, and never `str(user)`."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.forms import modelform_factory
from django.test import override_settings
from django.utils.functional import SimpleLazyObject
from django.utils.text import format_lazy

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import assert_equals_row, people_of
from tests.factories import ItemFactory
from tests.testapp.models import Item, OwnManager

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return User.objects.create(pk=1, username="ann")


@pytest.fixture
def one():
    """Whose name is ann's key."""
    return User.objects.create(pk=2, username="1")


@pytest.fixture
def items(ann, one):
    with acting_as(ann):
        first = ItemFactory()
    with acting_as(one):
        second = ItemFactory()
    with acting_as("import"):
        third = ItemFactory()
    return [first, second, third]


FINDS = [
    pytest.param(lambda user: Q(created_by=user), id="exact"),
    pytest.param(lambda user: Q(created_by=SimpleLazyObject(lambda: user)), id="lazy"),
    pytest.param(lambda user: Q(created_by__exact=user), id="named"),
    pytest.param(lambda user: Q(created_by__iexact=user), id="iexact"),
    pytest.param(lambda user: Q(created_by__in=[user]), id="in"),
    pytest.param(lambda user: Q(created_by__in=[user, "nobody"]), id="in-mixed"),
    pytest.param(lambda user: Q(created_by__in=[user, F("updated_by")], updated_by=user), id="F"),
    pytest.param(lambda user: ~Q(created_by=user) ^ Q(), id="negated"),
    pytest.param(lambda user: Q(created_by=format_lazy("{}", user.pk)), id="lazy-text"),
    pytest.param(lambda user: Q(created_by=str(user.pk)), id="text"),
    pytest.param(lambda user: Q(created_by__startswith=user), id="startswith"),
]


@pytest.mark.parametrize("find", FINDS)
def test_a_user_is_found_by_the_label(items, ann, one, find):
    """Ann finds ann's rows; whoever is called "1" does not."""
    for user, item in ((ann, items[0]), (one, items[1])):
        condition = find(user)
        rows = Item.objects.filter(condition)
        assert list(rows) == ([i for i in items if i != item] if condition.negated else [item])


def test_users_are_excluded_by_the_label(items, ann, one):
    """One or several."""
    assert list(Item.objects.exclude(created_by=ann)) == items[1:]
    assert list(Item.objects.exclude(created_by__in=[ann, one])) == items[2:]
    assert list(Item.objects.exclude(created_by__in=User.objects.all())) == items[2:]


KEYS = [
    pytest.param(lambda: User.objects.filter(username="ann"), id="users"),
    pytest.param(lambda: User.objects.filter(username="ann").values("pk"), id="values"),
    pytest.param(lambda: User.objects.filter(username="ann").values_list("pk"), id="values_list"),
    pytest.param(lambda: User.objects.filter(username="ann").values(key=F("pk")), id="annotated"),
    pytest.param(lambda: User.objects.order_by("username").filter(pk=1).values("pk"), id="ordered"),
    pytest.param(
        lambda: User.objects.filter(username="ann").values(key=Cast("pk", Item.name.field)),
        id="text",
    ),
]


@pytest.mark.parametrize("keys", KEYS)
def test_a_queryset_of_users_keys(items, keys):
    """As a subquery, one query; the keys are text there."""
    assert list(Item.objects.filter(created_by__in=keys())) == items[:1]
    assert list(Item.objects.filter(created_by=keys()[:1])) == items[:1]
    assert list(Item.objects.filter(created_by__in=list(User.objects.filter(pk=1)))) == items[:1]


def test_expressions_are_compared_as_they_are(items, ann):
    """Columns, values and subqueries."""
    assert Item.objects.filter(created_by=F("updated_by")).count() == 3
    assert list(Item.objects.filter(created_by=Value("1"))) == items[:1]
    assert list(Item.objects.filter(created_by=Concat(Value("im"), Value("port")))) == items[2:]
    names = Item.objects.filter(pk=OuterRef("pk")).values("updated_by")[:1]
    assert Item.objects.filter(created_by=Subquery(names)).count() == 3
    assert Item.objects.filter(created_by__in=Item.objects.values("updated_by")).count() == 3
    assert not Item.objects.filter(created_by__isnull=True).exists()
    assert not Item.objects.filter(created_by__in=[None]).exists()


@pytest.mark.parametrize("wrong", [5, 5.0, True, object(), Item(name="a"), b"a", User])
@pytest.mark.parametrize("lookup", ["exact", "in", "iexact", "contains", "gt"])
def test_what_is_neither_user_nor_text(wrong, lookup):
    """TypeError, as `acting_as` raises it."""
    with pytest.raises(TypeError, match="An actor is a user or a label"):
        Item.objects.filter(**{f"updated_by__{lookup}": [wrong] if lookup == "in" else wrong})
    with preserve_audit_fields(), pytest.raises(TypeError, match="An actor is a user or a label"):
        Item.objects.create(created_by=wrong)


def test_users_that_have_no_label(items, ann):
    """An unsaved one has none; an anonymous one is nobody, whose rows carry the fallback."""
    with pytest.raises(ValueError, match="must be saved"):
        Item.objects.filter(created_by=User(username="new"))
    item = ItemFactory()
    assert list(Item.objects.filter(created_by=AnonymousUser())) == [item]


def test_a_row_is_got_and_not_made_again(items, ann):
    """`get_or_create` looks for the label."""
    with acting_as(ann):
        assert Item.objects.get_or_create(created_by=ann)[1] is False
        assert Item.objects.update_or_create(created_by=ann, defaults={"amount": 7})[1] is False
    assert Item.objects.count() == 3


def by_create(values):
    return Item.objects.create(**values)


def by_save(values):
    item = ItemFactory()
    for name, value in values.items():
        setattr(item, name, value)
    item.save()
    return item


def by_some_fields(values):
    item = ItemFactory()
    for name, value in values.items():
        setattr(item, name, value)
    item.save(update_fields=[*values])
    return item


def by_bulk_create(values):
    return Item.objects.bulk_create([Item(**values)])[0]


def by_plain_manager(values):
    return OwnManager.objects.bulk_create([OwnManager(**values)])[0]


def by_bulk_update(values):
    item = ItemFactory()
    for name, value in values.items():
        setattr(item, name, value)
    Item.objects.bulk_update([item], [*values])
    return item


def by_factory(values):
    return ItemFactory(**values)


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize(
    "write",
    [
        by_create,
        by_save,
        by_some_fields,
        by_bulk_create,
        by_plain_manager,
        by_bulk_update,
        by_factory,
    ],
)
def test_a_user_is_stored_as_the_label(ann, one, write, is_lazy):
    """Under `preserve_audit_fields()`, which stores what it is given."""
    for user in (ann, one):
        given = SimpleLazyObject(lambda user=user: user) if is_lazy else user
        with acting_as("importer"), preserve_audit_fields():
            item = write({"created_by": given, "updated_by": given})
        assert people_of(item) == (str(user.pk), str(user.pk))
        assert_equals_row(item)


def test_a_user_is_validated_as_the_label(ann):
    """`full_clean` and a form's instance."""
    item = Item(name="a", amount=1, code="c", created_by=ann)
    item.full_clean()
    assert item.created_by == "1"
    form = modelform_factory(Item, fields=["name", "amount"])(
        {"name": "a", "amount": 1}, instance=Item(created_by=ann)
    )
    with acting_as("importer"), preserve_audit_fields():
        assert people_of(form.save()) == ("1", "importer")


def test_update_refuses_an_instance_as_django_does(items, ann):
    """It asks nobody what the field makes of it."""
    with preserve_audit_fields(), pytest.raises(TypeError, match="with a model instance"):
        Item.objects.update(created_by=ann)


@override_settings(AUDIT_FIELDS={"ACTOR": lambda user: f"user:{user.username}"})
def test_a_label_is_what_the_project_makes_of_a_user(ann):
    """`ACTOR` is asked here, too."""
    with acting_as(ann):
        item = ItemFactory()
    assert item.created_by == "user:ann"
    assert Item.objects.get(created_by=ann) == item
    assert Item.objects.get(created_by__in=[ann]) == item
