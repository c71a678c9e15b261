"""Who is behind a label."""

import asyncio
import logging
import uuid
from datetime import date

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import connection, models
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_audit_fields import acting_as, people
from django_audit_fields.middleware import AuditMiddleware
from django_audit_fields.people import name_expression, name_of, names_of, prefetch, user_of
from tests.factories import ItemFactory
from tests.testapp.models import Item

pytestmark = pytest.mark.django_db


@pytest.fixture
def amara():
    return User.objects.create_user("amara", first_name="Amara", last_name="Okafor")


@pytest.fixture
def jonas():
    return User.objects.create_user("jonas")


def in_request(view):
    """What `view` answers inside a request."""
    answers = []

    def get_response(request):
        answers.append(view())
        return HttpResponse()

    AuditMiddleware(get_response)(RequestFactory().get("/"))
    return answers[0]


def full_name(user):
    return user.get_full_name()


def users_by_username(labels):
    return {user.username: user for user in User.objects.filter(username__in=labels)}


def shouted(user):
    return user.username.upper()


def test_names_of_users_are_their_full_names_or_what_they_print(amara, jonas):
    """By the key; a user without a full name is named as `str()` has it."""
    labels = [str(amara.pk), str(jonas.pk)]
    assert names_of(labels) == {labels[0]: "Amara Okafor", labels[1]: "jonas"}
    assert name_of(labels[0]) == "Amara Okafor"
    assert user_of(labels[1]) == jonas


def test_any_number_of_names_is_one_query(amara, jonas, django_assert_num_queries):
    """Also with labels that name nobody among them, and the same one twice."""
    labels = [str(amara.pk), str(jonas.pk), str(jonas.pk), "system", "987654321", None, ""]
    with django_assert_num_queries(1):
        names = names_of(labels)
    assert names == {
        str(amara.pk): "Amara Okafor",
        str(jonas.pk): "jonas",
        "system": "system",
        "987654321": "deleted user 987654321",
    }


