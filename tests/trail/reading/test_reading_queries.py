"""Which events are found: by person, row, time, request, action; and that none can be written."""

import datetime
import json
from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core import serializers
from django.db import connection, models
from django.utils import timezone

from django_audit_fields import acting_as
from django_audit_fields.models import AuditEvent
from django_audit_fields.trail import trail_of
from tests.trail.reading.readingapp.models import (
    Booking,
    Customer,
    Order,
    Plain,
    Renamed,
    Rush,
    RushProxy,
    Secretive,
    Taken,
)
from tests.trail.recorded import execute, set_context
from tests.trail.trailapp.models import Article, Tag

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def told(events):
    return [(event.action, event.row_key) for event in events]


def test_events_of_a_person():
    """A user, or the label of one; nobody is the fallback."""
    user = User.objects.create(username="ann")
    with acting_as(user):
        Order.objects.create()
    with acting_as("import:orders"):
        Order.objects.create()
    Order.objects.create()
    for actor, label in (
        (user, str(user.pk)),
        (str(user.pk), str(user.pk)),
        ("import:orders", "import:orders"),
        (AnonymousUser(), "system"),
    ):
        [event] = AuditEvent.objects.by(actor).of(Order)
        assert event.actor == label
    assert not AuditEvent.objects.by("nobody-at-all").exists()
    with pytest.raises(ValueError, match="saved"):
        AuditEvent.objects.by(User(username="new"))
    with pytest.raises(TypeError, match="None"):
        AuditEvent.objects.by(None)


def test_events_of_a_row_and_of_a_model_come_newest_first():
    one, two = Order.objects.create(), Order.objects.create()
    one.amount = 5
    one.save()
    expected = [("update", str(one.pk)), ("insert", str(one.pk))]
    for events in (
        one.trail.all(),
        AuditEvent.objects.of(one),
        trail_of(one),
        AuditEvent.objects.of(Order(pk=one.pk)),
    ):
        assert told(events) == expected
    for events in (Order.trail.all(), AuditEvent.objects.of(Order), trail_of(Order)):
        assert told(events) == [expected[0], ("insert", str(two.pk)), expected[1]]
    assert told(Order.trail.actions("insert").of(two)) == [("insert", str(two.pk))]
    assert not trail_of(Order()).exists()


def test_a_model_without_a_trail_has_no_events():
    assert not hasattr(Plain, "trail")
    assert not trail_of(Plain.objects.create()).exists()


def test_a_table_with_a_trail_that_its_model_does_not_know_of():
    """Here a many-to-many table."""
    article = Article.objects.create()
    article.tags.add(Tag.objects.create())
    link = Article.tags.through.objects.get()
    assert told(trail_of(link)) == [("insert", str(link.pk))]
    assert told(trail_of(Article.tags.through)) == [("insert", str(link.pk))]


def test_the_events_of_a_child_are_those_of_all_its_tables():
    other = Order.objects.create()
    rush = Rush.objects.create(amount=1)
    rush.hours = 2
    rush.save()
    tables = ["readingapp_rush", "readingapp_order"]
    for events in (rush.trail.all(), trail_of(rush), RushProxy.objects.get().trail.all()):
        assert [event.table_name for event in events] == tables * 2
    assert {event.row_key for event in Rush.trail.all()} == {str(rush.pk)}
    assert [event.table_name for event in Rush.trail.all()] == tables * 2
    assert {event.row_key for event in Order.trail.all()} == {str(rush.pk), str(other.pk)}
    assert told(Order.objects.get(pk=rush.pk).trail.all()) == [
        ("update", str(rush.pk)),
        ("insert", str(rush.pk)),
    ]


def test_a_key_of_several_columns():
    day = datetime.datetime(2026, 3, 1, 12, 30, 0, 120000, tzinfo=datetime.UTC)
    booking = Booking.objects.create(room='"A" é\n', day=day, fee=Decimal("1.5"))
    [event] = booking.trail.all()
    assert json.loads(event.row_key) == ['"A" é\n', "2026-03-01T12:30:00.12+00:00", 1.5]
    assert event.object == booking
    assert event.instance().fee == Decimal("1.50")
    execute("SET LOCAL TimeZone TO 'Asia/Tokyo'")
    assert told(booking.trail.all()) == [("insert", event.row_key)]


def test_the_accessor_has_the_name_that_the_trail_says():
    row = Secretive.objects.create(name="x")
    assert told(row.history.all()) == told(Secretive.history.all()) == [("insert", str(row.pk))]
    assert not hasattr(row, "trail")
    taken = Taken.objects.create(trail="of dust")
    assert Taken.objects.get().trail == "of dust"
    assert told(taken.events.all()) == [("insert", str(taken.pk))]


def test_between_takes_aware_datetimes():
    first, second, third = (Order.objects.create() for _ in range(3))
    since, until = (row.trail.get().recorded_at for row in (second, third))
    found = Order.trail.between(since, until)
    assert told(found) == [("insert", str(third.pk)), ("insert", str(second.pk))]
    assert first.trail.between(since, until).count() == 0
    now = timezone.now()
    for since, until in (
        (datetime.datetime(2026, 1, 1), now),
        (now, datetime.datetime(2026, 1, 1)),
        (datetime.date(2026, 1, 1), now),
        (now, None),
        ("2026-01-01", now),
    ):
        with pytest.raises(ValueError, match="time zone"):
            Order.trail.between(since, until)


def test_in_request():
    set_context(request_id="r-1", reason="because")
    Order.objects.create()
    set_context()
    Order.objects.create()
    [event] = Order.trail.in_request("r-1")
    assert (event.request_id, event.reason) == ("r-1", "because")
    assert AuditEvent.objects.in_request("r-2").count() == 0


