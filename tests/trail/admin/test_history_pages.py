"""A row's History page: its timeline, its versions, and the way back."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_audit_fields import acting_as, audit_context
from django_audit_fields.admin import AuditAdminMixin
from django_audit_fields.models import AuditEvent
from tests.trail.admin.conftest import words
from tests.trail.reading.readingapp.models import (
    Customer,
    Everything,
    Named,
    Order,
    Rush,
    Secretive,
)
from tests.trail.recorded import execute
from tests.trail.trailapp.models import Invoice, Remark

pytestmark = pytest.mark.django_db
REVERT = "django_audit_fields.revert_auditevent"


def history(row, page="history", *arguments):
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}"
    return reverse(name, args=[row.pk, *arguments])


def version(event, row):
    return history(row, "version", event.pk)


def revert(event, row):
    return history(row, "revert", event.pk)


def test_every_change_is_there_however_it_was_made(client, serve, root, browse):
    serve({Order: {"fields": ["amount", "state", "note"]}})
    client.force_login(root)
    form = {"amount": "80", "state": "o", "note": "by form"}
    client.post(reverse("admin:readingapp_order_add"), form)
    order = Order.objects.get()
    with acting_as("import:march"), audit_context(reason="bank's list"):
        Order.objects.update(state="p")
    execute("SET LOCAL application_name = 'psql'")
    execute("SELECT set_config('app.current_user', 'jonas', true)")
    execute("UPDATE readingapp_order SET amount = 90")
    page = browse(root, history(order))
    assert "Rosa Ferreira Created" in page
    assert "import:march Changed" in page
    assert "Reason: bank's list" in page
    assert "state before: Open → after: Paid in full" in page
    assert "jonas Changed" in page
    assert "amount due before: 80.00 → after: 90.00" in page
    assert "By way of: psql, as role" in page
    assert "By way of: POST /admin/readingapp/order/add/" in page
    assert page.index("jonas") < page.index("import:march") < page.index("Created")
    assert "3 changes" in page


@pytest.mark.parametrize("number", [5, 500])
def test_a_constant_number_of_queries_and_fifty_to_a_page(client, serve, root, number):
    serve({Order: {}})
    people = [User.objects.create_user(f"p{i}") for i in range(3)]
    customers = [Customer.objects.create(name=f"c{i}") for i in range(3)]
    order = Order.objects.create()
    for i in range(number - 1):
        with acting_as(people[i % 3]):
            Order.objects.filter(pk=order.pk).update(amount=i + 1, customer=customers[i % 3])
    client.force_login(root)
    client.get(history(order))  # what is asked once
    with CaptureQueriesContext(connection) as captured:
        page = client.get(history(order)).content.decode()
    # Session, user, row; number of events, events, people, where the tables are, customers.
    assert len(captured) == 8
    assert page.count("audit-head") == min(number, 50)
    if number > 50:
        last = client.get(history(order), {"p": 10}).content.decode()
        assert last.count("audit-head") == 50
        assert "Created" in last


def test_without_a_trail_the_page_is_django_s(serve, root, browse):
    serve({Customer: {}})
    customer = Customer.objects.create(name="Ann")
    assert "have a change history" in browse(root, history(customer))


def test_the_admin_s_own_log_stays_within_reach(serve, root, browse):
    serve({Order: {}})
    order = Order.objects.create()
    LogEntry.objects.create(
        user=root,
        content_type_id=get_type(Order).pk,
        object_id=str(order.pk),
        object_repr="",
        action_flag=2,
        change_message="before the trail",
    )
    assert "before the trail" not in browse(root, history(order))
    assert "before the trail" in browse(root, history(order) + "?log")


def get_type(model):
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(model)


def test_a_deleted_row_still_has_its_history(serve, staff, browse):
    site = serve({Order: {}})
    with acting_as("jonas"):
        order = Order.objects.create(note="to be kept")
        url = history(order)
        order.delete()
    clerk = staff("clerk", "readingapp.view_order")
    page = browse(clerk, url)
    assert "jonas Deleted" in page
    assert "note before: to be kept" in page
    # Where an admin leaves rows out, nobody can tell whether this was one of them.
    type(site.get_model_admin(Order)).get_queryset = lambda self, request: Order.objects.filter(
        state="o"
    )
    assert "exist. Perhaps it was deleted" in browse(clerk, url, follow=True)


def test_a_row_that_never_was_has_no_history(serve, root, browse):
    serve({Order: {}})
    for key in ("4711", "no-number"):
        url = reverse("admin:readingapp_order_history", args=[key])
        assert "exist. Perhaps it was deleted" in browse(root, url, follow=True)


def test_who_may_not_see_the_row_sees_no_history(client, serve, staff):
    class Own:
        def get_queryset(self, request):
            return Order.objects.filter(state="p")

    serve({Order: {"get_queryset": Own.get_queryset}})
    order = Order.objects.create(state="o", note="hidden note")
    event = order.trail.first()
    stranger, clerk = staff("stranger"), staff("clerk", "readingapp.view_order")
    for user in (stranger, clerk):
        client.force_login(user)
        for url in (history(order), version(event, order), revert(event, order)):
            response = client.get(url)
            assert response.status_code in (302, 403, 404)
            assert b"hidden note" not in response.content


def test_who_may_not_view_the_model_is_refused(client, serve, staff):
    serve({Order: {}})
    order = Order.objects.create()
    client.force_login(staff("clerk", "readingapp.view_secretive"))
    event = order.trail.first()
    for url in (history(order), version(event, order), revert(event, order)):
        assert client.get(url).status_code == 403


def test_fields_that_the_admin_does_not_show_are_only_counted(serve, root, browse):
    serve({Order: {"fields": ["amount"], "list_display": ["id", "state"]}})
    order = Order.objects.create(note="n-1")
    Order.objects.update(note="n-2", amount=7, state="p")
    page = browse(root, history(order))
    assert "amount due" in page
    assert "Paid in full" in page
    assert "n-1" not in page
    assert "n-2" not in page
    assert "1 field is not shown here." in page
    assert "n-2" not in browse(root, version(order.trail.first(), order))


def test_what_is_masked_stays_masked(serve, root, browse):
    serve({Secretive: {}})
    row = Secretive.objects.create(name="n", ssn="123-45")
    Secretive.objects.update(ssn="987-65")
    event = AuditEvent.objects.of(row).first()
    for url in (history(row), version(event, row)):
        page = browse(root, url)
        assert "***" in page
        assert "987-65" not in page


def test_a_hash_of_a_password_is_not_shown(serve, root):
    """The form of a user shows how a password is hashed, and not what came of it."""
    from django_audit_fields.admin.sight import fields_shown

    site = admin.AdminSite()
    site.register(User, UserAdmin)
    shown = fields_shown(site.get_model_admin(User), None, User())
    assert "email" in shown
    assert "password" not in shown


def test_a_version_is_the_row_as_it_was(serve, root, browse):
    serve({Order: {}})
    ann = Customer.objects.create(name="Ann")
    order = Order.objects.create(customer=ann, note="first")
    Order.objects.update(note="second")
    Order.objects.update(note="third", customer=None)
    third, second, first = order.trail.all()
    page = browse(root, version(second, order))
    assert "As it was after this change" in page
    assert "note (changed) second" in page
    assert "customer Ann" in page
    client_page = browse(root, version(first, order))
    assert "note first" in client_page
    assert "The change before" not in client_page
    assert "The change after" in client_page
    assert "The change after" not in browse(root, version(third, order))


def test_a_version_of_another_row_is_not_found(client, serve, root):
    serve({Order: {}})
    one, other = Order.objects.create(), Order.objects.create()
    client.force_login(root)
    assert client.get(version(other.trail.first(), one)).status_code == 404
    assert client.get(revert(other.trail.first(), one)).status_code == 404


def test_the_newest_change_is_taken_back_with_a_reason(client, serve, staff):
    serve({Order: {}})
    order = Order.objects.create(amount=80)
    Order.objects.update(amount=90)
    event = order.trail.first()
    boss = staff("boss", "readingapp.change_order", REVERT, first_name="Vera", last_name="Holm")
    client.force_login(boss)
    page = client.get(history(order)).content.decode()
    assert page.count("/revert/") == 1
    assert revert(event, order) in page
    assert "amount due" in words(client.get(revert(event, order)))
    assert order.trail.count() == 2  # asking changes nothing

    response = client.post(revert(event, order), {"audit_reason": "  "})
    assert "This field is required" in words(response)
    response = client.post(revert(event, order), {"audit_reason": "typing error"}, follow=True)
    assert "The change was reverted." in words(response)
    order.refresh_from_db()
    assert str(order.amount) == "80.00"
    made = order.trail.first()
    assert (made.actor, made.reason) == (str(boss.pk), "typing error")


@pytest.mark.parametrize(
    "permissions",
    [["readingapp.change_order"], ["readingapp.view_order", REVERT]],
    ids=["no permission to revert", "no permission to change"],
)
def test_who_may_not_revert_sees_no_button_and_is_refused(client, serve, staff, permissions):
    serve({Order: {}})
    order = Order.objects.create(amount=80)
    Order.objects.update(amount=90)
    event = order.trail.first()
    client.force_login(staff("clerk", *permissions))
    assert "/revert/" not in client.get(history(order)).content.decode()
    response = client.post(revert(event, order), {"audit_reason": "I want to"})
    assert response.status_code == 403
    order.refresh_from_db()
    assert str(order.amount) == "90.00"


@pytest.mark.parametrize(("action", "needed"), [("insert", "delete"), ("delete", "add")])
def test_a_deletion_is_taken_back_and_so_is_a_new_row(client, serve, staff, action, needed):
    serve({Order: {}})
    order = Order.objects.create(note="n")
    row = Order(pk=order.pk)
    if action == "delete":
        order.delete()
    event = AuditEvent.objects.of(row).first()
    view = "readingapp.view_order"
    client.force_login(staff("clerk", view, "readingapp.change_order", REVERT))
    assert client.post(revert(event, row), {"audit_reason": "r"}).status_code == 403
    client.force_login(staff("boss", view, f"readingapp.{needed}_order", REVERT))
    response = client.post(revert(event, row), {"audit_reason": "r"}, follow=True)
    assert "The change was reverted." in words(response)
    assert Order.objects.filter(pk=row.pk, note="n").exists() == (action == "delete")


def test_what_cannot_be_taken_back_says_why(client, serve, root):
    serve({Order: {}, Secretive: {}})
    order = Order.objects.create()
    Order.objects.update(amount=1)
    older = order.trail.first()
    Order.objects.update(amount=2)
    client.force_login(root)
    response = client.post(revert(older, order), {"audit_reason": "r"}, follow=True)
    assert "Not reverted. The row has changed since" in words(response)
    row = Secretive.objects.create(ssn="1")
    Secretive.objects.update(ssn="2")
    event = AuditEvent.objects.of(row).first()
    response = client.post(revert(event, row), {"audit_reason": "r"}, follow=True)
    assert "Not reverted. ssn: masked in the trail." in words(response)
    row.refresh_from_db()
    assert row.ssn == "2"


def test_a_child_of_several_tables_shows_the_events_of_each(serve, root, browse):
    serve({Rush: {}})
    rush = Rush.objects.create(hours=3, note="n")
    page = browse(root, history(rush))
    assert f"Created: Rush {rush.pk}" in page
    assert f"Created: Order {rush.pk}" in page


def test_a_child_s_admin_shows_the_parent_s_fields(serve, staff, browse):
    """As its form does, also to who has nothing to do with the parent's own admin."""
    serve({Rush: {}})
    rush = Rush.objects.create(hours=3, note="n")
    page = browse(staff("clerk", "readingapp.view_rush"), history(rush))
    assert "note after: n" in page


