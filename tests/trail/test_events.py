"""What an event holds: who, when, why, and the row before and after."""

import pytest
from django.db import DataError, IntegrityError, ProgrammingError, connection, transaction
from django.test import override_settings

from django_audit_fields import acting_as, audit_context
from tests.trail.recorded import Recorded, execute, set_context
from tests.trail.trailapp.models import (
    Article,
    CreditNote,
    Gauge,
    Invoice,
    Line,
    OldInvoice,
    Patient,
    Reading,
    Remark,
    Tag,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]
LEVELS = pytest.mark.parametrize("model", [Gauge, Reading], ids=["row", "statement"])


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


@LEVELS
def test_what_the_session_is_stands_beside_the_actor(model):
    execute("SET LOCAL application_name TO 'psql of a DBA'")
    recorded = Recorded()
    execute(f"INSERT INTO {model._meta.db_table} (meter, hidden) VALUES (1, '')")
    [event] = recorded()
    [(role, transaction_id, clock)] = execute(
        "SELECT session_user::text, pg_current_xact_id()::text::bigint, clock_timestamp()"
    )
    assert (event.actor, event.db_role) == ("system", role)
    assert event.application_name == "psql of a DBA"
    assert event.transaction_id == transaction_id
    assert event.recorded_at < clock
    assert event.context is None


@LEVELS
def test_context_is_stored_as_it_was_sent(model):
    recorded = Recorded()
    context = {"reason": "phone call", "request_id": "abc", "numbers": [1, {"a": None}]}
    set_context(**context)
    model.objects.create()
    assert [event.context for event in recorded()] == [context]


@LEVELS
@pytest.mark.parametrize(
    "text", ["not json", "[1]", '"text"', "null", '{"a": 1', '{"a": "\\u0000"}']
)
def test_a_context_that_is_no_json_object_is_refused_with_a_hint(model, text):
    recorded = Recorded()
    execute("SELECT set_config('app.audit_context', %s, true)", [text])
    with pytest.raises(DataError, match="no JSON object") as raised, transaction.atomic():
        model.objects.create()
    assert "JSON object" in raised.value.__cause__.diag.message_hint
    assert recorded() == []


@LEVELS
def test_a_change_of_nothing_is_no_event(model):
    row = model.objects.create(meter=1, value=0.5, secret="s")
    recorded = Recorded()
    row.save()
    model.objects.update(value=0.5)
    execute(f"UPDATE {model._meta.db_table} SET hidden = 'changed', secret = secret")
    model.objects.filter(meter=2).update(value=3)
    model.objects.filter(meter=2).delete()
    assert recorded() == []


@LEVELS
def test_a_statement_that_finds_no_row_takes_no_transaction_number(model):
    """A COMMIT of nothing else writes nothing."""
    model.objects.filter(pk=-1).update(value=3)
    model.objects.filter(pk=-1).delete()
    assert execute("SELECT pg_current_xact_id_if_assigned()") == [(None,)]


@LEVELS
def test_what_is_excluded_is_in_no_image(model):
    recorded = Recorded()
    row = model.objects.create(meter=1, hidden="a")
    row.hidden, row.value = "b", 1.5
    row.save()
    row.delete()
    images = [image for event in recorded() for image in (event.before, event.after) if image]
    assert len(images) == 4
    assert not any("hidden" in image for image in images)


@LEVELS
def test_what_is_masked_is_told_as_changed_and_not_as_what(model):
    recorded = Recorded()
    row = model.objects.create(meter=1)
    for secret in ("first", "second", None):
        row.secret = secret
        row.save()
    row.delete()
    told = [
        (event.action, (event.before or {}).get("secret"), (event.after or {}).get("secret"))
        for event in recorded()
    ]
    assert told == [
        ("insert", None, None),
        ("update", None, "***"),
        ("update", "***", "***"),
        ("update", "***", None),
        ("delete", None, None),
    ]
    assert all("secret" in event.before for event in recorded()[1:])


