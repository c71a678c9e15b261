"""`audit_trail report`: which events, in which form."""

import csv
import datetime
import io
import json
import tracemalloc

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import override_settings
from fhir.resources.auditevent import AuditEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_audit_fields import acting_as
from django_audit_fields.management.evidence import moment
from django_audit_fields.trail import FORMATS, Wanted, reported_events
from django_audit_fields.trail.evidence.fhir import audit_event
from django_audit_fields.trail.evidence.report import ReportedEvent
from tests.trail.recorded import execute, set_context
from tests.trail.trailapp.models import Article, Invoice

pytestmark = pytest.mark.usefixtures("trail")


def report(*arguments):
    out = io.StringIO()
    call_command("audit_trail", "report", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue().splitlines()


@pytest.fixture
def invoice():
    with acting_as("17"), transaction.atomic():
        invoice = Invoice.objects.create(number="A", amount="80.00")
        set_context(reason="phone call", on_behalf_of="patient:4711", request_id="r1")
        Invoice.objects.filter(pk=invoice.pk).update(amount="90.00")
    with acting_as("18"):
        Article.objects.create(title='a "b", c\nd')
    return invoice


def test_who_and_where(invoice):
    """Each term narrows, and all of them together."""
    key = str(invoice.pk)
    assert len(report()) == 3
    assert len(report("--actor", "17")) == 2
    assert len(report("--table", "trailapp_article")) == 1
    assert len(report("--table", "public.trailapp_article")) == 1
    assert len(report("--table", "other.trailapp_article")) == 0
    assert len(report("--table", "trailapp_invoice", "--key", key, "--actor", "18")) == 0
    assert len(report("--table", "trailapp_invoice", "--key", key)) == 2


def test_since_and_until(invoice):
    [(first, last)] = execute("SELECT min(recorded_at), max(recorded_at) FROM audit_trail.event")
    assert len(report("--since", first.isoformat(), "--until", last.isoformat())) == 2
    assert len(report("--since", last.isoformat())) == 1
    assert report("--until", "2000-01-01") == []


@override_settings(TIME_ZONE="Asia/Kathmandu")
def test_a_day_is_of_the_projects_time_zone():
    assert moment("2026-01-31") == datetime.datetime(2026, 1, 30, 18, 15, tzinfo=datetime.UTC)
    assert moment("2026-01-31T12:00+01:00") == datetime.datetime(
        2026, 1, 31, 11, tzinfo=datetime.UTC
    )


def test_a_time_that_is_none_is_refused():
    with pytest.raises(CommandError, match="a time is such as"):
        report("--since", "last friday")
    with pytest.raises(CommandError, match="give one"):
        report("--json", "--format", "csv")


def test_table(invoice):
    _, update, article = report()
    assert update.split()[2:6] == ["17", "update", "public.trailapp_invoice", str(invoice.pk)]
    assert "(phone call)  amount: 80.00 → 90.00" in update
    assert "article" in article


def test_csv(invoice):
    rows = list(csv.DictReader(io.StringIO("\n".join(report("--format", "csv")) + "\n")))
    assert [row["action"] for row in rows] == ["insert", "update", "insert"]
    assert json.loads(rows[2]["after"])["title"] == 'a "b", c\nd'
    assert '"amount": 80.00' in rows[1]["before"]
    assert (
        datetime.datetime.fromisoformat(rows[0]["recorded_at"]).utcoffset() == datetime.timedelta()
    )


def test_jsonl(invoice):
    """Numbers as they are stored: 80.00 is not 80.0."""
    lines = report("--format", "jsonl")
    assert lines == report("--json")
    insert, update, article = (json.loads(line) for line in lines)
    assert set(insert) == set(ReportedEvent._fields)
    assert '"amount": 80.00' in lines[1]
    assert update["context"]["on_behalf_of"] == "patient:4711"
    assert (insert["context"], insert["before"]) == (None, None)
    assert article["after"]["title"] == 'a "b", c\nd'


def test_fhir(invoice):
    execute("TRUNCATE trailapp_tag CASCADE")
    lines = report("--format", "fhir")
    read = [AuditEvent.model_validate_json(line) for line in lines]
    assert [resource.action for resource in read[:3]] == ["C", "U", "C"]
    assert {resource.action for resource in read[3:]} <= {"D"}
    update = json.loads(lines[1])
    assert update["resourceType"] == "AuditEvent"
    assert [agent["who"]["identifier"]["value"] for agent in update["agent"]] == [
        "17",
        "patient:4711",
    ]
    assert [agent["requestor"] for agent in update["agent"]] == [True, False]
    assert update["authorization"] == [{"text": "phone call"}]
    assert update["outcome"]["code"]["code"] == "success"
    [entity] = update["entity"]
    assert entity["what"]["identifier"]["value"] == f"public.trailapp_invoice/{invoice.pk}"
    details = {detail["type"]["text"]: detail["valueString"] for detail in entity["detail"]}
    assert '"amount": 80.00' in details["before"]
    assert details["request_id"] == "r1"
    recorded = datetime.datetime.fromisoformat(update["recorded"])
    assert recorded == execute("SELECT recorded_at FROM audit_trail.event ORDER BY id")[1][0]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actor=TEXT,
    key=TEXT | st.none(),
    reason=TEXT | st.none(),
    application=st.none() | st.text(max_size=3),
    address=st.none() | st.ip_addresses().map(str),
    action=st.sampled_from(["insert", "update", "delete", "truncate", "baseline"]),
)
def test_whatever_is_stored_can_be_told_in_fhir(actor, key, reason, application, address, action):
    event = ReportedEvent(
        *(1, datetime.datetime.now(datetime.UTC), action, "s", "t", key, actor, None),
        *("role", application, address, 5, "{}", None),
    )
    context = {"reason": reason} if reason else {}
    AuditEvent.model_validate_json(json.dumps(audit_event(event, context)))


def test_memory_does_not_grow_with_the_number_of_events():
    """Eight times as many events in the same room, in each form."""
    peaks = {name: [] for name in FORMATS}
    for first, last in ((1, 4_000), (4_001, 32_000)):
        execute(
            "INSERT INTO trailapp_reading (meter, value, hidden)"
            " SELECT n, n, '' FROM generate_series(%s, %s) n",
            [first, last],
        )
        for name, lines_of in FORMATS.items():
            tracemalloc.start()
            lines = sum(1 for _ in lines_of(reported_events(connection, Wanted())))
            peaks[name].append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert lines >= last
    for few, many in peaks.values():
        assert many < few * 1.5
