"""Models that come to the four columns in an unusual way; a test names the oddity."""

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import InMemoryStorage
from django.db import models

from django_audit_fields import acting_as
from django_audit_fields.fields import AuditActorField, AuditTimeField
from django_audit_fields.models import AuditManager, AuditQuerySet, TimestampModel
from django_audit_fields.triggers import AuditTrigger


class Thing(TimestampModel):
    """What the others hang on."""

    name = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name


class Nameless(TimestampModel):
    """Without people."""

    name = models.CharField(max_length=100, default="")
    created_by = None
    updated_by = None

    def __str__(self):
        return self.name


class Unchanging(TimestampModel):
    """Written once: who and when."""

    name = models.CharField(max_length=100, default="")
    updated_at = None
    updated_by = None

    def __str__(self):
        return self.name


class Undated(TimestampModel):
    """Without the creation's time."""

    name = models.CharField(max_length=100, default="")
    created_at = None

    def __str__(self):
        return self.name


class Bare(TimestampModel):
    """None of the four is left."""

    name = models.CharField(max_length=100, default="")
    created_at = updated_at = created_by = updated_by = None

    def __str__(self):
        return self.name


class LongLabels(TimestampModel):
    """Columns of its own: one of our field, one of Django's."""

    name = models.CharField(max_length=100, default="")
    created_by = AuditActorField(max_length=100)
    updated_by = models.CharField(max_length=100, editable=False)

    def __str__(self):
        return self.name


class OtherColumns(TimestampModel):
    """Fields whose columns have other names."""

    name = models.CharField(max_length=100, default="")
    created_at = AuditTimeField(db_column="made_on")
    created_by = AuditActorField(db_column="maker")

    def __str__(self):
        return self.name


class Selecting(TimestampModel):
    name = models.CharField(max_length=100, default="")

    class Meta:
        select_on_save = True

    def __str__(self):
        return self.name


class Ranked(TimestampModel):
    """In an order that the thing keeps."""

    thing = models.ForeignKey(Thing, models.CASCADE)

    class Meta:
        order_with_respect_to = "thing"


class Computed(TimestampModel):
    """Other columns come back from the database as well."""

    amount = models.IntegerField(default=0)
    double = models.GeneratedField(
        expression=models.F("amount") * 2, output_field=models.IntegerField(), db_persist=True
    )
    code = models.CharField(max_length=20, db_default="none")
    slot = models.IntegerField(unique=True, null=True)


class Composite(TimestampModel):
    pk = models.CompositePrimaryKey("tenant", "number")
    tenant = models.IntegerField()
    number = models.IntegerField()
    name = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name


class Refusing(TimestampModel):
    """Nobody may not write it, whatever the project says."""

    name = models.CharField(max_length=100, default="")
    code = models.CharField(max_length=20, null=True, unique=True)  # noqa: DJ001
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")
    things = models.ManyToManyField(Thing, through="RefusingLink")

    class Meta:
        constraints = [AuditTrigger(name="%(app_label)s_%(class)s_audit", nobody="refuse")]

    def __str__(self):
        return self.name


class RefusingChild(Refusing):
    extra = models.CharField(max_length=100, default="", unique=True)


class RefusingChildProxy(RefusingChild):
    class Meta:
        proxy = True


class RefusingLink(TimestampModel):
    refusing = models.ForeignKey(Refusing, models.CASCADE)
    thing = models.ForeignKey(Thing, models.CASCADE)

    class Meta:
        constraints = [AuditTrigger(name="%(app_label)s_%(class)s_audit", nobody="refuse")]


class Named(models.Model):
    name = models.CharField(max_length=100, default="")

    class Meta:
        abstract = True

    def __str__(self):
        return self.name


class Dated(TimestampModel):
    on = models.DateField(null=True)

    class Meta(TimestampModel.Meta):
        abstract = True


class Grandchild(Named, Dated):
    """An abstract model between, and a base before ours."""


class Note(TimestampModel):
    """Hangs on a thing, loosely."""

    thing = models.ForeignKey(Thing, models.SET_NULL, null=True, related_name="notes")


