"""Audited models that are at the same time somebody else's."""

from concurrency.fields import IntegerVersionField
from django.db import models
from django_fsm import ConcurrentTransitionMixin, FSMField, transition
from model_utils import Choices, FieldTracker
from model_utils.managers import InheritanceManager, InheritanceQuerySet
from model_utils.models import SoftDeletableModel, StatusModel, TimeStampedModel
from mptt.managers import TreeManager
from mptt.models import MPTTModel, TreeForeignKey
from mptt.querysets import TreeQuerySet
from polymorphic.managers import PolymorphicManager
from polymorphic.models import PolymorphicModel
from polymorphic.query import PolymorphicQuerySet
from simple_history.models import HistoricalRecords
from treebeard.mp_tree import MP_Node, MP_NodeManager, MP_NodeQuerySet

from django_audit_fields.models import AuditQuerySet, TimestampModel


class Named(TimestampModel):
    name = models.CharField(max_length=100, default="")

    class Meta:
        abstract = True

    def __str__(self):
        return self.name


class Ticket(Named, StatusModel, TimeStampedModel):
    """model-utils: columns of its own for the time, a status, a tracker of changes."""

    STATUS = Choices("open", "closed")

    tracker = FieldTracker()


class Draft(Named, SoftDeletableModel):
    """model-utils: deleted by an update."""


class AuditInheritanceQuerySet(AuditQuerySet, InheritanceQuerySet):
    pass


class Place(Named):
    """model-utils: subclasses found through one manager, which is ours as well."""

    objects = InheritanceManager.from_queryset(AuditInheritanceQuerySet)()


class Restaurant(Place):
    stars = models.IntegerField(default=0)


class AuditPolymorphicQuerySet(AuditQuerySet, PolymorphicQuerySet):
    pass


class Animal(PolymorphicModel, Named):
    """polymorphic, with a manager that is both."""

    leader = models.ForeignKey("self", models.CASCADE, null=True, related_name="pack")

    objects = PolymorphicManager.from_queryset(AuditPolymorphicQuerySet)()


class Dog(Animal):
    tricks = models.IntegerField(default=0)


class Plant(PolymorphicModel, Named):
    """polymorphic with its own manager: what that writes is the trigger's."""


class Tree(Plant):
    height = models.IntegerField(default=0)


class Folder(MPTTModel, Named):
    """mptt with its own manager."""

    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")


class AuditTreeQuerySet(AuditQuerySet, TreeQuerySet):
    pass


class Branch(MPTTModel, Named):
    """mptt with a manager that is both."""

    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")

    objects = TreeManager.from_queryset(AuditTreeQuerySet)()


class Chapter(MP_Node, Named):
    """treebeard with its own manager."""


class AuditNodeQuerySet(AuditQuerySet, MP_NodeQuerySet):
    pass


class Section(MP_Node, Named):
    """treebeard with a manager that is both."""

    objects = MP_NodeManager.from_queryset(AuditNodeQuerySet)()


class Contract(Named):
    """simple-history beside it: every version of a row is kept in a table without triggers."""

    amount = models.IntegerField(default=0)

    history = HistoricalRecords()


class Book(Named):
    """For serializers, resources and factories."""

    isbn = models.CharField(max_length=20, unique=True)
    pages = models.IntegerField(default=0)


class Order(ConcurrentTransitionMixin, Named):
    """fsm: an UPDATE finds its row only in the state that it was loaded in."""

    state = FSMField(default="new")

    @transition(field=state, source="new", target="paid")
    def pay(self):
        """Nothing else happens."""


class Account(Named):
    """concurrency: an UPDATE finds its row only in the version that it was loaded in."""

    version = IntegerVersionField()
