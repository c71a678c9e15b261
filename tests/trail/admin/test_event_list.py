"""The list of all events: filtered, searched, exported, and no wider than each model's admin."""

import csv
import datetime
import json

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_audit_fields import acting_as, audit_context
from django_audit_fields.admin import AuditAdminMixin
from django_audit_fields.admin.sight import Sight
from django_audit_fields.models import AuditEvent
from tests.trail.admin.conftest import words
from tests.trail.reading.readingapp.models import Customer, Order, Secretive
from tests.trail.recorded import execute
from tests.trail.trailapp.models import Article, Invoice, OldInvoice, Remark, Tag

pytestmark = pytest.mark.django_db
LIST = "admin:django_audit_fields_auditevent_changelist"
EXPORT = "admin:django_audit_fields_auditevent_export"
VIEW = "django_audit_fields.view_auditevent"


@pytest.fixture
def amara():
    return User.objects.create_user("u1", first_name="Amara", last_name="Okafor")


def rows_of(client, **parameters):
    """The rows that the list shows, as `Order 1`."""
    response = client.get(reverse(LIST), parameters)
    assert response.status_code == 200, response
    return [(event.action, event.row_key) for event in response.context["cl"].result_list]


def exported(client, **parameters):
    response = client.get(reverse(EXPORT), parameters)
    text = "".join(part.decode() for part in response.streaming_content)
    return list(csv.DictReader(text.splitlines()))


def test_the_list_says_who_did_what_when_and_why(serve, root, amara, browse):
    serve({Order: {}})
    with acting_as(amara), audit_context(reason="phone call"):
        order = Order.objects.create()
    page = browse(root, reverse(LIST))
    assert f"Amara Okafor Created Order {order.pk} phone call" in page


def test_filters_by_person_table_action_and_date(client, serve, root, amara):
    serve({Order: {}, Secretive: {}})
    with acting_as(amara):
        order = Order.objects.create()
    with acting_as("nightly"):
        Order.objects.update(amount=1)
        secretive = Secretive.objects.create()
    client.force_login(root)
    assert rows_of(client, actor=amara.pk) == [("insert", str(order.pk))]
    assert rows_of(client, actor__person="okafor") == [("insert", str(order.pk))]
    assert rows_of(client, actor="nightly") == [
        ("insert", str(secretive.pk)),
        ("update", str(order.pk)),
    ]
    assert rows_of(client, table="readingapp.secretive") == [("insert", str(secretive.pk))]
    assert rows_of(client, action="update") == [("update", str(order.pk))]
    today = timezone.localdate()
    day = {"recorded_at__year": today.year, "recorded_at__month": today.month}
    assert len(rows_of(client, **day, recorded_at__day=today.day)) == 3
    long_ago = today - datetime.timedelta(days=800)
    assert rows_of(client, recorded_at__year=long_ago.year) == []


def test_searches_a_key_and_a_request(client, serve, root):
    serve({Order: {}})
    with audit_context(request_id="req-1"):
        one = Order.objects.create()
    other = Order.objects.create()
    client.force_login(root)
    assert rows_of(client, q=str(other.pk)) == [("insert", str(other.pk))]
    assert rows_of(client, q="req-1") == [("insert", str(one.pk))]
    assert rows_of(client, q="req") == []


def test_the_number_of_queries_does_not_grow(client, serve, root):
    serve({Order: {}})
    client.force_login(root)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse(LIST))
        return len(captured)

    people = [User.objects.create_user(f"p{i}") for i in range(4)]
    customers = [Customer.objects.create(name=f"c{i}") for i in range(4)]

    def write(times):
        for i in range(times):
            with acting_as(people[i % 4]):
                Order.objects.create(customer=customers[i % 4])

    write(4)
    queries()
    few = queries()
    write(60)
    assert queries() == few