class BasedNote(TimestampModel):
    """Django's own writes to it go through our manager as well."""

    thing = models.ForeignKey(Thing, models.SET_NULL, null=True, related_name="based_notes")

    class Meta:
        base_manager_name = "objects"


class LiveQuerySet(AuditQuerySet):
    def retire(self):
        return self.update(is_live=False)


class LiveManager(AuditManager.from_queryset(LiveQuerySet)):
    def get_queryset(self):
        return super().get_queryset().filter(is_live=True)


class Listed(TimestampModel):
    """Its manager is made of the queryset, as Django offers it."""

    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")

    objects = AuditQuerySet.as_manager()


class Comment(TimestampModel):
    """May hang on anything."""

    # Tables of apps without migrations are made before those that have some.
    content_type = models.ForeignKey(ContentType, models.CASCADE, null=True, db_constraint=False)
    object_id = models.BigIntegerField(null=True)
    subject = GenericForeignKey()


class Commented(TimestampModel):
    comments = GenericRelation(Comment)


class Live(TimestampModel):
    """A default manager that leaves rows out."""

    is_live = models.BooleanField(default=True)

    objects = LiveManager()


def dated_path(instance, name):
    return f"{instance.created_at:%Y}/{name}"


class Filed(TimestampModel):
    """Where the file goes depends on the time of creation."""

    file = models.FileField(upload_to=dated_path, storage=InMemoryStorage)


class Saving(TimestampModel):
    """A save of its own, which saves again."""

    name = models.CharField(max_length=100, default="")
    seen = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name

    def save(self, *args, **kwargs):
        super().save(*args, **kwargs)
        self.seen = self.updated_by
        super().save(update_fields=["seen"])


class Swappable(TimestampModel):
    name = models.CharField(max_length=100, default="")

    class Meta:
        swappable = "ODDAPP_SWAPPABLE"

    def __str__(self):
        return self.name


class Swapped(TimestampModel):
    """Stands in for `Swappable`."""

    name = models.CharField(max_length=100, default="")

    def __str__(self):
        return self.name


class HookedQuerySet(AuditQuerySet):
    """Writes rows of others, before and after those that it was asked for."""

    def _hook(self, name):
        with acting_as("service"):
            Thing.objects.update(name=name)
        BulkOnly.objects.bulk_create([BulkOnly(created_by="forged", updated_by="forged")])
        BulkOnly.objects.bulk_create([BulkOnly()])

    def update(self, **kwargs):
        self._hook("update")
        return super().update(**kwargs)

    def _insert(self, *args, **kwargs):
        self._hook("insert")
        return super()._insert(*args, **kwargs)

    _insert.queryset_only = False


class Hooked(TimestampModel):
    manager = models.CharField(max_length=20, default="")
    write = models.CharField(max_length=20, default="")
    thing = models.ForeignKey(Thing, models.CASCADE, null=True, related_name="hooked")
    things = models.ManyToManyField(Thing, related_name="hooked_many")

    objects = AuditManager.from_queryset(HookedQuerySet)()


class BulkOnly(TimestampModel):
    """With Django's manager: the fields stamp what it inserts at once."""

    objects = models.Manager()


class ServedQuerySet(AuditQuerySet):
    def update(self, **kwargs):
        with acting_as("service"):
            return super().update(**kwargs)


class Served(TimestampModel):
    """Somebody else is always acting when its rows are updated."""

    name = models.CharField(max_length=100, default="")
    thing = models.ForeignKey(Thing, models.CASCADE, null=True, related_name="served")

    objects = AuditManager.from_queryset(ServedQuerySet)()

    class Meta:
        base_manager_name = "objects"

    def __str__(self):
        return self.name


class ReadOnlyName(TimestampModel):
    """Without a column, and with something to read in its place."""

    name = models.CharField(max_length=100, default="")
    created_by = None

    @property
    def updated_by(self):
        return "nobody in particular"

    def __str__(self):
        return self.name


class PastBulkOnly(TimestampModel):
    """The same, with its columns in another order."""

    created_at = AuditTimeField()

    objects = models.Manager()
