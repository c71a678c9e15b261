"""A model's rows as they were."""

import datetime

import pytest
from django.db import NotSupportedError, connection, models
from django.utils import timezone

from django_audit_fields.models import AuditEvent
from tests.trail.reading.readingapp.models import (
    Customer,
    Everything,
    Order,
    Renamed,
    Rush,
    Secretive,
)
from tests.trail.recorded import execute

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def now():
    """By the clock that the events are recorded by."""
    [(when,)] = execute("SELECT clock_timestamp()")
    return when


@pytest.fixture
def history():
    """Ann's order grew from 10 to 20, Bob's was deleted, Carl's came later."""
    names = [Customer.objects.create(name=name) for name in ("Ann", "Bob", "Carl")]
    before = now()
    ann = Order.objects.create(customer=names[0], amount=10, note="a%s")
    bob = Order.objects.create(customer=names[1], amount=5, note="b")
    then = now()
    ann.amount = 20
    ann.save()
    bob.delete()
    Order.objects.create(customer=names[2], amount=7, note="c")
    return before, then


def test_rows_as_they_were(history):
    before, then = history
    past = Order.trail.as_of(then)
    assert sorted(past.values_list("note", "amount")) == [("a%s", 10), ("b", 5)]
    assert sorted(Order.trail.as_of(now()).values_list("note", "amount")) == [("a%s", 20), ("c", 7)]
    assert list(Order.trail.as_of(before)) == []
    ann = past.get(note="a%s")
    assert (type(ann), ann.amount, ann.customer.name) == (Order, 10, "Ann")
    assert ann.updated_at < then


def test_it_is_a_queryset_like_any_other(history):
    _, then = history
    past = Order.trail.as_of(then)
    assert isinstance(past, type(Order.objects.all()))
    assert [row.note for row in past.order_by("-amount")] == ["a%s", "b"]
    assert past.filter(amount__gt=6).count() == 1
    assert past.filter(amount=20).exists() is False
    assert past.aggregate(models.Sum("amount"))["amount__sum"] == 15
    assert past.exclude(note="b").get().note == "a%s"
    assert past.filter(customer__name="Bob").get().note == "b"
    assert past.exclude(customer__name="Bob").get().note == "a%s"
    assert past.select_related("customer").get(note="b").customer.name == "Bob"
    assert Order.objects.filter(note__in=past.values("note")).count() == 1
    assert past.filter(pk__in=Order.objects.values("pk")).get().note == "a%s"
    assert Order.trail.as_of(now()).filter(pk__in=past.filter(amount=10).values("pk")).get()
    assert past.union(Order.trail.as_of(now())).count() == 4
    assert (past.filter(note="b") | past.filter(note="a%s")).count() == 2
    assert set(past.values_list("customer__name", flat=True)[:2]) == {"Ann", "Bob"}
    assert past.annotate(twice=models.F("amount") * 2).get(note="b").twice == 10
    assert past.values("state").annotate(n=models.Count("id")).get()["n"] == 2
    outer = Customer.objects.filter(models.Exists(past.filter(customer=models.OuterRef("pk"))))
    assert outer.count() == 2
    assert past.explain()


def test_a_truncate_ends_all_rows_before_it(history):
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("TRUNCATE readingapp_order CASCADE")
    between = now()
    Order.objects.create(note="d")
    assert list(Order.trail.as_of(between)) == []
    assert [row.note for row in Order.trail.as_of(now())] == ["d"]
    assert Order.trail.as_of(history[1]).count() == 2


def test_rows_as_they_were_are_not_written(history):
    past = Order.trail.as_of(history[1])
    for write in (
        lambda: past.delete(),
        lambda: past.filter(note="a%s").delete(),
        lambda: past.update(note="x"),
        lambda: past.bulk_update(list(past), ["note"]),
    ):
        with pytest.raises(TypeError, match="as they were"):
            write()
    assert Order.objects.filter(note="c").exists()
    assert Order.objects.count() == 2


def test_what_is_masked_stays_masked():
    Secretive.objects.create(name="x", ssn="1", pin=5, photo=b"1")
    row = Secretive.history.as_of(now()).get()
    assert (row.name, row.ssn, row.pin, row.photo) == ("x", "***", None, None)


def test_former_names(history):
    execute(
        "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name, row_key,"
        " actor, db_role, transaction_id, after) VALUES (clock_timestamp(), 'insert', 'public',"
        " 'readingapp_oldname', '7', '1', 'postgres', 1,"
        """ '{"id": 7, "heading": "Old", "buyer_id": 3}')"""
    )
    row = Renamed.trail.as_of(now()).get()
    assert (row.pk, row.title, row.customer_id) == (7, "Old", 3)


def test_every_kind_of_column():
    row = Everything.objects.create(
        small=1,
        numeric="1.5000000000",
        json={"a": [1, None]},
        data=b"\0\xff",
        words=[["a", "b"]],
        ciphered="secret",
        lasted=datetime.timedelta(1),
    )
    then = Everything.trail.as_of(now()).get()
    today = Everything.objects.get()
    assert then == row
    for field in Everything._meta.concrete_fields:
        assert getattr(then, field.attname) == getattr(today, field.attname), field


@pytest.mark.parametrize("when", [datetime.datetime(2026, 1, 1), "2026-01-01", None])
def test_when_is_an_aware_datetime(when):
    with pytest.raises(ValueError, match="time zone"):
        Order.trail.as_of(when)


def test_it_is_asked_of_a_model_with_one_table():
    with pytest.raises(TypeError, match="asked of the model"):
        Order().trail.as_of(timezone.now())
    with pytest.raises(NotSupportedError, match=r"readingapp\.Order\.trail"):
        Rush.trail.as_of(timezone.now())


def test_another_table_is_another_history(history):
    assert Customer.objects.count() == 3
    assert not AuditEvent.objects.filter(table_name="readingapp_customer").exists()
    assert Secretive.history.as_of(now()).count() == 0
