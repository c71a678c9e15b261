"""Rows to be read back from the trail: every kind of column, and what names what."""

import uuid

from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, IntegerRangeField
from django.db import models

from django_audit_fields.models import TimestampModel, TrailModel
from django_audit_fields.trail import AuditTrail


class Country(models.Model):
    code = models.CharField(max_length=2, unique=True)
    name = models.TextField(default="")

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    """Has no trail."""

    name = models.TextField(default="")

    def __str__(self) -> str:
        return self.name


class Order(TrailModel):
    class State(models.TextChoices):
        OPEN = "o", "Open"
        PAID = "p", "Paid in full"

    customer = models.ForeignKey(Customer, models.SET_NULL, null=True)
    country = models.ForeignKey(Country, models.CASCADE, to_field="code", null=True)
    amount = models.DecimalField("amount due", max_digits=20, decimal_places=2, default=0)
    state = models.CharField(max_length=1, choices=State, default=State.OPEN)
    note = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return f"order {self.pk}"


class Rush(Order):
    """A child table."""

    hours = models.IntegerField(default=1)


class RushProxy(Rush):
    class Meta:
        proxy = True


class Secretive(models.Model):
    name = models.TextField(default="")
    ssn = models.TextField(null=True)  # noqa: DJ001  # NULL stays NULL behind a mask
    pin = models.IntegerField(null=True)
    photo = models.BinaryField(null=True)

    class Meta:
        constraints = [
            AuditTrail(
                name="%(app_label)s_%(class)s_trail",
                mask=["ssn", "pin"],
                exclude=["photo"],
                accessor="history",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Renamed(models.Model):
    """Was called `readingapp_oldname`, its title `heading` and its customer `buyer`."""

    title = models.TextField(default="")
    customer = models.ForeignKey(Customer, models.DO_NOTHING, null=True)

    class Meta:
        constraints = [
            AuditTrail(
                name="%(app_label)s_%(class)s_trail",
                formerly=["readingapp_oldname"],
                renamed={"heading": "title", "buyer": "customer"},
            )
        ]

    def __str__(self) -> str:
        return self.title


class Ciphered(models.TextField):
    """Stores its text backwards."""

    def get_prep_value(self, value):
        return None if value is None else value[::-1]

    def from_db_value(self, value, expression, connection):
        return None if value is None else value[::-1]


class Everything(models.Model):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    small = models.SmallIntegerField(null=True)
    big = models.BigIntegerField(null=True)
    numeric = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    real = models.FloatField(null=True)
    truth = models.BooleanField(null=True)
    text = models.TextField(null=True)  # noqa: DJ001
    short = models.CharField(max_length=20, null=True)  # noqa: DJ001
    date = models.DateField(null=True)
    time = models.TimeField(null=True)
    moment = models.DateTimeField(null=True)
    lasted = models.DurationField(null=True)
    ident = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    data = models.BinaryField(null=True)
    json = models.JSONField(null=True)
    numbers = ArrayField(models.DecimalField(max_digits=12, decimal_places=3), null=True)
    words = ArrayField(ArrayField(models.TextField()), null=True)
    span = IntegerRangeField(null=True)
    period = DateTimeRangeField(null=True)
    ciphered = Ciphered(null=True)
    ciphers = ArrayField(Ciphered(), null=True)
    doubled = models.GeneratedField(
        expression=models.F("small") + models.F("small"),
        output_field=models.IntegerField(null=True),
        db_persist=True,
    )

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail")]

    def __str__(self) -> str:
        return str(self.key)


class Booking(models.Model):
    """A key of three columns, one of them a time."""

    pk = models.CompositePrimaryKey("room", "day", "fee")
    room = models.TextField()
    day = models.DateTimeField()
    fee = models.DecimalField(max_digits=6, decimal_places=2)
    guest = models.TextField(default="")

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail")]

    def __str__(self) -> str:
        return self.guest


class Taken(TimestampModel):
    """Has something else of the name `trail`."""

    trail = models.TextField(default="")

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail", accessor="events")]

    def __str__(self) -> str:
        return self.trail


class Plain(models.Model):
    """Has no trail."""

    def __str__(self) -> str:
        return str(self.pk)


class Named(TrailModel):
    """A key that is text, and needs quoting in an address."""

    name = models.TextField(primary_key=True)
    text = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return self.name


class Treated(models.Model):
    """Each change needs a reason."""

    name = models.TextField()
    note = models.TextField(blank=True, default="")

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail", reason=True)]

    def __str__(self) -> str:
        return self.name


class Treatment(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE)
    name = models.TextField()

    class Meta:
        constraints = [AuditTrail(name="%(app_label)s_%(class)s_trail", reason=True)]

    def __str__(self) -> str:
        return self.name
