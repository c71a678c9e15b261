"""Valid rows; a test names only what it is about."""

import factory
from factory.django import DjangoModelFactory

from tests.testapp.models import Item, Part


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
