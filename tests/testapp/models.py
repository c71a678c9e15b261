"""One model for each way in which a table can come to the four columns."""

import uuid

from django.db import models

from django_audit_fields.models import AuditManager, TimestampModel


class Item(TimestampModel):
    """The usual case: nothing but `TimestampModel`."""

    name = models.CharField(max_length=100, default="")
    amount = models.IntegerField(default=0)
    code = models.CharField(max_length=20, null=True, unique=True)  # noqa: DJ001  # NULLs are distinct

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.name


class ItemProxy(Item):
    class Meta:
        proxy = True


class Part(TimestampModel):
    """Belongs to an item, for related managers and formsets."""

    item = models.ForeignKey(Item, models.CASCADE, related_name="parts", null=True)
    name = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name


class SpecialItem(Item):
    """A child table of multi-table inheritance: the columns are the parent's."""

    extra = models.CharField(max_length=100, default="")


class Plain(models.Model):
    """Without the columns."""

    name = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name


class PlainChild(TimestampModel, Plain):
    """A child table that brings the columns, which its parent lacks."""

    extra = models.CharField(max_length=100, default="")


class Keyed(TimestampModel):
    """The key is the client's."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name


class Labelled(TimestampModel):
    """A natural key without a default: `save()` tries an UPDATE first."""

    label = models.CharField(max_length=20, primary_key=True)
    amount = models.IntegerField(default=0)

    def __str__(self):
        return self.label


class Tag(models.Model):
    name = models.CharField(max_length=100)
    items = models.ManyToManyField(Item, through="Tagging", related_name="tags")

    def __str__(self):
        return self.name


class Tagging(TimestampModel):
    """A through table with the columns."""

    tag = models.ForeignKey(Tag, models.CASCADE)
    item = models.ForeignKey(Item, models.CASCADE)


class OwnManager(TimestampModel):
    """Its default manager is Django's, so that bulk writes are left to field and trigger."""

    name = models.CharField(max_length=100, default="")

    objects = models.Manager()
    audited = AuditManager()

    def __str__(self):
        return self.name
