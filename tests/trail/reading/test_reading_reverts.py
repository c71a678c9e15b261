"""A row is put back as it was before an event, as a new event, or not at all."""

import pytest
from django.db import IntegrityError, connection
from django.db.migrations.state import ProjectState

from django_audit_fields import acting_as
from django_audit_fields.models import AuditEvent
from django_audit_fields.operations import InstallAuditTriggers
from django_audit_fields.trail import RevertError, trail_of
from tests.trail.reading.readingapp.models import Customer, Everything, Order, Rush, Secretive
from tests.trail.recorded import execute, last_id
from tests.trail.trailapp.models import Invoice, Patient, Remark

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


@pytest.fixture(autouse=True)
def _no_pending_triggers():
    yield
    execute("SET CONSTRAINTS ALL IMMEDIATE")


def refuses(event, why):
    before = last_id()
    with pytest.raises(RevertError, match=why):
        event.revert(reason="because")
    assert last_id() == before


def test_an_update_is_put_back_as_a_new_event():
    order = Order.objects.create(amount=80, note="a")
    order.amount, order.note = 90, "b"
    order.save()
    Order.objects.create(amount=1)
    with acting_as("7"):
        made = order.trail.first().revert(reason="wrong order")
    order = Order.objects.get(pk=order.pk)
    assert (order.amount, order.note, order.updated_by, order.created_by) == (
        80,
        "a",
        "7",
        "system",
    )
    assert made == order.trail.first()
    assert (made.action, made.actor) == ("update", "7")
    made.revert()
    order.refresh_from_db()
    assert (order.amount, order.note) == (90, "b")


def test_columns_that_triggers_stamp_under_other_names_say_who_put_a_row_back():
    """An old table calls them otherwise: they are not written back, and so tell the truth."""
    stamps = InstallAuditTriggers(
        "readingapp_everything",
        created_at=None,
        created_by=None,
        updated_at="moment",
        updated_by="short",
    )
    with connection.schema_editor() as editor:
        stamps.database_forwards("readingapp", editor, ProjectState(), ProjectState())
    with acting_as("first"):
        row = Everything.objects.create(text="a")
    with acting_as("second"):
        Everything.objects.update(text="b")
    changed_at = Everything.objects.get().moment
    with acting_as("third"):
        trail_of(row).first().revert()
    row.refresh_from_db()
    assert (row.text, row.short) == ("a", "third")
    assert row.moment > changed_at


def test_an_update_of_nothing_but_stamps_is_not_put_back():
    """Nothing is left to write, and no event could say that it was reverted."""
    order = Order.objects.create(amount=80)
    order.save()
    refuses(order.trail.first(), "Only who and when changed")


def test_an_insert_is_put_back_by_a_delete():
    order = Order.objects.create()
    made = order.trail.get().revert()
    assert made.action == "delete"
    assert not Order.objects.exists()


def test_a_delete_is_put_back_with_all_that_the_row_had():
    with acting_as("7"):
        order = Order.objects.create(amount=80, note="a")
    stamps = order.created_at, order.created_by, order.updated_at, order.updated_by
    key = order.pk
    order.delete()
    made = Order.trail.actions("delete").get().revert(reason="missed")
    order = Order.objects.get(pk=key)
    assert (order.amount, order.note) == (80, "a")
    assert (order.created_at, order.created_by, order.updated_at, order.updated_by) == stamps
    assert (made.action, made.row_key) == ("insert", str(key))


def test_a_child_comes_back_with_its_parent():
    rush = Rush.objects.create(note="n", hours=3)
    key = rush.pk
    rush.delete()
    AuditEvent.objects.actions("delete").get(table_name="readingapp_rush").revert()
    assert (Rush.objects.get(pk=key).note, Rush.objects.get(pk=key).hours) == ("n", 3)


def test_a_row_that_has_changed_since_is_left():
    order = Order.objects.create(note="a")
    for note in "bc":
        order.note = note
        order.save()
    newest, older, insert = order.trail.all()
    refuses(older, "changed since")
    refuses(insert, "changed since")
    order.delete()
    refuses(newest, "changed since")
    delete = Order.trail.first()
    delete.revert()
    refuses(delete, "changed since")


def test_what_was_written_past_the_trail_is_a_change_as_well():
    order = Order.objects.create()
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute('ALTER TABLE readingapp_order DISABLE TRIGGER "!audit_trail"')
    execute("DELETE FROM readingapp_order")
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute('ALTER TABLE readingapp_order ENABLE TRIGGER "!audit_trail"')
    refuses(order.trail.get(), "changed since")


def test_what_the_trail_does_not_know_is_not_written():
    row = Secretive.objects.create(name="a", ssn="1", photo=b"1")
    row.name, row.ssn = "b", "2"
    row.save()
    refuses(row.history.first(), "ssn: masked")
    row.name = "c"
    row.save()
    row.history.first().revert()  # of its changes none is masked
    row.refresh_from_db()
    assert (row.name, row.ssn, row.photo) == ("b", "2", b"1")
    row.delete()
    refuses(Secretive.history.first(), "photo: excluded")


def test_a_dropped_column_is_not_written():
    execute("ALTER TABLE readingapp_everything ADD COLUMN legacy int")
    row = Everything.objects.create(text="a")
    execute("UPDATE readingapp_everything SET legacy = 5")
    refuses(row.trail.first(), "legacy: dropped")


def test_a_foreign_key_that_names_nothing_any_more_is_not_written():
    customer = Customer.objects.create()
    order = Order.objects.create(customer=customer)
    order.customer = None
    order.save()
    customer.delete()
    refuses(order.trail.first(), "customer: names what is deleted")


def test_no_other_rows_are_deleted_along():
    invoice = Invoice.objects.create()
    remark = Remark.objects.create(invoice=invoice)
    refuses(invoice.trail.get(), r"trailapp\.Remark")
    assert Remark.objects.get() == remark


def test_events_that_are_of_no_row_are_not_put_back():
    Order.objects.create()
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("TRUNCATE readingapp_order CASCADE")
    refuses(Order.trail.actions("truncate").get(), "truncate")
    event = AuditEvent(action="delete", table_schema="public", table_name="unknown")
    refuses(event, "unknown")


def test_a_trail_that_asks_for_a_reason_asks_a_revert_as_well():
    execute("SELECT set_config('app.audit_context', '{\"reason\": \"r\"}', true)")
    patient = Patient.objects.create(name="a")
    execute("SELECT set_config('app.audit_context', '', true)")
    event = patient.trail.get()
    with pytest.raises(IntegrityError, match="reason"):
        event.revert()


def test_the_reason_is_recorded():
    order = Order.objects.create()
    assert order.trail.get().revert(reason="missed").reason == "missed"


def test_a_blank_reason_is_none():
    order = Order.objects.create()
    with pytest.raises(ValueError, match="reason"):
        order.trail.get().revert(reason=" ")
    assert Order.objects.exists()
