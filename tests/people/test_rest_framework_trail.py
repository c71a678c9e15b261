"""`GET …/{pk}/trail/`: what happened to a row, in an API."""

import datetime
import decimal
import json
import types

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from rest_framework import pagination, permissions, routers, serializers, viewsets
from rest_framework.test import APIRequestFactory, force_authenticate

from django_audit_fields import acting_as, audit_context
from django_audit_fields.contrib.rest_framework import AuditEventSerializer, TrailMixin
from django_audit_fields.models import AuditEvent
from tests.trail.reading.readingapp.models import Customer, Everything, Order, Secretive
from tests.trail.recorded import execute

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


class OrderSerializer(serializers.ModelSerializer):
    price = serializers.DecimalField(source="amount", max_digits=20, decimal_places=2)
    secret = serializers.CharField(source="note", write_only=True)

    class Meta:
        model = Order
        fields = ["price", "customer", "secret"]


class OrderViewSet(TrailMixin, viewsets.ModelViewSet):
    queryset = Order.objects.all()
    serializer_class = OrderSerializer
    permission_classes = [permissions.IsAuthenticated]


@pytest.fixture
def amara():
    return User.objects.create_user("u1", first_name="Amara", last_name="Okafor")


def trail(viewset, row, user=None, **parameters):
    request = APIRequestFactory().get("/", parameters)
    if user:
        force_authenticate(request, user)
    return viewset.as_view({"get": "trail"})(request, pk=row.pk)


def body(response):
    assert response.status_code == 200
    response.render()
    return json.loads(response.content)


def test_the_events_of_a_row_newest_first(amara):
    ann = Customer.objects.create(name="Ann")
    with acting_as(amara):
        order = Order.objects.create(amount="80.10")
        with audit_context(reason="phone call", on_behalf_of="patient:7"):
            Order.objects.update(amount="90.20", customer=ann)
    found = body(trail(OrderViewSet, order, amara))
    assert found["count"] == 2
    update, insert = found["results"]
    assert (insert["action"], insert["reason"]) == ("insert", None)
    assert update["actor"] == {"label": str(amara.pk), "name": "Amara Okafor"}
    assert (update["reason"], update["on_behalf_of"]) == ("phone call", "patient:7")
    changes = {change["field"]: change for change in update["changes"]}
    assert changes["amount"] == {
        "field": "amount",
        "verbose_name": "amount due",
        "before": "80.10",
        "after": "90.20",
        "before_display": "80.10",
        "after_display": "90.20",
    }
    assert changes["customer"]["after"] == ann.pk
    assert changes["customer"]["after_display"] == "Ann"


def test_it_shows_no_field_that_the_viewset_does_not(amara):
    order = Order.objects.create(note="unseen", state="o")
    (event,) = body(trail(OrderViewSet, order, amara))["results"]
    assert {change["field"] for change in event["changes"]} == {"id", "amount"}
    assert event["fields_not_shown"] > 0
    assert "unseen" not in json.dumps(event)


def test_a_part_of_a_related_row_does_not_show_the_whole(amara):
    class Part(serializers.ModelSerializer):
        name_of_customer = serializers.CharField(source="customer.name")

        class Meta:
            model = Order
            fields = ["name_of_customer"]

    class Own(OrderViewSet):
        serializer_class = Part

    order = Order.objects.create(customer=Customer.objects.create(name="Ann"))
    (event,) = body(trail(Own, order, amara))["results"]
    assert {change["field"] for change in event["changes"]} == {"id"}


def test_the_page_that_people_browse(client, amara, settings):
    """Rendered as HTML, with the framework's own templates."""
    router = routers.SimpleRouter()
    router.register("orders", OrderViewSet)
    urlconf = types.ModuleType("own_urls")
    urlconf.urlpatterns = [path("", include(router.urls))]
    settings.ROOT_URLCONF = urlconf
    settings.STATIC_URL = "static/"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "rest_framework"]
    client.force_login(amara)
    order = Order.objects.create(amount=80)
    response = client.get(f"/orders/{order.pk}/trail/", headers={"accept": "text/html"})
    assert response.status_code == 200
    assert "80.00" in response.content.decode()