@LEVELS
def test_only_what_changed_stands_before(model):
    row = model.objects.create(meter=1, value=1, secret="s")
    recorded = Recorded()
    model.objects.update(value=2)
    [event] = recorded()
    assert event.before == {"value": 1}
    assert event.after == {"id": row.pk, "meter": 1, "value": 2, "secret": "***"}


@LEVELS
def test_another_key_is_another_row(model):
    row = model.objects.create(meter=1, value=1)
    recorded = Recorded()
    execute(f"UPDATE {model._meta.db_table} SET id = id + 1000000, value = 2")
    assert sorted(recorded.told) == [("delete", str(row.pk)), ("insert", str(row.pk + 1000000))]
    by_action = {event.action: event for event in recorded()}
    delete, insert = by_action["delete"], by_action["insert"]
    assert delete.before == {"id": row.pk, "meter": 1, "value": 1, "secret": None}
    assert delete.after is insert.before is None
    assert insert.after == {"id": row.pk + 1000000, "meter": 1, "value": 2, "secret": None}


def test_a_key_of_two_columns_is_told_as_json():
    recorded = Recorded()
    line = Line.objects.create(book=7, place='a"b', text="x")
    Line.objects.filter(pk=line.pk).update(text="y")
    Line.objects.filter(pk=line.pk).update(place="c")
    assert recorded.told == [
        ("insert", '[7, "a\\"b"]'),
        ("update", '[7, "a\\"b"]'),
        ("delete", '[7, "a\\"b"]'),
        ("insert", '[7, "c"]'),
    ]


def test_a_stamp_alone_is_a_change():
    """It explains the stamp."""
    invoice = Invoice.objects.create(number="A")
    recorded = Recorded()
    invoice.save()
    [event] = recorded()
    assert event.before.keys() == {"updated_at"}


def test_a_child_table_is_recorded_by_the_key_of_its_parent():
    recorded = Recorded()
    note = CreditNote.objects.create(number="A", cause="typo")
    note.cause = "mistake"
    note.save(update_fields=["cause"])
    note.delete()
    told = [(event.table_name, *event.told) for event in recorded()]
    key = str(Invoice.objects.model(pk=told[0][2]).pk)
    assert told == [
        ("trailapp_invoice", "insert", key),
        ("trailapp_creditnote", "insert", key),
        ("trailapp_invoice", "update", key),
        ("trailapp_creditnote", "update", key),
        ("trailapp_creditnote", "delete", key),
        ("trailapp_invoice", "delete", key),
    ]


def test_a_proxy_has_the_trail_of_its_table():
    recorded = Recorded()
    OldInvoice.objects.create(number="A")
    assert [event.table_name for event in recorded()] == ["trailapp_invoice"]


def test_links_are_recorded_as_rows():
    """Of a many-to-many field: insert and delete, with both ends in the image."""
    article = Article.objects.create()
    tags = [Tag.objects.create(word=word) for word in "ab"]
    recorded = Recorded("trailapp_article_tags")
    article.tags.set(tags)
    article.tags.remove(tags[0])
    article.tags.clear()
    assert [event.action for event in recorded()] == ["insert", "insert", "delete", "delete"]
    assert recorded()[2].before.keys() == {"id", "article_id", "tag_id"}
    assert recorded()[2].before["tag_id"] == tags[0].pk


def test_links_ask_for_a_reason_as_their_model_does():
    set_context(reason="made")
    patient, tag = Patient.objects.create(), Tag.objects.create()
    set_context()
    with pytest.raises(IntegrityError, match="needs a reason"), transaction.atomic():
        patient.tags.add(tag)
    set_context(reason="known now")
    patient.tags.add(tag)


