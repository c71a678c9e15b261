"""Every way of writing a row, and the events that it leaves."""

import pytest
from django.db import connection

from django_audit_fields import acting_as
from tests.trail.recorded import Recorded, execute, set_context
from tests.trail.trailapp.models import (
    Invoice,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def test_one_row_from_its_beginning_to_its_end():
    """Who, what, and the row before and after, for each of the three."""
    recorded = Recorded("trailapp_invoice")
    with acting_as("17"):
        invoice = Invoice.objects.create(number="A", amount=80)
        invoice.amount = 90
        invoice.save()
        key = str(invoice.pk)
        invoice.delete()
    insert, update, delete = recorded()
    assert [event.told for event in recorded()] == [
        ("insert", key),
        ("update", key),
        ("delete", key),
    ]
    assert {event.actor for event in recorded()} == {"17"}
    assert insert.before is None
    assert insert.after["amount"] == 80
    assert update.before.keys() == {"amount", "updated_at"}
    assert update.before["amount"] == 80
    assert update.after["amount"] == 90
    assert delete.before == update.after
    assert delete.after is None
    assert insert.table_schema == "public"


def test_what_the_session_is_stands_beside_the_actor():
    execute("SET LOCAL application_name TO 'psql of a DBA'")
    recorded = Recorded()
    execute("INSERT INTO trailapp_invoice (number, amount) VALUES ('x', 1)")
    [event] = recorded()
    [(role, transaction_id, clock)] = execute(
        "SELECT session_user::text, pg_current_xact_id()::text::bigint, clock_timestamp()"
    )
    assert (event.actor, event.db_role) == ("system", role)
    assert event.application_name == "psql of a DBA"
    assert event.transaction_id == transaction_id
    assert event.recorded_at < clock
    assert event.context is None


def test_context_is_stored_as_it_was_sent():
    recorded = Recorded()
    set_context(reason="phone call", request_id="abc", numbers=[1, {"a": None}])
    Invoice.objects.create()
    [event] = recorded()
    assert event.context == {
        "reason": "phone call",
        "request_id": "abc",
        "numbers": [1, {"a": None}],
    }
