"""Valid rows; a test names only what it is about."""

from datetime import UTC, datetime

import factory
from factory.django import DjangoModelFactory

from tests.testapp.models import Item, Part

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
#: What no writer may put into the four columns.
FORGED = {
    "created_at": LONG_AGO,
    "created_by": "forged",
    "updated_at": LONG_AGO,
    "updated_by": "forged",
}


class ItemFactory(DjangoModelFactory):
    class Meta:
        model = Item

    name = factory.Sequence("item {}".format)
    amount = 1


class PartFactory(DjangoModelFactory):
    class Meta:
        model = Part

    item = factory.SubFactory(ItemFactory)
    name = factory.Sequence("part {}".format)