def test_nobody_sees_more_of_a_model_than_its_admin_shows(client, serve, staff):
    def get_queryset(self, request):
        return Order.objects.filter(state="o")

    serve({Order: {"get_queryset": get_queryset, "exclude": ["note"]}, Secretive: {}})
    seen = Order.objects.create(state="o", note="unseen")
    Order.objects.create(state="p")
    Secretive.objects.create(name="s")
    article = Article.objects.create(title="t")  # has no admin
    tag = Tag.objects.create()
    article.tags.add(tag)

    client.force_login(staff("nobody", VIEW))
    assert rows_of(client) == []
    client.force_login(staff("clerk", VIEW, "readingapp.view_order"))
    assert rows_of(client) == [("insert", str(seen.pk))]
    event = seen.trail.first()
    page = client.get(reverse("admin:django_audit_fields_auditevent_change", args=[event.pk]))
    assert "unseen" not in page.content.decode()
    assert "1 field is not shown here." in words(page)
    (line,) = exported(client)
    assert "unseen" not in line["changes"]
    assert line["fields_not_shown"] == "1"
    client.force_login(staff("editor", VIEW, "trailapp.view_article"))
    assert len(rows_of(client)) == 2  # the article, and its link to the tag


def test_an_event_that_may_not_be_seen_is_not_found(client, serve, staff):
    serve({Order: {}})
    event = Order.objects.create(note="unseen").trail.first()
    client.force_login(staff("clerk", VIEW))
    url = reverse("admin:django_audit_fields_auditevent_change", args=[event.pk])
    response = client.get(url, follow=True)
    assert b"unseen" not in response.content
    assert exported(client) == []


@pytest.mark.parametrize("url", [LIST, EXPORT])
@pytest.mark.parametrize(
    "lookup", ["after__note__startswith", "before__contains", "context__reason", "actor__person"]
)
def test_hidden_values_cannot_be_guessed_by_filters(client, serve, staff, url, lookup):
    serve({Order: {"exclude": ["note"]}})
    Order.objects.create(note="unseen")
    client.force_login(staff("clerk", VIEW, "readingapp.view_order"))
    response = client.get(reverse(url), {lookup: "u"})
    assert response.status_code == (200 if lookup == "actor__person" else 400)


def test_counts_beside_the_filters(client, serve, root):
    serve({Order: {}})
    Order.objects.create()
    client.force_login(root)
    assert "Created (1)" in words(client.get(reverse(LIST), {"_facets": "True"}))


def test_without_its_permission_there_is_no_list(client, serve, staff):
    serve({Order: {}})
    event = Order.objects.create().trail.first()
    client.force_login(staff("clerk", "readingapp.view_order"))
    change = reverse("admin:django_audit_fields_auditevent_change", args=[event.pk])
    for url in (reverse(LIST), reverse(EXPORT), change):
        assert client.get(url).status_code == 403


def test_nothing_is_written_there(client, serve, root):
    serve({Order: {}})
    event = Order.objects.create().trail.first()
    client.force_login(root)
    delete = reverse("admin:django_audit_fields_auditevent_delete", args=[event.pk])
    add = reverse("admin:django_audit_fields_auditevent_add")
    assert client.get(add).status_code == 403
    assert client.post(delete, {"post": "yes"}).status_code == 403
    assert AuditEvent.objects.filter(pk=event.pk).exists()


def test_one_event_is_told_with_all_that_is_known(serve, root, amara, browse):
    serve({Order: {}})
    with acting_as(amara), audit_context(request_id="req-1", source="POST /orders/"):
        order = Order.objects.create(note="n-1")
    event = order.trail.first()
    page = browse(root, reverse("admin:django_audit_fields_auditevent_change", args=[event.pk]))
    assert f"Amara Okafor Created: Order {order.pk}" in page
    assert "note after: n-1" in page
    assert "Request req-1" in page
    assert f"Label {amara.pk}" in page
    assert "public.readingapp_order" in page
    assert "All changes of this row" in page


def test_the_export_has_what_is_filtered(client, serve, root, amara):
    serve({Order: {}, Secretive: {}})
    with acting_as(amara), audit_context(reason="=HYPERLINK(1)"):
        order = Order.objects.create(amount=80)
        Order.objects.update(amount=90)
    Secretive.objects.create(ssn="123-45")
    client.force_login(root)
    update, insert = exported(client, actor=amara.pk)
    assert (insert["action"], insert["row_key"]) == ("insert", str(order.pk))
    assert (update["actor"], update["person"]) == (str(amara.pk), "Amara Okafor")
    assert update["reason"] == "'=HYPERLINK(1)"  # no formula
    assert json.loads(update["changes"])["amount"] == ["80.00", "90.00"]
    assert update["recorded_at"].endswith("+00:00")
    (secretive,) = exported(client, table="readingapp.secretive")
    assert json.loads(secretive["changes"])["ssn"] == ["", "***"]