@pytest.mark.parametrize("label", [None, ""])
def test_no_label_has_no_name(label, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert name_of(label) == ""
        assert user_of(label) is None


@pytest.mark.parametrize(
    "label",
    [
        "import:claims-2026",
        "system",
        "017",
        "1_7",
        " 17",
        "+17",
        "17.0",
        "\u0661\u0667",
        "1e3",
        "9" * 10,
        "9" * 30,
        "-" + "9" * 50,
        "9" * 5000,
        "a\0b",
        "\ud800",
        "ß" * 50,
    ],
)
def test_what_no_user_is_called_is_its_own_name(label, django_assert_num_queries):
    """It is not looked up, whatever Python would read as a number."""
    User.objects.create_user("seventeen", id=17)
    with django_assert_num_queries(0):
        assert name_of(label) == label
        assert user_of(label) is None


def test_a_user_that_is_gone_is_said_to_be_gone(amara):
    label = str(amara.pk)
    amara.delete()
    assert name_of(label) == f"deleted user {label}"
    assert user_of(label) is None


@isolate_apps("tests.testapp")
def test_a_user_that_the_default_manager_hides_has_a_name(monkeypatch):
    """As a foreign key shows it."""

    class Hidden(models.Model):
        objects = type("Nobody", (models.Manager,), {"get_queryset": lambda self: self.none()})

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return "hidden"

    with connection.schema_editor() as editor:
        editor.create_model(Hidden)
    user = Hidden._base_manager.create()
    monkeypatch.setattr(people, "get_user_model", lambda: Hidden)
    assert name_of(str(user.pk)) == "hidden"


@isolate_apps("tests.testapp")
def test_keys_that_are_uuids_or_text(monkeypatch, django_assert_num_queries):
    """Text may be a key, so a label that is none of them is not called a deleted user."""

    class ByUUID(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return "one"

    class ByText(models.Model):
        id = models.CharField(primary_key=True, max_length=20)

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return f"text {self.id}"

    with connection.schema_editor() as editor:
        editor.create_model(ByUUID)
        editor.create_model(ByText)
    user, nobody = ByUUID.objects.create(), str(uuid.uuid4())
    monkeypatch.setattr(people, "get_user_model", lambda: ByUUID)
    with django_assert_num_queries(1):
        assert names_of([str(user.pk), nobody, user.pk.hex, "7", "import"]) == {
            str(user.pk): "one",
            nobody: f"deleted user {nobody}",
            user.pk.hex: user.pk.hex,
            "7": "7",
            "import": "import",
        }
    ByText.objects.create(id="17")
    monkeypatch.setattr(people, "get_user_model", lambda: ByText)
    assert names_of(["17", "18", "a\0"]) == {"17": "text 17", "18": "18", "a\0": "a\0"}


@pytest.mark.parametrize("display", [shouted, f"{__name__}.shouted"])
def test_display_says_what_a_user_is_called(settings, amara, display):
    settings.AUDIT_FIELDS = {"DISPLAY": display}
    assert name_of(str(amara.pk)) == "AMARA"
    assert name_of("import") == "import"


def test_a_display_that_fails_leaves_the_label(settings, amara, jonas, caplog):
    """It is logged once for each cause, and no page breaks."""

    def fails(user):
        raise LookupError(f"no name today, {people.__name__}")

    settings.AUDIT_FIELDS = {"DISPLAY": fails}
    labels = [str(amara.pk), str(jonas.pk)]
    assert names_of(labels) == {label: label for label in labels}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_an_empty_display_leaves_the_label(settings, amara):
    settings.AUDIT_FIELDS = {"DISPLAY": lambda user: ""}
    assert name_of(str(amara.pk)) == str(amara.pk)


@pytest.mark.parametrize("find_user", [users_by_username, f"{__name__}.users_by_username"])
def test_an_actor_of_ones_own_brings_its_way_back(settings, amara, find_user):
    """All labels are handed to it at once; those that it does not answer are their own names."""
    settings.AUDIT_FIELDS = {"ACTOR": "tests.people.test_people.username", "FIND_USER": find_user}
    with CaptureQueriesContext(connection) as captured:
        assert names_of(["amara", "import", "17"]) == {
            "amara": "Amara Okafor",
            "import": "import",
            "17": "17",
        }
    assert len(captured) == 1
    assert user_of("amara") == amara


def username(user):
    return user.username


def test_without_a_way_back_labels_are_names_already(settings, amara, django_assert_num_queries):
    settings.AUDIT_FIELDS = {"ACTOR": f"{__name__}.username"}
    with django_assert_num_queries(0):
        assert name_of(str(amara.pk)) == str(amara.pk)


@pytest.mark.parametrize(
    "find_user",
    ["no.such.module", lambda labels: 1 / 0, lambda labels: None, lambda labels: list(labels)],
    ids=["import", "error", "None", "list"],
)
def test_a_way_back_that_fails_leaves_the_labels(settings, caplog, find_user):
    settings.AUDIT_FIELDS = {"ACTOR": f"{__name__}.username", "FIND_USER": find_user}
    people._logged.clear()
    assert [names_of(["amara", "x"]), name_of("y")] == [{"amara": "amara", "x": "x"}, "y"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "FIND_USER" in caplog.text


def test_a_request_asks_once_for_each_label(amara, jonas, django_assert_num_queries):
    """What was asked for before, and what names nobody, is not asked for again."""

    def view():
        names_of([str(amara.pk), "987654321"])
        return name_of(str(amara.pk)), name_of("987654321"), user_of(str(amara.pk))

    with django_assert_num_queries(1):
        assert in_request(view) == ("Amara Okafor", "deleted user 987654321", amara)


def test_nothing_is_remembered_past_a_request(amara):
    """A rename shows in the next request, and in a task outside of any."""
    label = str(amara.pk)
    assert in_request(lambda: name_of(label)) == "Amara Okafor"
    User.objects.update(first_name="Amy")
    assert in_request(lambda: name_of(label)) == "Amy Okafor"
    assert name_of(label) == "Amy Okafor"
    User.objects.update(first_name="Ann")
    assert name_of(label) == "Ann Okafor"


def test_requests_share_nothing(amara):
    """One inside another, as a test client makes it in a view."""
    label = str(amara.pk)

    def outer():
        before = name_of(label)
        User.objects.update(first_name="Amy")
        return before, in_request(lambda: name_of(label)), name_of(label)

    assert in_request(outer) == ("Amara Okafor", "Amy Okafor", "Amara Okafor")


LIST = """{% load audit_fields %}{% people rows %}
{% for row in rows %}[{{ row.created_by|person }}|{{ row.updated_by|person }}]{% endfor %}"""


def test_templates_show_people(amara):
    """Escaped as any text; nobody is shown as nothing."""
    User.objects.update(first_name="<Amara>")
    template = Template("{% load audit_fields %}{{ label|person }}")
    assert template.render(Context({"label": str(amara.pk)})) == "&lt;Amara&gt; Okafor"
    assert template.render(Context({"label": "a&b"})) == "a&amp;b"
    assert template.render(Context({"label": None})) == ""


def test_a_list_asks_for_its_people_once(django_assert_num_queries):
    """Its rows, and whoever is in them."""
    for number in range(6):
        with acting_as(User.objects.create_user(f"user{number}")):
            item = ItemFactory()
        with acting_as(User.objects.create_user(f"other{number}")):
            item.save()
    rows = Item.objects.order_by("pk")
    with django_assert_num_queries(2):
        page = in_request(lambda: Template(LIST).render(Context({"rows": rows})))
    assert page.strip() == "".join(f"[user{number}|other{number}]" for number in range(6))


def test_prefetching_leaves_deferred_columns_alone(amara, django_assert_num_queries):
    """Reading them would cost a query for each row."""
    with acting_as(amara):
        ItemFactory.create_batch(3)
    with django_assert_num_queries(2):
        assert prefetch(Item.objects.defer("created_by")) == {str(amara.pk): "Amara Okafor"}


def test_columns_of_other_names_can_be_prefetched(amara):
    item = Item(name=str(amara.pk))
    assert prefetch([item], "name") == {str(amara.pk): "Amara Okafor"}


@pytest.mark.django_db(transaction=True)
def test_tasks_on_one_event_loop_share_nothing():
    """Each has its own request's people, also where the other waits in between."""
    user = User.objects.create_user("amara")
    label = str(user.pk)

    async def serve(number, turns):
        def ask():
            User.objects.update(username=f"name {number}")
            return name_of(label)

        async def get_response(request):
            await turns[number].wait()
            first = await sync_to_async(ask)()
            turns[1 - number].set()
            turns[number].clear()
            await turns[number].wait()
            again = await sync_to_async(name_of)(label)
            turns[1 - number].set()
            return HttpResponse(f"{first}, {again}")

        middleware = AuditMiddleware(get_response)
        return (await middleware(RequestFactory().get("/"))).content.decode()

    async def main():
        turns = [asyncio.Event(), asyncio.Event()]
        turns[0].set()
        return await asyncio.gather(serve(0, turns), serve(1, turns))

    assert async_to_sync(main)() == ["name 0, name 0", "name 1, name 1"]


def test_names_in_sql_are_those_in_python(amara, jonas):
    """Whatever is a key to one is a key to the other."""
    User.objects.create_user("minus", id=-5)
    labels = [str(amara.pk), str(jonas.pk), "-5", "0", "-0", "017", "+17", "17 ", "1e3", "import"]
    labels += ["987654321", "9" * 20, "9" * 50, "-987654321", "%s", "a'b"]
    for label in labels:
        with acting_as(label):
            ItemFactory()
    named = Item.objects.annotate(shown=name_expression("created_by"))
    assert dict(named.values_list("created_by", "shown")) == names_of(labels)


@isolate_apps("tests.testapp")
@pytest.mark.parametrize(
    ("field", "key", "nobody"),
    [
        (models.UUIDField(primary_key=True), uuid.UUID(int=7), str(uuid.UUID(int=8))),
        (models.CharField(primary_key=True, max_length=50), "x17", "x18"),
        (models.BigAutoField(primary_key=True), 1234567890123456789, "9123456789012345678"),
        (models.DateField(primary_key=True), date(2026, 11, 27), "import"),
    ],
    ids=["uuid", "text", "bigint", "date"],
)
def test_names_in_sql_by_keys_of_other_kinds(monkeypatch, field, key, nobody):
    """A label that is no key, or nobody's, is named as in Python."""

    class Member(models.Model):
        id = field
        name = models.CharField(max_length=20)
        USERNAME_FIELD = "name"

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return self.name

    with connection.schema_editor() as editor:
        editor.create_model(Member)
    Member.objects.create(id=key, name="amara")
    monkeypatch.setattr(people, "get_user_model", lambda: Member)
    labels = [str(key), nobody, "import", "7"]
    for label in labels:
        with acting_as(label):
            ItemFactory()
    named = Item.objects.annotate(shown=name_expression("created_by"))
    shown = dict(named.values_list("created_by", "shown"))
    assert shown == names_of(labels)
    assert shown[str(key)] == "amara"
