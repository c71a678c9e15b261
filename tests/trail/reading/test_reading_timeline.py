"""`{% audit_timeline %}`: what happened to a row, as a page shows it."""

import html
import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.template import Context, Template
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_audit_fields import acting_as, audit_context
from django_audit_fields.models import AuditEvent
from django_audit_fields.trail import timeline, version_of
from tests.trail.reading.readingapp.models import Customer, Order, Rush, Secretive
from tests.trail.recorded import execute

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def shown(target, arguments=""):
    template = Template("{% load audit_fields %}{% audit_timeline target " + arguments + " %}")
    return template.render(Context({"target": target}))


def words(page):
    """What is read aloud, without the markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.fixture
def amara():
    return User.objects.create_user("u1", first_name="Amara", last_name="Okafor")


def test_who_what_when_why_and_for_whom(amara):
    with acting_as(amara):
        order = Order.objects.create(amount=80)
        with audit_context(reason="phone call", on_behalf_of="patient:7", source="POST /orders/1"):
            order.amount = 90
            order.save()
    page = words(shown(order))
    assert "Amara Okafor Changed" in page
    assert "Reason: phone call" in page
    assert "On behalf of: patient:7" in page
    assert "By way of: POST /orders/1" in page
    assert re.search(r"amount due before: 80.00 → after: 90(\.00)?", page)
    assert page.index("Changed") < page.index("Created")
    at = timezone.localtime(order.trail.first().recorded_at)
    assert f"{at:%Y-%m-%d %H:%M:%S %Z}" in page


def test_a_label_that_means_somebody_else_is_not_given_a_name(amara):
    """`on_behalf_of` is the project's own text: 17 may be patient 17 and not user 17."""
    with audit_context(on_behalf_of=str(amara.pk)):
        order = Order.objects.create()
    assert "Amara" not in shown(order)


def test_what_came_past_django_says_program_and_role():
    order = Order.objects.create()
    execute("SET LOCAL application_name = 'nightly'")
    execute("UPDATE readingapp_order SET amount = 5")
    (role,) = AuditEvent.objects.values_list("db_role", flat=True).distinct()
    assert f"By way of: nightly, as role {role}" in words(shown(order))


def test_the_stamps_of_an_update_are_not_repeated(amara):
    order = Order.objects.create(amount=1)
    with acting_as(amara):
        order.amount = 2
        order.save()
    (entry, _) = timeline(order.trail.all())
    assert [change.field for change in entry.changes] == ["amount"]


def test_stamps_that_say_something_else_are_shown():
    order = Order.objects.create(amount=1)
    execute("SET LOCAL app.audit_preserve = 'on'")
    execute("UPDATE readingapp_order SET amount = 2, updated_by = 'somebody else'")
    entry = timeline(order.trail.all())[0]
    assert [change.field for change in entry.changes] == ["updated_by", "amount"]


def test_a_change_of_nothing_but_the_stamps_shows_them():
    order = Order.objects.create()
    order.save(update_fields=["updated_at"])
    entry = timeline(order.trail.all())[0]
    assert "updated_at" in [change.field for change in entry.changes]


def test_a_deleted_row_is_told_in_full():
    order = Order.objects.create(note="gone soon")
    key = order.pk
    order.delete()
    page = words(shown(Order(pk=key)))
    assert "Deleted" in page
    assert "note before: gone soon" in page


def test_what_is_masked_stays_masked_and_what_is_not_named_is_counted():
    row = Secretive.objects.create(name="n", ssn="123-45", photo=b"x")
    assert "123-45" not in shown(row)
    page = words(shown(row, "fields='name'"))
    assert "name after: n" in page
    assert "***" not in page
    assert "2 fields are not shown here." in page  # the key and the number


def test_values_are_escaped():
    order = Order.objects.create(note="<script>alert(1)</script>")
    with audit_context(reason="<b>bold</b>"):
        Order.objects.filter(pk=order.pk).update(amount=2)
    page = shown(order)
    assert "<script>" not in page
    assert "<b>" not in page


@pytest.mark.parametrize("number", [5, 60])
def test_the_number_of_queries_does_not_grow(amara, number):
    people = [User.objects.create_user(f"p{i}") for i in range(3)]
    customers = [Customer.objects.create(name=f"c{i}") for i in range(3)]
    order = Order.objects.create()
    for i in range(number - 1):
        with acting_as(people[i % 3]):
            Order.objects.filter(pk=order.pk).update(amount=i + 1, customer=customers[i % 3])
    with CaptureQueriesContext(
        connection,
    ) as captured:
        page = shown(order)
    assert page.count("<li") == min(number, 50)
    assert len(captured) == 4  # events, people, where the tables are, customers
    assert ("The newest 50 changes only." in page) == (number > 50)


def test_events_of_several_rows_say_which():
    one, other = Order.objects.create(), Order.objects.create()
    page = words(shown(AuditEvent.objects.of(Order)))
    assert f"Created: Order {one.pk}" in page
    assert f"Created: Order {other.pk}" in page
    assert "Created:" not in words(shown(one))


def test_a_row_without_events_says_so():
    assert "No change is recorded." in shown(Order(pk=4711))
    assert "No change is recorded." in shown(Order())


@pytest.mark.parametrize("target", ["", None, 5])
def test_what_has_no_events_is_an_error(target):
    with pytest.raises(TypeError, match="A timeline is of an instance"):
        shown(target)


def test_a_version_is_the_whole_row_by_names():
    ann = Customer.objects.create(name="Ann")
    order = Order.objects.create(customer=ann, amount=80, note="first")
    Order.objects.filter(pk=order.pk).update(note="second")
    Order.objects.filter(pk=order.pk).delete()
    delete, update, insert = AuditEvent.objects.of(order)

    def told(event):
        return {change.field: change.after_display for change in version_of(event)}

    assert told(insert)["customer"] == "Ann"
    assert (told(insert)["note"], told(update)["note"]) == ("first", "second")
    assert told(update)["amount"] == "80.00"
    assert told(delete) == told(update)  # as it was before it was deleted


def test_a_version_of_a_child_has_its_parents_part():
    rush = Rush.objects.create(hours=3, note="n")
    event = AuditEvent.objects.of_row(Rush, str(rush.pk)).get()
    told = {change.field: change.after_display for change in version_of(event)}
    assert (told["hours"], told["note"]) == ("3", "n")


def test_words_are_translated():
    order = Order.objects.create()
    with translation.override("de"):
        assert "Created" in shown(order)  # no German yet, and no error


def test_the_events_of_a_row_or_of_all_rows_by_their_managers():
    order, _other = Order.objects.create(), Order.objects.create()
    assert shown(order.trail).count("audit-head") == 1
    assert shown(Order.trail).count("audit-head") == 2
