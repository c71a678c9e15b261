"""The admin's lists filter, search and sort by person."""

import re
import types

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse

from django_audit_fields import acting_as
from django_audit_fields.admin import AuditAdminMixin
from tests.factories import ItemFactory
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db
LIST = "admin:testapp_item_changelist"


@pytest.fixture
def client(client):
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def serve(settings):
    def serve_admin(**options):
        site = admin.AdminSite(name="admin")
        site.register(Item, type("OwnAdmin", (AuditAdminMixin, admin.ModelAdmin), options))
        assert site.get_model_admin(Item).check() == []
        urlconf = types.ModuleType("own_urls")
        urlconf.urlpatterns = [path("admin/", site.urls)]
        settings.ROOT_URLCONF = urlconf

    return serve_admin


@pytest.fixture
def people():
    """Whose keys sort otherwise than their names; each has made an item of that name."""
    zoe = User.objects.create_user("zoe", first_name="zoe", last_name="Adams", id=4711)
    amara = User.objects.create_user("u2", first_name="Amara", last_name="Okafor", id=9811)
    lee = User.objects.create_user("lee", id=5511)
    for actor, name in [(zoe, "z"), (amara, "a"), (lee, "l"), ("import:claims", "i")]:
        with acting_as(actor):
            ItemFactory(name=name)
    return types.SimpleNamespace(zoe=zoe, amara=amara, lee=lee)


def page_of(client, **parameters):
    response = client.get(reverse(LIST), parameters)
    assert response.status_code == 200
    return response.content.decode()


def items(page):
    return re.findall('field-name">(?:<a[^>]*>)?(.)<', page)


@pytest.mark.parametrize(("order", "names"), [("2", "ailz"), ("-2", "zlia")])
def test_a_list_is_sorted_by_name(client, serve, people, order, names):
    """And a label that names nobody by itself."""
    serve(list_display=["name", "created_by"])
    assert items(page_of(client, o=order)) == list(names)


def test_sorting_looks_users_up_by_their_key(client, serve, people):
    """The labels are read as keys, so that the users' index serves."""
    serve(list_display=["name", "created_by"])
    with CaptureQueriesContext(connection) as captured:
        page_of(client, o="2")
    (query,) = [query["sql"] for query in captured if "ORDER BY COALESCE" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + query)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan using auth_user_pkey" in plan


def test_a_list_is_filtered_by_person(client, serve, people):
    """Its people stand there by name, and in their order."""
    serve(list_display=["name"], list_filter=["created_by", "updated_by"])
    page = page_of(client, created_by=str(people.amara.pk))
    assert items(page) == ["a"]
    choices = re.findall(r'<a href="(\?[^"]*)">([^<]*)</a></li>', page.split("updated by")[0])
    assert [name for _, name in choices] == [
        "All",
        "Amara Okafor",
        "import:claims",
        "lee",
        "zoe Adams",
    ]
    assert choices[4][0] == f"?created_by={people.zoe.pk}"
    assert re.search(r'class="selected">\s*<a href="[^"]*">Amara Okafor', page)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("okafor", "a"),
        ("amara oka", "a"),
        ("okafor zoe", ""),
        ("lee", "l"),
        ("claims", "i"),
        ("nobody", ""),
        ("%", ""),
        ("471", "z"),
    ],
)
def test_people_are_searched_by_name(client, serve, people, text, found):
    """In the filter and in the list's own search; a label is found by its text."""
    serve(list_display=["name"], list_filter=["created_by"], search_fields=["code", "created_by"])
    assert items(page_of(client, created_by__person=text)) == list(found)
    assert items(page_of(client, q=text)) == list(found)


def test_a_search_keeps_what_else_is_filtered(client, serve, people):
    """The form sends it along, escaped."""
    serve(list_display=["name"], list_filter=["created_by", "name"])
    page = page_of(client, name='"<', created_by__person="<i>")
    form = page.split('<form method="get" role="search">')[1].split("</form>")[0]
    assert '<input type="hidden" name="name" value="&quot;&lt;">' in form
    assert 'name="created_by__person" value="&lt;i&gt;"' in form
    assert form.count("<input") == 3


def test_an_ordinary_search_is_left_alone(client, serve, people):
    """Where `search_fields` names neither column, users are not asked."""
    serve(list_display=["name"], search_fields=["name"])
    assert items(page_of(client, q="okafor")) == []


def test_filters_with_an_actor_of_ones_own(client, serve, settings):
    """Its labels are made for the users that are found."""
    settings.AUDIT_FIELDS = {"ACTOR": "tests.people.test_people.username"}
    amara = User.objects.create_user("u2", first_name="Amara")
    with acting_as(amara):
        ItemFactory(name="a")
    serve(list_display=["name", "created_by"], list_filter=["created_by"])
    assert items(page_of(client, created_by__person="amara", o="2")) == ["a"]


def test_a_page_asks_for_names_a_constant_number_of_times(client, serve):
    """However many people there are, with columns, filters and search."""
    serve(
        list_display=["name", "created_by", "updated_by"],
        list_filter=["created_by", "updated_by"],
        search_fields=["created_by"],
    )

    def queries():
        with CaptureQueriesContext(connection) as captured:
            page_of(client, q="user", o="2")
        return len(captured)

    counts = []
    for number in range(8):
        with acting_as(User.objects.create_user(f"user{number}")):
            ItemFactory()
        counts.append(queries())
    assert counts[1:] == [counts[1]] * 7


def test_a_list_asks_once_without_the_middleware_too(client, serve, settings):
    """What was found for one cell is there for the next, also where no request keeps it."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "audit" not in name]
    serve(list_display=["name", "created_by", "updated_by"])
    for number in range(4):
        with acting_as(User.objects.create_user(f"user{number}")):
            ItemFactory()
    with CaptureQueriesContext(connection) as captured:
        page_of(client)
    assert len([query for query in captured if '"auth_user"."id" IN' in query["sql"]]) == 1
