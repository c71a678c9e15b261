"""`verify --tables`: live rows beside their last images."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from django_audit_fields.trail.evidence.comparing import verify_tables
from django_audit_fields.trail.evidence.verifying import Finding
from tests.trail.evidence.trail import tampering
from tests.trail.recorded import execute, set_context
from tests.trail.trailapp.models import Article, Invoice, Patient, Reading, Tag

pytestmark = pytest.mark.usefixtures("trail")


def findings():
    return list(verify_tables(connection))


def rows_of_every_kind():
    invoices = [Invoice.objects.create(number=str(number), amount=number) for number in range(4)]
    Article.objects.create(title="ä").tags.add(Tag.objects.create(word="x"))
    with transaction.atomic():
        set_context(reason="admitted")
        Patient.objects.create(name="a", ssn="1", photo=b"1")
        Patient.objects.create(name="b", photo=b"1")
    Reading.objects.bulk_create([Reading(meter=n, value=n / 3, secret="s") for n in range(3)])
    return invoices


def test_rows_as_they_were_recorded():
    """Updated, deleted, truncated, excluded and masked: each is what its last event says."""
    invoices = rows_of_every_kind()
    invoices[0].delete()
    Invoice.objects.update(amount=7)
    execute("TRUNCATE trailapp_reading")
    Reading.objects.create(meter=1)
    with transaction.atomic():
        set_context(reason="moved")
        Patient.objects.update(photo=b"2", ssn="2")
    assert findings() == []


def test_what_was_written_while_triggers_were_off():
    first, second, third, fourth = rows_of_every_kind()
    fourth_key = fourth.pk
    fourth.delete()
    with tampering():
        Invoice.objects.filter(pk=first.pk).update(amount=99)
        Invoice.objects.filter(pk=second.pk).delete()
        execute(
            "INSERT INTO trailapp_invoice (id, number, amount) VALUES (%s, 'x', 1)", [fourth_key]
        )
        new = Invoice.objects.create()
        Patient.objects.filter(name="a").update(ssn=None)
        Patient.objects.filter(name="b").update(photo=None)
    patient = Patient.objects.get(name="a")
    table = "public.trailapp_invoice"
    assert third.amount == 2
    assert findings() == [
        Finding("1 row deleted past the trail", table=table, keys=(str(second.pk),)),
        Finding("1 row inserted past the trail", table=table, keys=(str(fourth_key),)),
        Finding("1 row updated past the trail", table=table, keys=(str(first.pk),)),
        Finding(
            "1 row without an event (made past the trail, or before it: see `baseline`)",
            table=table,
            keys=(str(new.pk),),
        ),
        Finding(
            "1 row updated past the trail", table="public.trailapp_patient", keys=(str(patient.pk),)
        ),
    ]


def test_rows_left_by_a_truncate_past_the_trail():
    rows_of_every_kind()
    with tampering():
        execute("TRUNCATE trailapp_reading")
    [finding] = findings()
    assert str(finding).startswith("public.trailapp_reading: 3 rows deleted past the trail: ")


def test_rows_that_came_back_after_a_truncate():
    Reading.objects.create(pk=5)
    execute("TRUNCATE trailapp_reading")
    with tampering():
        Reading.objects.create(pk=5)
    assert findings() == [
        Finding("1 row inserted past the trail", table="public.trailapp_reading", keys=("5",))
    ]


def test_columns_that_came_and_went():
    """They are in one of the two images only, and say nothing."""
    rows_of_every_kind()
    execute("ALTER TABLE trailapp_reading ADD COLUMN later int DEFAULT 7")
    try:
        assert findings() == []
    finally:
        execute("ALTER TABLE trailapp_reading DROP COLUMN later")
    assert findings() == []


def test_rows_that_a_policy_hides_are_not_taken_for_deleted():
    """The table is named, and not compared; a role that sees all rows compares it."""
    rows_of_every_kind()
    cure = "run it as a role with BYPASSRLS"
    reason = f"row-level security hides rows of public.trailapp_invoice from role clerk: {cure}"
    with transaction.atomic():
        execute("ALTER TABLE trailapp_invoice ENABLE ROW LEVEL SECURITY")
        execute("CREATE POLICY nothing ON trailapp_invoice USING (false)")
        execute("CREATE ROLE clerk")
        execute("GRANT USAGE ON SCHEMA audit_trail TO clerk")
        execute("GRANT SELECT, INSERT ON audit_trail.event TO clerk")
        execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
        execute("SET LOCAL ROLE clerk")
        assert findings() == [Finding(f"not compared: {reason}", table="public.trailapp_invoice")]
        with pytest.raises(CommandError, match=cure) as error:
            call_command("audit_trail", "baseline", "trailapp_invoice")
        assert error.value.returncode == 2
        execute("RESET ROLE")
        assert findings() == []
        transaction.set_rollback(True)
