"""Models with a trail, of every kind that the trail tells apart."""

from django.db import models

from django_audit_fields.models import TrailModel
from django_audit_fields.trail import AuditTrail


class Invoice(TrailModel):
    number = models.TextField(blank=True, default="")
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=0)

    def __str__(self) -> str:
        return self.number


class CreditNote(Invoice):
    """A child table of its own, with the parent's key."""

    cause = models.TextField(default="")


class OldInvoice(Invoice):
    class Meta:
        proxy = True


class Tag(models.Model):
    word = models.TextField(default="")

    def __str__(self) -> str:
        return self.word


class Article(TrailModel):
    title = models.TextField(default="")
    tags = models.ManyToManyField(Tag)

    def __str__(self) -> str:
        return self.title


class Patient(models.Model):
    """No `TimestampModel`: the trail has rules of its own."""

    name = models.TextField(default="")
    ssn = models.TextField(null=True)  # noqa: DJ001  # NULL stays NULL behind a mask
    photo = models.BinaryField(null=True)
    tags = models.ManyToManyField(Tag)

    class Meta:
        constraints = [
            AuditTrail(
                name="%(app_label)s_%(class)s_trail", exclude=["photo"], mask=["ssn"], reason=True
            )
        ]

    def __str__(self) -> str:
        return self.name


class Measured(models.Model):
    meter = models.IntegerField(default=0, unique=True)
    value = models.FloatField(null=True)
    secret = models.TextField(null=True)  # noqa: DJ001  # NULL stays NULL behind a mask
    hidden = models.TextField(default="")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.meter)


class Gauge(Measured):
    """Recorded row by row."""

    class Meta:
        constraints = [
            AuditTrail(name="%(app_label)s_%(class)s_trail", exclude=["hidden"], mask=["secret"])
        ]


class Reading(Measured):
    """The same, recorded statement by statement."""

    class Meta:
        constraints = [
            AuditTrail(
                name="%(app_label)s_%(class)s_trail",
                level="statement",
                exclude=["hidden"],
                mask=["secret"],
            )
        ]


class Line(models.Model):
    """A key of two columns."""

    pk = models.CompositePrimaryKey("book", "place")
    book = models.IntegerField()
    place = models.TextField()
    text = models.TextField(default="")

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail")]

    def __str__(self) -> str:
        return self.text


class Remark(models.Model):
    """Goes with its invoice, or stays without one."""

    invoice = models.ForeignKey(Invoice, models.CASCADE)
    article = models.ForeignKey(Article, models.SET_NULL, null=True)
    text = models.TextField(default="")

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail")]

    def __str__(self) -> str:
        return self.text