def test_keys_that_need_quoting_in_an_address(client, serve, root, browse):
    serve({Named: {}})
    named = Named.objects.create(pk="a/b_c")
    Named.objects.update(text="changed")
    event = AuditEvent.objects.of(named).first()
    client.force_login(root)
    url = reverse("admin:readingapp_named_history", args=[quote(named.pk)])
    link = client.get(url).content.decode().split("/revert/")[0].split('href="')[-1]
    assert "text" in browse(root, f"{link}/revert/")
    client.post(f"{link}/revert/", {"audit_reason": "r"})
    assert Named.objects.get().text == ""
    assert AuditEvent.objects.of(named).first().pk > event.pk


def test_a_deleted_row_that_called_itself_by_what_is_gone(client, serve, root, monkeypatch):
    serve({Remark: {}})
    monkeypatch.setattr(Remark, "__str__", lambda self: f"on {self.invoice.number}")
    invoice = Invoice.objects.create(number="A-17")
    remark = Remark.objects.create(invoice=invoice)
    row = Remark(pk=remark.pk)
    client.force_login(root)
    assert "on A-17" in words(client.get(history(row)))
    invoice.delete()
    event = AuditEvent.objects.of(row).first()
    for url in (history(row), version(event, row), revert(event, row)):
        assert f"Remark {row.pk}" in words(client.get(url))


def test_what_no_longer_fits_its_column_says_so(client, serve, root):
    serve({Everything: {}})
    row = Everything.objects.create(short="twenty characters...")
    Everything.objects.update(short="few")
    execute("ALTER TABLE readingapp_everything ALTER short TYPE varchar(10)")
    event = AuditEvent.objects.of(row).first()
    client.force_login(root)
    response = client.post(revert(event, row), {"audit_reason": "r"}, follow=True)
    assert "Not reverted. value too long" in words(response)
    assert Everything.objects.get().short == "few"


def test_a_project_adds_to_the_page(serve, root, browse):
    def history_view(self, request, object_id, extra_context=None):
        told = {"title": "Its own title", "row": "its own"}
        return AuditAdminMixin.history_view(self, request, object_id, told)

    serve({Order: {"history_view": history_view}})
    assert "Its own title" in browse(root, history(Order.objects.create()))