@pytest.mark.parametrize(
    "context", [{}, {"reason": ""}, {"reason": " \n"}, {"reason": None}, {"x": 1}]
)
def test_a_change_without_a_reason_is_refused(context):
    set_context(reason="made")
    patient = Patient.objects.create(name="A")
    set_context(**context)
    recorded = Recorded()
    for write in (
        lambda: Patient.objects.create(),
        lambda: Patient.objects.update(name="B"),
        lambda: patient.delete(),
        lambda: execute("INSERT INTO trailapp_patient (name) VALUES ('C')"),
    ):
        with pytest.raises(IntegrityError) as raised, transaction.atomic():
            write()
        assert raised.value.__cause__.sqlstate == "23000"
        assert "with audit_context(reason=" in raised.value.__cause__.diag.message_hint
    assert recorded() == []


def test_what_changes_nothing_needs_no_reason():
    set_context(reason="made")
    patient = Patient.objects.create(name="A")
    set_context()
    patient.photo = b"new"
    patient.save()
    Patient.objects.update(name="A")


@LEVELS
def test_truncate_is_recorded(model):
    model.objects.create()
    recorded = Recorded()
    with acting_as("17"):
        execute(f"TRUNCATE {model._meta.db_table}")
    [event] = recorded()
    assert (event.told, event.actor) == (("truncate", None), "17")
    assert event.before is event.after is None


def test_truncate_is_not_asked_for_a_reason():
    recorded = Recorded()
    execute("TRUNCATE trailapp_patient, trailapp_patient_tags")
    assert recorded.told == [("truncate", None)] * 2


def test_cascades_are_recorded():
    invoice, article = Invoice.objects.create(), Article.objects.create()
    remark = Remark.objects.create(invoice=invoice, article=article)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    for (constraint,) in execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'f'"
        " AND conrelid = 'trailapp_remark'::regclass"
    ):
        execute(f'ALTER TABLE trailapp_remark DROP CONSTRAINT "{constraint}"')
    execute(
        "ALTER TABLE trailapp_remark ADD FOREIGN KEY (invoice_id) REFERENCES trailapp_invoice"
        " ON DELETE CASCADE, ADD FOREIGN KEY (article_id) REFERENCES trailapp_article"
        " ON DELETE SET NULL"
    )
    recorded = Recorded("trailapp_remark")
    with acting_as("17"):
        execute("DELETE FROM trailapp_article")
        execute("DELETE FROM trailapp_invoice")
    key = str(remark.pk)
    assert recorded.told == [("update", key), ("delete", key)]
    assert recorded()[0].before == {"article_id": article.pk}
    assert {event.actor for event in recorded()} == {"17"}


@LEVELS
def test_what_another_trigger_writes_is_recorded_after_what_fired_it(model):
    """In the order of what happened: the insert, then the update by another AFTER trigger."""
    table = model._meta.db_table
    execute(
        f"CREATE FUNCTION pg_temp.double() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" UPDATE {table} SET value = value * 2 WHERE id = NEW.id AND pg_trigger_depth() = 1;"
        f" RETURN NULL; END $$"
    )
    execute(
        f'CREATE TRIGGER "!a" AFTER INSERT ON {table}'
        " FOR EACH ROW EXECUTE FUNCTION pg_temp.double()"
    )
    recorded = Recorded()
    model.objects.create(value=4)
    told = [(event.action, event.after["value"]) for event in recorded()]
    if model is Gauge:
        # "!a" sorts before ours; a name that does not is what other people's triggers have.
        assert sorted(told) == [("insert", 4), ("update", 8)]
        execute(f'ALTER TRIGGER "!a" ON {table} RENAME TO double')
        recorded = Recorded()
        model.objects.create(meter=2, value=4)
        told = [(event.action, event.after["value"]) for event in recorded()]
        assert told == [("insert", 4), ("update", 8)]
    else:
        assert sorted(told) == [("insert", 4), ("update", 8)]