def test_actions():
    order = Order.objects.create()
    order.delete()
    assert [event.action for event in Order.trail.actions("delete")] == ["delete"]
    assert [event.action for event in Order.trail.actions("insert", "delete")] == [
        "delete",
        "insert",
    ]
    with pytest.raises(ValueError, match="'upsert'"):
        Order.trail.actions("insert", "upsert")


@pytest.mark.parametrize("target", [None, 5, "order", object, models.Model, AuditEvent.objects])
def test_of_takes_an_instance_or_a_model(target):
    with pytest.raises(TypeError, match="instance or a model"):
        AuditEvent.objects.of(target)


def test_trail_of_takes_an_instance_or_a_model():
    with pytest.raises(TypeError, match="'order'"):
        trail_of("order")


def test_of_and_by_go_together_and_can_be_counted():
    with acting_as("7"):
        order = Order.objects.create()
    order.save()
    assert order.trail.by("7").count() == 1
    assert order.trail.by("7").actions("insert").exists()
    assert AuditEvent.objects.by("7").of(order).between(*[order.created_at] * 2).count() == 0
    assert order.trail.aggregate(last=models.Max("id"))["last"] == order.trail.first().id
    actions = ["update", "insert"]
    assert list(order.trail.values_list("action", flat=True)) == actions
    assert [event.action for event in order.trail.iterator()] == actions
    assert [event.action for event in order.trail.iterator(chunk_size=1)] == actions


def test_events_cannot_be_written():
    order = Order.objects.create()
    event = order.trail.get()
    for write in (
        event.save,
        event.delete,
        event.save_base,
        lambda: AuditEvent.objects.create(action="insert"),
        lambda: AuditEvent(action="insert").save(),
        lambda: AuditEvent.objects.bulk_create([AuditEvent()]),
        lambda: AuditEvent.objects.bulk_update([event], ["actor"]),
        lambda: AuditEvent.objects.get_or_create(id=0),
        lambda: AuditEvent.objects.update_or_create(id=0),
        lambda: AuditEvent.objects.update(actor="x"),
        lambda: order.trail.delete(),
        lambda: order.trail.all().update(actor="x"),
        lambda: order.trail.all().delete(),
        lambda: AuditEvent._base_manager.filter(pk=event.pk).delete(),
        lambda: AuditEvent._base_manager.filter(pk=event.pk)._raw_delete("default"),
    ):
        with pytest.raises((TypeError, AttributeError), match=r"only added to|delete"):
            write()
    assert order.trail.get().actor == event.actor


def test_what_dumpdata_wrote_is_not_loaded_over_the_trail():
    Order.objects.create()
    text = serializers.serialize("json", AuditEvent.objects.all())
    for deserialized in serializers.deserialize("json", text):
        with pytest.raises(TypeError, match="loaded"):
            deserialized.save()


def test_a_former_name_of_the_table_and_of_its_columns():
    """Read under the names of today."""
    customer = Customer.objects.create(name="Ann")
    execute(
        "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name, row_key,"
        " actor, db_role, transaction_id, after) VALUES (clock_timestamp(), 'insert', 'public',"
        " 'readingapp_oldname', '7', '1', 'postgres', 1, %s)",
        [json.dumps({"id": 7, "heading": "Old", "buyer_id": customer.pk, "gone": 1})],
    )
    row = Renamed.objects.create(pk=7, title="New")
    _, old = row.trail.all()
    assert old.table_name == "readingapp_oldname"
    assert old.model is Renamed
    assert old.object == row
    assert (old.instance().title, old.instance().customer) == ("Old", customer)
    assert [(change.field, change.after_display) for change in old.changes()] == [
        ("id", "7"),
        ("title", "Old"),
        ("customer", "Ann"),
        ("gone", "1"),
    ]


@pytest.fixture
def tenants():
    """Two schemas with the same table, the first of them on the search path."""
    for schema in ("tenant_a", "tenant_b"):
        execute(f"CREATE SCHEMA {schema}")
        for table in ("readingapp_customer", "readingapp_order"):
            execute(f"CREATE TABLE {schema}.{table} (LIKE public.{table} INCLUDING ALL)")
        execute(
            f'CREATE TRIGGER "!audit_trail" AFTER INSERT OR UPDATE OR DELETE ON'
            f" {schema}.readingapp_order FOR EACH ROW EXECUTE FUNCTION"
            " audit_trail.record('{id}', '{}', '{}', '', '', 'system')"
        )
    return lambda schema: execute(f"SET LOCAL search_path TO {schema}, public")


def test_a_tenant_reads_its_own_events_alone(tenants):
    rows = {}
    for schema in ("tenant_a", "tenant_b"):
        tenants(schema)
        customer = Customer.objects.create(pk=1, name=f"customer of {schema}")
        rows[schema] = Order.objects.create(pk=1, customer=customer, note=schema)
    for schema, row in rows.items():
        tenants(schema)
        [event] = row.trail.all()
        assert event.after["note"] == event.table_schema == schema
        assert [event.after["note"] for event in Order.trail.all()] == [schema]
        assert event.object.note == schema
    # Of another tenant: neither its row nor the names of this one's.
    [other] = AuditEvent.objects.filter(table_schema="tenant_a", table_name="readingapp_order")
    assert other.object is None
    shown = {change.field: change.after_display for change in other.changes()}
    assert shown["customer"] == "#1"


def test_the_index_of_a_row_is_used():
    Order.objects.create()
    order = Order.objects.create()
    execute("SET LOCAL enable_seqscan TO off")
    plan = order.trail.all().explain()
    assert "event_2026" in plan
    assert "row_key" in plan.partition("Index Cond")[2]
    assert "table_schema" in plan.partition("Index Cond")[2]