@pytest.mark.parametrize(("names", "shown"), [(("note",), {"note"}), ("__all__", None)])
def test_a_viewset_names_others(amara, names, shown):
    class Own(OrderViewSet):
        trail_fields = names

    order = Order.objects.create(note="seen")
    (event,) = body(trail(Own, order, amara))["results"]
    found = {change["field"] for change in event["changes"]}
    assert found == shown if shown else {"note", "state", "updated_by"} <= found


def test_who_may_not_retrieve_the_row_gets_nothing(amara):
    class Own(OrderViewSet):
        queryset = Order.objects.filter(state="p")

    order = Order.objects.create(state="o")
    assert trail(OrderViewSet, order).status_code in (401, 403)
    assert trail(Own, order, amara).status_code == 404


def test_an_action_of_its_own_can_have_permissions_of_its_own(amara):
    class Own(OrderViewSet):
        def get_permissions(self):
            return [permissions.IsAdminUser()] if self.action == "trail" else []

    assert trail(Own, Order.objects.create(), amara).status_code == 403


class Offsets(pagination.LimitOffsetPagination):
    default_limit = 3


class Cursors(pagination.CursorPagination):
    ordering = "-created_at"


@pytest.mark.parametrize(
    ("pages", "number"),
    [(None, 50), (Offsets, 3), (Cursors, 50), (pagination.PageNumberPagination, 50)],
)
def test_pages_are_the_viewset_s_own_or_of_fifty(amara, pages, number):
    class Own(OrderViewSet):
        pagination_class = pages

    order = Order.objects.create()
    for i in range(59):
        Order.objects.update(amount=i + 1)
    found = body(trail(Own, order, amara))
    assert (found["count"], len(found["results"])) == (60, number)
    assert found["next"]


def test_the_number_of_queries_does_not_grow(amara):
    customers = [Customer.objects.create(name=f"c{i}") for i in range(3)]
    people = [User.objects.create_user(f"p{i}") for i in range(3)]
    order = Order.objects.create()

    def queries(times):
        for i in range(times):
            with acting_as(people[i % 3]):
                Order.objects.update(amount=times * 100 + i, customer=customers[i % 3])
        with CaptureQueriesContext(connection) as captured:
            body(trail(OrderViewSet, order, amara))
        return len(captured)

    assert queries(4) == queries(40)


def test_every_kind_of_value_is_json(amara):
    row = Everything.objects.create(
        numeric=decimal.Decimal("1.5"),
        lasted=datetime.timedelta(hours=1),
        data=b"bytes",
        json={"a": [1, None]},
        moment=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )
    execute("UPDATE readingapp_everything SET real = 'NaN'")
    data = AuditEventSerializer(AuditEvent.objects.of(row), many=True).data
    from rest_framework.renderers import JSONRenderer

    update, insert = json.loads(JSONRenderer().render(data))
    values = {change["field"]: change["after"] for change in insert["changes"]}
    assert values["numeric"] == "1.5000000000"
    assert values["json"] == {"a": [1, None]}
    assert values["data"] == "5 bytes"
    assert values["moment"] == "2026-01-02T00:00:00Z"
    assert [change["after"] for change in update["changes"]] == ["nan"]


def test_what_is_masked_stays_masked():
    row = Secretive.objects.create(ssn="123-45")
    (event,) = AuditEventSerializer(AuditEvent.objects.of(row), many=True).data
    (ssn,) = [change for change in event["changes"] if change["field"] == "ssn"]
    assert (ssn["after"], ssn["after_display"]) == ("***", "***")


def test_a_viewset_that_makes_its_serializer_in_its_own_way(amara):
    """It leaves a field out for who may not see it."""

    class Own(OrderViewSet):
        def get_serializer(self, *args, **kwargs):
            serializer = super().get_serializer(*args, **kwargs)
            serializer.fields.pop("price")
            return serializer

    (event,) = body(trail(Own, Order.objects.create(amount=80), amara))["results"]
    assert {change["field"] for change in event["changes"]} == {"id"}


def test_a_serializer_without_fields_shows_none(amara):
    class Text(serializers.BaseSerializer):
        def to_representation(self, row):
            return str(row)

    class Own(OrderViewSet):
        serializer_class = Text

    (event,) = body(trail(Own, Order.objects.create(), amara))["results"]
    assert {change["field"] for change in event["changes"]} == {"id"}