def test_a_wrong_filter_leads_back_to_the_list(client, serve, root):
    serve({Order: {}})
    client.force_login(root)
    assert client.get(reverse(EXPORT), {"recorded_at__year": "last"}).status_code == 302


def test_a_project_without_a_trail_has_no_such_entry(client, serve, root, monkeypatch):
    import django_audit_fields.admin.events as events

    serve({Order: {}})
    client.force_login(root)
    assert "Audit events" in words(client.get(reverse("admin:index")))
    monkeypatch.setattr(events, "has_trail", lambda using: False)
    assert "Audit events" not in words(client.get(reverse("admin:index")))


def test_a_history_page_is_linked_where_there_is_one(serve):
    site = serve({Order: {}})
    model_admin = site.get_model_admin(AuditEvent)
    order, secretive = Order.objects.create(), Secretive.objects.create()
    assert isinstance(site.get_model_admin(Order), AuditAdminMixin)
    assert model_admin.row_url(order.trail.first()).endswith(f"/order/{order.pk}/history/")
    assert model_admin.row_url(AuditEvent.objects.of(secretive).first()) is None


@pytest.mark.parametrize("change", [{"USE_TZ": False}, {"LANGUAGE_CODE": "he"}], ids=str)
def test_pages_without_zones_and_from_right_to_left(client, serve, root, settings, change):
    for name, value in change.items():
        setattr(settings, name, value)
    serve({Order: {}})
    order = Order.objects.create(amount=80)
    Order.objects.update(amount=90)
    event = order.trail.first()
    client.force_login(root)
    name = "admin:readingapp_order_{}".format
    urls = [
        reverse(LIST),
        reverse("admin:django_audit_fields_auditevent_change", args=[event.pk]),
        reverse(name("history"), args=[order.pk]),
        reverse(name("version"), args=[order.pk, event.pk]),
        reverse(name("revert"), args=[order.pk, event.pk]),
    ]
    for url in urls:
        page = client.get(url).content.decode()
        assert str(event.recorded_at.year) in page
    assert ('dir="rtl"' in page) == ("LANGUAGE_CODE" in change)
    assert len(exported(client)) == 2


def test_links_are_seen_where_their_row_and_their_field_are(client, serve, staff):
    options = {"get_queryset": lambda self, request: Article.objects.filter(title="mine")}
    site = serve({Article: options})
    mine, other = Article.objects.create(title="mine"), Article.objects.create(title="other")
    for article in (mine, other):
        article.tags.add(Tag.objects.create(word=f"tag of {article}"))
        article.tags.clear()
    client.force_login(staff("clerk", VIEW, "trailapp.view_article"))
    # A link that was deleted is known by the article that it was of.
    assert [action for action, _ in rows_of(client)] == ["delete", "insert", "insert"]
    lines = json.dumps(exported(client))
    assert "tag of mine" in lines
    assert "tag of other" not in lines
    type(site.get_model_admin(Article)).fields = ["title"]
    assert "tag of mine" not in json.dumps(exported(client))


def test_an_admin_may_look_at_the_row(client, serve, staff):
    """What it hides of some rows is not shown of their events."""

    def get_fields(self, request, obj=None):
        return ["state"] if obj and obj.amount > 100 else ["state", "note"]

    def has_view_permission(self, request, obj=None):
        return obj is None or obj.state == "o"

    serve({Order: {"get_fields": get_fields, "has_view_permission": has_view_permission}})
    Order.objects.create(note="of an open one")
    Order.objects.create(note="of a dear one", amount=101)
    Order.objects.create(note="of a paid one", state="p")
    Order.objects.create(note="of one that is gone", state="p").delete()
    client.force_login(staff("clerk", VIEW))
    lines = json.dumps(exported(client))
    assert "of an open one" in lines
    for unseen in ("dear", "paid", "gone"):
        assert unseen not in lines