@LEVELS
@pytest.mark.parametrize("nobody", ["fallback", "session_user", "refuse"])
def test_nobody_is_told_as_the_settings_say(model, nobody):
    """For SQL that says nothing about who is acting."""
    from django_audit_fields.trail.recording.constraint import AuditTrail

    with override_settings(AUDIT_FIELDS={"NOBODY": nobody, "FALLBACK": "a 'robot' %s"}):
        [trail] = [entry for entry in model._meta.constraints if isinstance(entry, AuditTrail)]
        with connection.schema_editor() as editor:
            editor.add_constraint(model, trail)
    table = model._meta.db_table
    recorded = Recorded()
    statement = f"INSERT INTO {table} (meter, hidden) VALUES (1, '')"
    if nobody == "refuse":
        with (
            pytest.raises(IntegrityError, match="Nobody is acting") as raised,
            transaction.atomic(),
        ):
            execute(statement)
        assert raised.value.__cause__.sqlstate == "23000"
        assert recorded() == []
        execute(f"TRUNCATE {table}")
        assert recorded.told == [("truncate", None)]
        with acting_as("17"):
            execute(statement)
        assert recorded()[-1].actor == "17"
    else:
        execute(statement)
        [(role,)] = execute("SELECT session_user::text")
        expected = role if nobody == "session_user" else "a 'robot' %s"
        assert [event.actor for event in recorded()] == [expected]


@LEVELS
def test_a_key_column_that_is_gone_stops_the_write(model):
    """Never an event without a key."""
    model.objects.create()
    execute(f"ALTER TABLE {model._meta.db_table} RENAME COLUMN id TO number")
    with pytest.raises(ProgrammingError) as raised, transaction.atomic():
        execute(f"INSERT INTO {model._meta.db_table} (meter, hidden) VALUES (5, '')")
    assert raised.value.__cause__.sqlstate == "42703"
    assert "makemigrations" in raised.value.__cause__.diag.message_hint


def test_one_of_several_key_columns_that_is_gone_stops_the_write():
    Line.objects.create(book=1, place="a")
    execute("ALTER TABLE trailapp_line RENAME COLUMN place TO spot")
    for statement in (
        "INSERT INTO trailapp_line (book, spot, text) VALUES (2, 'b', '')",
        "UPDATE trailapp_line SET text = 'x'",
        "DELETE FROM trailapp_line",
    ):
        with pytest.raises(ProgrammingError, match="has no key") as raised, transaction.atomic():
            execute(statement)
        assert raised.value.__cause__.sqlstate == "42703"


@LEVELS
def test_other_columns_come_and_go_between_writes(model):
    """Adding, renaming, retyping and dropping a column needs no migration of the trail."""
    table = model._meta.db_table
    recorded = Recorded()
    insert = f"INSERT INTO {table} (meter, hidden) VALUES ({{}}, '')"
    execute(insert.format(1))
    for number, change in enumerate(
        (
            "ADD COLUMN extra text DEFAULT 'new'",
            "RENAME COLUMN value TO amount",
            "ALTER COLUMN amount TYPE numeric USING 3",
            "DROP COLUMN extra",
            "ADD COLUMN again int[] DEFAULT '{1}'",
        ),
        start=2,
    ):
        execute(f"ALTER TABLE {table} {change}")
        execute(insert.format(number))
        execute(f"UPDATE {table} SET meter = meter + 100 WHERE meter = {number}")
        execute(f"DELETE FROM {table} WHERE meter = {number + 100}")
    assert [event.action for event in recorded()[1:4]] == ["insert", "update", "delete"]
    assert {frozenset(event.after) for event in recorded()[-3:-1]} == {
        frozenset({"id", "meter", "secret", "amount", "again"})
    }
    assert recorded()[1].after["extra"] == "new"
    assert recorded()[1].after.keys() == recorded()[3].before.keys()
    assert len(recorded()) == 1 + 3 * 5


def test_a_reason_that_python_gives_reaches_the_event():
    """Carried beside the actor; outside the block there is none."""
    recorded = Recorded("trailapp_patient")
    with acting_as("17"), audit_context(reason="corrected", on_behalf_of="patient:4711"):
        patient = Patient.objects.create(name="A")
    [event] = recorded()
    assert event.actor == "17"
    assert event.context == {"reason": "corrected", "on_behalf_of": "patient:4711"}
    with pytest.raises(IntegrityError, match="needs a reason"), transaction.atomic():
        patient.delete()
