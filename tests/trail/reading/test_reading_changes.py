"""What an event tells: each field before and after, by names, and the instance as it was."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_audit_fields import acting_as
from django_audit_fields.models import AuditEvent
from django_audit_fields.trail import Change
from tests.trail.reading.readingapp.models import (
    Country,
    Customer,
    Everything,
    Order,
    Rush,
    Secretive,
)
from tests.trail.recorded import execute, set_context

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def changed(event):
    return {change.field: (change.before, change.after) for change in event.changes()}


def shown(event):
    return {
        change.field: (change.before_display, change.after_display) for change in event.changes()
    }


def update(row, **values):
    type(row)._base_manager.filter(pk=row.pk).update(**values)
    return AuditEvent.objects.of(row).first()


def test_the_fields_that_changed_before_and_after():
    order = Order.objects.create(amount="80.10")
    event = update(order, amount="90.20")
    [change] = [change for change in event.changes() if change.field == "amount"]
    assert change == Change(
        field="amount",
        verbose_name="amount due",
        before=order.trail.last().instance().amount,
        after=event.instance().amount,
        before_display="80.10",
        after_display="90.20",
    )
    assert str(change.before) == "80.10"
    assert set(changed(event)) == {"amount", "updated_at"}


def test_of_an_insert_and_a_delete_all_that_was_there():
    order = Order.objects.create(amount=1, note="n")
    order.delete()
    delete, insert = Order.trail.all()
    inserted, deleted = changed(insert), changed(delete)
    assert inserted["note"] == (None, "n")
    assert deleted["note"] == ("n", None)
    assert "customer" not in inserted  # it was NULL and is
    assert deleted == {field: (after, None) for field, (_, after) in inserted.items()}


def test_choices_and_foreign_keys_are_shown_by_name():
    ann, country = Customer.objects.create(name="Ann"), Country.objects.create(code="at", name="A.")
    order = Order.objects.create(customer=ann, country=country)
    bob = Customer.objects.create(name="Bob")
    event = update(order, customer=bob, state="p")
    assert changed(event)["customer"] == (ann.pk, bob.pk)
    assert shown(event)["customer"] == ("Ann", "Bob")
    assert shown(event)["state"] == ("Open", "Paid in full")
    assert shown(order.trail.last())["country"] == ("", "A.")
    execute("UPDATE readingapp_order SET state = 'x'")
    assert shown(order.trail.first())["state"] == ("Paid in full", "x")
    bob_key = bob.pk
    Order.objects.update(customer=None)
    bob.delete()
    assert shown(order.trail.actions("update").last())["customer"] == ("Ann", f"deleted #{bob_key}")


def test_people_are_shown_by_name():
    user = User.objects.create(username="ann", first_name="Ann", last_name="Lee")
    with acting_as(user):
        order = Order.objects.create()
    assert shown(order.trail.get())["created_by"] == ("", "Ann Lee")
    assert changed(order.trail.get())["created_by"] == (None, str(user.pk))


def test_masked_is_masked_and_excluded_is_absent():
    row = Secretive.objects.create(name="x", ssn="123", pin=5, photo=b"1")
    event = update(row, ssn="456", pin=6, photo=b"2")
    assert changed(event) == {"ssn": ("***", "***"), "pin": ("***", "***")}
    assert shown(event) == changed(event)
    event = update(row, pin=None)
    assert changed(event) == {"pin": ("***", None)}
    then = row.history.last().instance()
    assert (then.ssn, then.pin, then.photo) == ("***", "***", None)


def test_what_is_masked_or_excluded_today_was_not_to_be_seen_yesterday():
    event = Secretive.objects.create(name="x").history.get()
    event.after |= {"ssn": "123", "photo": "\\x6162"}
    assert changed(event)["ssn"] == (None, "***")
    assert "photo" not in changed(event)
    assert event.instance().photo is None


def test_columns_that_no_field_has_are_shown_by_their_own_name():
    execute("ALTER TABLE readingapp_order ADD COLUMN legacy numeric")
    order = Order.objects.create()
    execute("UPDATE readingapp_order SET legacy = 1.50")
    change = order.trail.first().changes()[-1]
    assert (change.field, change.verbose_name) == ("legacy", "legacy")
    assert (change.before, change.after) == (None, 1.5)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("ALTER TABLE readingapp_order DROP COLUMN legacy")
    assert order.trail.first().instance() == order


def test_a_table_that_no_model_has():
    execute("CREATE TABLE legacy (id int PRIMARY KEY, title text)")
    execute(
        'CREATE TRIGGER "!audit_trail" AFTER INSERT ON legacy FOR EACH ROW'
        " EXECUTE FUNCTION audit_trail.record('{id}', '{}', '{}', '', '', 'system')"
    )
    execute("INSERT INTO legacy VALUES (1, 't')")
    event = AuditEvent.objects.get(table_name="legacy")
    assert event.model is event.object is event.instance() is None
    assert changed(event) == {"id": (None, 1), "title": (None, "t")}


def test_a_truncate_has_no_fields():
    Order.objects.create()
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("TRUNCATE readingapp_order CASCADE")
    event = Order.trail.actions("truncate").get()
    assert event.changes() == []
    assert event.instance() is event.object is event.row_key is None


def test_what_was_sent_along():
    set_context(reason="call", on_behalf_of="patient:1", source="POST /x/", request_id="r")
    event = Order.objects.create().trail.get()
    told = event.reason, event.on_behalf_of, event.source, event.request_id
    assert told == ("call", "patient:1", "POST /x/", "r")
    set_context()
    event = Order.objects.create().trail.get()
    assert (event.reason, event.on_behalf_of, event.source, event.request_id) == (None,) * 4
    assert event.client_addr is None
    assert str(event) == f"insert readingapp_order #{event.row_key}"


def test_model_and_todays_row():
    order = Order.objects.create(note="then")
    event = order.trail.get()
    Order.objects.update(note="now")
    assert event.model is Order
    assert event.object == order
    assert event.object.note == "now"
    assert event.instance().note == "then"
    order.delete()
    assert event.object is None


def test_the_instance_of_a_child_has_what_its_parent_held_then():
    rush = Rush.objects.create(note="first", hours=1)
    rush.hours, rush.note = 2, "second"
    rush.save()
    key = rush.pk
    rush.delete()
    events = [
        event for event in Rush.trail.filter(row_key=str(key)) if event.table_name.endswith("rush")
    ]
    told = [(event.action, event.instance().hours, event.instance().note) for event in events]
    assert told == [("delete", 2, "second"), ("update", 2, "second"), ("insert", 1, "first")]
    assert isinstance(events[0].instance(), Rush)
    parents = [event for event in Order.trail.all() if event.action == "update"]
    assert [type(event.instance()) for event in parents] == [Order]


def queries(events):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        for event in events:
            event.changes()
    return len(captured)


@pytest.mark.parametrize("way", ["all", "iterator"])
def test_a_page_of_events_takes_a_constant_number_of_queries(way):
    """The events, where the tables are, customers, countries and people."""
    country = Country.objects.create(code="at", name="A.")
    users = User.objects.bulk_create(User(username=f"u{n}") for n in range(500))
    customers = Customer.objects.bulk_create(Customer(name=f"c{n}") for n in range(500))
    order = Order.objects.create(country=country)
    counts = {}
    for number, (user, customer) in enumerate(zip(users, customers, strict=True), 1):
        with acting_as(user):
            Order.objects.filter(pk=order.pk).update(customer=customer)
        if number in (5, 500):
            events = getattr(order.trail, way)()
            counts[number] = queries(events)
    assert counts == {5: 5, 500: 5}


def test_events_without_foreign_keys_take_one_query():
    row = Everything.objects.create(text="a")
    assert queries(row.trail.all()) == 1