def test_of_two_admins_of_a_model_each_shows_its_own_rows(client, serve, staff):
    """The one shows all rows and few fields, the other all fields of few rows."""
    old = {"get_queryset": lambda self, request: OldInvoice.objects.filter(number="old")}
    serve({Invoice: {"fields": ["number"]}, OldInvoice: old})
    Invoice.objects.create(number="old", amount=17)
    Invoice.objects.create(number="new", amount=4711)
    client.force_login(staff("clerk", VIEW, "trailapp.view_invoice", "trailapp.view_oldinvoice"))
    lines = {line["row_key"]: line["changes"] for line in exported(client)}
    assert len(lines) == 2
    assert "17" in json.dumps(lines)
    assert "4711" not in json.dumps(lines)


def test_a_hash_of_a_password_is_shown_to_nobody(serve, staff):
    """Also where the admin has no page of users."""
    site = serve({Order: {}})
    request = RequestFactory().get("/")
    request.user = staff("clerk", "auth.view_user")
    shown = Sight(site, request).fields(AuditEvent(table_schema="public", table_name="auth_user"))
    assert "email" in shown
    assert "password" not in shown


def test_a_superuser_of_a_tenant_sees_no_other_tenant(client, serve, root):
    serve({Order: {}})
    for schema in ("tenant_a", "tenant_b"):
        execute(f"CREATE SCHEMA {schema}")
        execute(f"CREATE TABLE {schema}.django_migrations ()")
        execute(f"CREATE TABLE {schema}.readingapp_order (id int)")
        execute(
            f'CREATE TRIGGER "!audit_trail" AFTER INSERT ON {schema}.readingapp_order FOR EACH ROW'
            " EXECUTE FUNCTION audit_trail.record('{id}', '{}', '{}', '', '', 'system')"
        )
        execute(f"INSERT INTO {schema}.readingapp_order VALUES (17)")
    client.force_login(root)
    execute("SET LOCAL search_path TO tenant_a, public")
    (line,) = exported(client)
    assert line["table"] == "tenant_a.readingapp_order"


@pytest.mark.parametrize("where", ["parent", "inline"])
def test_rows_that_are_shown_with_others_are_seen_as_these_are(client, serve, staff, where):
    """A model without an admin, in an inline on the pages of one that leaves rows out."""

    class RemarkInline(AuditAdminMixin, admin.TabularInline):
        model = Remark
        exclude = ("article",)

        def get_queryset(self, request):
            found = super().get_queryset(request)
            return found.filter(invoice__number="mine") if where == "inline" else found

    def get_queryset(self, request):
        return Invoice.objects.filter(number="mine") if where == "parent" else Invoice.objects.all()

    serve({Invoice: {"inlines": [RemarkInline], "get_queryset": get_queryset}})
    for number in ("mine", "other"):
        invoice = Invoice.objects.create(number=number)
        article = Article.objects.create(title="unseen title")
        Remark.objects.create(invoice=invoice, text=f"on {number}", article=article)
    may = ("trailapp.view_invoice", "trailapp.view_remark")
    client.force_login(staff("clerk", VIEW, *may))
    lines = json.dumps([line for line in exported(client) if "remark" in line["table"]])
    assert "on mine" in lines
    assert "on other" not in lines
    assert "unseen title" not in lines
    for number, permission in enumerate(may):
        client.force_login(staff(f"half {number}", VIEW, permission))
        assert not [line for line in exported(client) if "remark" in line["table"]]


def test_an_admin_that_expects_a_row_does_not_break_the_list(client, serve, staff):
    def get_inlines(self, request, obj):
        return [] if obj.number == "seen" else self.inlines

    serve({Invoice: {"get_inlines": get_inlines, "has_add_permission": lambda *_: False}})
    invoice = Invoice.objects.create(number="seen")
    client.force_login(staff("clerk", VIEW, "trailapp.view_invoice", "trailapp.delete_invoice"))
    assert "seen" in json.dumps(exported(client))
    delete = reverse("admin:trailapp_invoice_delete", args=[invoice.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302


def test_a_model_of_users_that_knows_no_superusers(serve):
    class Staff:
        def has_perm(self, permission):
            return permission == "readingapp.view_order"

    request = RequestFactory().get("/")
    request.user = Staff()
    order = Order.objects.create()
    Secretive.objects.create()
    sight = Sight(serve({Order: {}, Secretive: {}}), request)
    (event,) = sight.events(AuditEvent.objects.all())
    assert event.row_key == str(order.pk)
    assert "note" in sight.fields(event)
