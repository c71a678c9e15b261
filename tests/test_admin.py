"""The admin shows the four columns and lets nobody change them."""

import re
import types

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse
from django.utils.safestring import mark_safe

from django_audit_fields import acting_as
from django_audit_fields.admin import AuditAdminMixin
from tests.database import people_of
from tests.factories import ItemFactory, PartFactory
from tests.testapp.models import Item, Part, Tag, Tagging

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return User.objects.create_superuser("ada", password="x")


@pytest.fixture
def client(client, ada):
    client.force_login(ada)
    return client


def change_data(item, **values):
    prefix = "parts"
    return {
        "name": item.name,
        "amount": item.amount,
        f"{prefix}-TOTAL_FORMS": "0",
        f"{prefix}-INITIAL_FORMS": "0",
        **values,
    }


def test_adding_stamps_the_user(client, ada):
    """Through the form, the inline formset and the middleware."""
    response = client.post(
        reverse("admin:testapp_item_add"),
        change_data(
            Item(name="new"),
            **{"parts-TOTAL_FORMS": "1", "parts-0-name": "inline", "parts-0-item": ""},
        ),
    )
    assert response.status_code == 302
    assert people_of(Item.objects.get()) == (str(ada.pk), str(ada.pk))
    assert people_of(Part.objects.get()) == (str(ada.pk), str(ada.pk))


def test_changing_stamps_the_user_and_ignores_forged_values(client, ada):
    """What a browser sends for a read-only column is not read."""
    with acting_as("maker"):
        item = ItemFactory()
    response = client.post(
        reverse("admin:testapp_item_change", args=[item.pk]),
        change_data(item, name="changed", created_by="forged", updated_by="forged"),
    )
    assert response.status_code == 302
    assert people_of(item) == ("maker", str(ada.pk))


def test_list_editable_and_actions_stamp_the_user(client, ada):
    """The list writes too."""
    with acting_as("maker"):
        one, two = ItemFactory(), ItemFactory()
    address = reverse("admin:testapp_item_changelist")
    response = client.post(
        address,
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "1",
            "form-0-id": one.pk,
            "form-0-amount": "9",
            "_save": "Save",
        }
        | {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "2"}
        | {"form-1-id": two.pk, "form-1-amount": two.amount},
    )
    assert response.status_code == 302
    assert people_of(one) == ("maker", str(ada.pk))
    assert people_of(two) == ("maker", "maker")
    client.post(address, {"action": "double", "_selected_action": [two.pk]})
    assert people_of(two) == ("maker", str(ada.pk))


def test_people_are_shown_by_name(client, ada):
    """A label that names no user is shown as it is."""
    with acting_as(ada):
        item = ItemFactory()
    with acting_as("import:claims"):
        item.save()
    page = client.get(reverse("admin:testapp_item_change", args=[item.pk])).content.decode()
    assert '<div class="readonly">ada</div>' in page
    assert '<div class="readonly">import:claims</div>' in page
    assert 'name="created_by"' not in page


def test_a_list_asks_for_its_people_once(client, ada, django_assert_max_num_queries):
    """However many rows there are, and whoever wrote them."""
    for number in range(12):
        with acting_as(User.objects.create_user(f"user{number}")):
            ItemFactory()
    with django_assert_max_num_queries(9):
        page = client.get(reverse("admin:testapp_item_changelist")).content.decode()
    for number in range(12):
        assert f'field-created_by">user{number}<' in page


def test_fieldsets_may_name_the_columns(client, ada):
    """Nested as Django allows, and the columns not named are still no input."""
    with acting_as(ada):
        part = PartFactory(item=None)
    page = client.get(reverse("admin:testapp_part_change", args=[part.pk])).content.decode()
    assert '<div class="readonly">ada</div>' in page
    assert client.get(reverse("admin:testapp_part_add")).status_code == 200


ORDER = ["created_at", "created_by", "updated_at", "updated_by"]
ADD = "admin:testapp_item_add"
CHANGE = "admin:testapp_item_change"
LIST = "admin:testapp_item_changelist"
DJANGO_ALONE = (admin.ModelAdmin,)
WITH_MIXIN = (AuditAdminMixin, admin.ModelAdmin)


@pytest.fixture
def grace():
    """Her key is found nowhere else on a page."""
    return User.objects.create_user("grace", id=471147)


@pytest.fixture
def serve(settings):
    """Serves the items, or another model, with an admin of these options, and nothing else."""

    def serve_admin(bases=WITH_MIXIN, *, model=Item, **options):
        site = admin.AdminSite(name="admin")
        site.register(model, type("OwnAdmin", bases, options))
        assert site.get_model_admin(model).check() == []
        urlconf = types.ModuleType("own_urls")
        urlconf.urlpatterns = [path("admin/", site.urls)]
        settings.ROOT_URLCONF = urlconf

    return serve_admin


def answering(value):
    """A getter that a subclass overrides without `super()`."""
    return lambda self, request, *args: value


def page_of(client, name, *args, **parameters):
    response = client.get(reverse(name, args=args), parameters)
    assert response.status_code == 200
    return re.sub('name="csrfmiddlewaretoken" value=".*?"', "", response.content.decode())


def by_name(page, person):
    """What Django alone shows, with the person in the place of the label."""
    assert str(person.pk) in page
    return page.replace(str(person.pk), str(person))


def read_only(page):
    return re.findall('<div class="readonly">(.*?)</div>', page)


def column(page, name):
    """The cells of a list."""
    return re.findall(f'<t[dh] class="field-{name}">(.*?)</t[dh]>', page)


def queries_for_names(captured):
    """That for who is logged in names one key; it is not counted."""
    return [query["sql"] for query in captured if '"auth_user"."id" IN' in query["sql"]]


NAMED = ["name", "created_by"]
FORMS = {
    "fields": {"fields": NAMED, "readonly_fields": ["created_by"]},
    "get_fields": {"get_fields": answering(NAMED), "readonly_fields": ["created_by"]},
    "get_fieldsets": {
        "get_fieldsets": answering(((None, {"fields": ("name", "created_by")}),)),
        "readonly_fields": ("created_by",),
    },
    "get_fieldsets with a line": {
        "get_fieldsets": answering([("People", {"fields": [("name", "created_by")]})]),
        "readonly_fields": ["created_by"],
    },
    "get_readonly_fields": {
        "fields": NAMED,
        "get_readonly_fields": answering(["created_by"]),
    },
    "get_readonly_fields with fieldsets": {
        "fieldsets": [("One", {"fields": ["name"]}), ("Two", {"fields": ["created_by"]})],
        "get_readonly_fields": answering(("created_by",)),
    },
    "both getters": {
        "get_fieldsets": answering([(None, {"fields": NAMED})]),
        "get_readonly_fields": answering(["name", "created_by"]),
    },
    "a getter that asks another": {
        "fields": NAMED,
        "get_readonly_fields": lambda self, request, obj=None: flatten_fieldsets(
            self.get_fieldsets(request, obj)
        ),
    },
    "neither": {"get_readonly_fields": answering(["updated_by"])},
}


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_forms_are_those_of_django_alone_by_name(client, grace, serve, options):
    """Wherever an option names a column and whatever a subclass overrides: the whole page."""
    with acting_as(grace):
        item = ItemFactory()
    serve(DJANGO_ALONE, **options)
    alone = by_name(page_of(client, CHANGE, item.pk), grace), page_of(client, ADD)
    serve(**options)
    assert page_of(client, CHANGE, item.pk) == alone[0]
    assert page_of(client, ADD) == alone[1]


class Moves:
    """Into a fieldset of their own, of what Django would show."""

    def get_fieldsets(self, request, obj=None):
        fieldsets = [
            (
                title,
                {**options, "fields": [name for name in options["fields"] if name not in ORDER]},
            )
            for title, options in super().get_fieldsets(request, obj)
        ]
        return [*fieldsets, ("Audit", {"fields": ORDER, "classes": ["collapse"]})]


class Hides:
    def get_fields(self, request, obj=None):
        fields = [name for name in super().get_fields(request, obj) if name != "created_by"]
        return fields if obj else [name for name in fields if name not in ORDER]


class AsksForReadOnly:
    def get_fieldsets(self, request, obj=None):
        names = self.get_readonly_fields(request, obj)
        columns = [self.model._meta.get_field(name).name for name in names]
        return [(None, {"fields": ["name"]}), ("Read-only", {"fields": columns})]


class AsksForAll:
    def get_fields(self, request, obj=None):
        names = super().get_fields(request, obj)
        return [name for name in names if name not in self.get_readonly_fields(request, obj)]

    def get_form(self, request, obj=None, change=False, **kwargs):
        for name in kwargs["fields"] or ():
            self.model._meta.get_field(name)
        return super().get_form(request, obj, change, **kwargs)


class Reads:
    """Everything, once it has been set up."""

    def get_readonly_fields(self, request, obj=None):
        given = super().get_readonly_fields(request, obj)
        return [field.name for field in self.model._meta.fields] if obj else given


OVERRIDES = [Moves, Hides, AsksForReadOnly, AsksForAll, Reads]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("override", OVERRIDES)
def test_overrides_are_given_the_columns(client, grace, serve, override, place):
    """What a subclass, or another mixin on either side, asks has Django's answers."""
    with acting_as(grace):
        item = ItemFactory()
    serve((override, *DJANGO_ALONE), readonly_fields=ORDER)
    alone = page_of(client, CHANGE, item.pk), page_of(client, ADD)
    mixins = (override, AuditAdminMixin) if place == "before" else (AuditAdminMixin, override)
    serve((*mixins, admin.ModelAdmin), readonly_fields=ORDER)
    # Hidden, a label is not on the page.
    assert page_of(client, CHANGE, item.pk) == alone[0].replace(str(grace.pk), "grace")
    assert page_of(client, ADD) == alone[1]


@pytest.mark.parametrize("kind", [admin.TabularInline, admin.StackedInline])
@pytest.mark.parametrize("override", [Moves, Hides, AsksForReadOnly])
def test_overrides_of_an_inline_are_given_the_columns(client, grace, serve, override, kind):
    """As those of its parent are."""
    options = {"model": Part, "extra": 1, "readonly_fields": ORDER}
    with acting_as(grace):
        item = PartFactory().item
    serve(inlines=[type("Parts", (override, kind), dict(options))], fields=["name"])
    alone = by_name(page_of(client, CHANGE, item.pk), grace)
    inline = type("Parts", (override, AuditAdminMixin, kind), dict(options))
    serve(inlines=[inline], fields=["name"])
    assert page_of(client, CHANGE, item.pk) == alone


def test_an_inline_keeps_its_own_template(client, grace, serve, settings, tmp_path):
    """Which is still its name, and takes people's names as Django's does."""
    own = "{{ inline_admin_formset.opts.template }}: {% include 'admin/edit_inline/stacked.html' %}"
    (tmp_path / "own.html").write_text(own)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    options = {"model": Part, "fields": NAMED, "template": "own.html"}
    with acting_as(grace):
        item = PartFactory().item
    inline = type("Parts", (AuditAdminMixin, admin.StackedInline), options)
    serve(inlines=[inline], fields=["name"])
    page = page_of(client, CHANGE, item.pk)
    assert "own.html: " in page
    assert read_only(page) == ["grace", *["-"] * 4]


@pytest.mark.parametrize("kind", [admin.TabularInline, admin.StackedInline])
def test_an_inline_without_rows_has_its_titles(client, serve, kind):
    """For the rows to come."""
    options = {"model": Part, "extra": 0, "fields": BOTH, "readonly_fields": BOTH[1:]}
    serve(DJANGO_ALONE, inlines=[type("Parts", (kind,), dict(options))], fields=["name"])
    alone = page_of(client, ADD)
    serve(inlines=[type("Parts", (AuditAdminMixin, kind), dict(options))], fields=["name"])
    assert page_of(client, ADD) == alone


def test_an_action_may_answer_with_what_it_wants(client, serve):
    """The list's view then has no list."""
    serve(list_display=NAMED)
    data = {"action": "delete_selected", "_selected_action": [ItemFactory().pk]}
    assert client.post(reverse(LIST), data).status_code == 200
    assert client.post(reverse(LIST), data | {"post": "yes"}).status_code == 302
    assert not Item.objects.exists()


def test_a_column_that_was_made_editable_has_its_input(client, grace, serve, monkeypatch):
    """Where the project takes it out of the read-only fields."""
    monkeypatch.setattr(Item._meta.get_field("created_by"), "editable", True)
    serve(fields=NAMED, get_readonly_fields=answering([]))
    with acting_as(grace):
        item = ItemFactory()
    page = page_of(client, CHANGE, item.pk)
    assert read_only(page) == []
    assert 'name="created_by" value="471147"' in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", "471147"), (mark_safe("<i>g</i>"), "&lt;i&gt;g&lt;/i&gt;")],
    ids=["empty", "marked as safe"],
)
def test_people_are_shown_as_text(client, grace, serve, monkeypatch, text, shown):
    """Escaped as a foreign key's column is; who has no name is shown by the label."""
    monkeypatch.setattr(User, "__str__", lambda self: text)
    serve(list_display=NAMED, fields=NAMED)
    with acting_as(grace):
        item = ItemFactory()
    assert column(page_of(client, LIST), "created_by") == [shown]
    assert read_only(page_of(client, CHANGE, item.pk)) == [shown]


class Texted(forms.ModelForm):
    class Meta:
        labels = {"created_by": "Author"}
        help_texts = {"updated_by": "The last one."}


@pytest.fixture(params=["none", "the model's", "the form's"])
def texts(request, monkeypatch):
    """Options for titles and help of the columns, from where Django takes them."""
    if request.param == "the model's":
        for model in (Item, Part):
            field = model._meta.get_field("created_by")
            monkeypatch.setattr(field, "verbose_name", "erstellt von")
            monkeypatch.setattr(field, "help_text", "Der Erste.")
    return {"form": Texted} if request.param == "the form's" else {}


BOTH = ["name", "created_by", "updated_by"]


def test_titles_and_help_are_the_columns_own(client, grace, serve, texts):
    """On forms and in lists, from the model or the form."""
    options = {"fields": BOTH, "readonly_fields": BOTH, "list_display": BOTH, **texts}
    with acting_as(grace):
        item = ItemFactory()
    serve(DJANGO_ALONE, **options)
    pages = [page_of(client, CHANGE, item.pk), page_of(client, LIST)]
    alone = [by_name(page, grace) for page in pages]
    serve(**options)
    assert [page_of(client, CHANGE, item.pk), page_of(client, LIST)] == alone


@pytest.mark.parametrize("kind", [admin.TabularInline, admin.StackedInline])
def test_inlines_are_those_of_django_alone_by_name(client, grace, serve, kind):
    """The whole page, with titles."""
    options = {"model": Part, "extra": 1, "fields": BOTH, "readonly_fields": BOTH[1:]}
    with acting_as(grace):
        item = PartFactory().item
    serve(DJANGO_ALONE, inlines=[type("Parts", (kind,), dict(options))], fields=["name"])
    alone = by_name(page_of(client, CHANGE, item.pk), grace)
    inline = type("Parts", (AuditAdminMixin, kind), dict(options))
    serve(inlines=[inline], fields=["name"])
    assert page_of(client, CHANGE, item.pk) == alone


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_forms_do_not_read_the_columns(client, ada, serve, options):
    """However the form was made up, what a browser sends for them is ignored."""
    serve(**options)
    with acting_as("maker"):
        item = ItemFactory()
    data = {"name": "new", "amount": 1, "code": "a", "created_by": "forged"}
    assert client.post(reverse(CHANGE, args=[item.pk]), data).status_code == 302
    assert people_of(item)[0] == "maker"


def test_who_may_only_look_sees_names(client, grace, serve):
    """Django then asks nobody which fields are read-only."""
    options = {
        "fields": NAMED,
        "get_readonly_fields": answering([]),
        "has_change_permission": answering(False),
    }
    with acting_as(grace):
        item = ItemFactory()
    serve(DJANGO_ALONE, **options)
    alone = by_name(page_of(client, CHANGE, item.pk), grace)
    serve(**options)
    assert page_of(client, CHANGE, item.pk) == alone


@pytest.mark.parametrize("option", ["fields", "get_fields", "get_fieldsets"])
def test_columns_need_not_be_declared_read_only(client, grace, serve, option):
    """They are, also where Django alone would refuse the form."""
    fields = NAMED
    values = {
        "fields": fields,
        "get_fields": answering(fields),
        "get_fieldsets": answering([(None, {"fields": fields})]),
    }
    serve(**{option: values[option]})
    with acting_as(grace):
        item = ItemFactory()
    assert read_only(page_of(client, CHANGE, item.pk)) == ["grace"]
    assert read_only(page_of(client, ADD)) == ["-"]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ([], ["Created at", "Created by", "Updated at", "Updated by"]),
        (["updated_by"], ["Updated by", "Created at", "Created by", "Updated at"]),
    ],
)
def test_columns_follow_the_inputs_once_each(client, serve, given, labels):
    """Those that `readonly_fields` names come first, under either name, as in Django."""
    serve(readonly_fields=given)
    page = page_of(client, CHANGE, ItemFactory().pk)
    assert re.findall("<label.*?>(.*?):</label>", page) == ["Name", "Amount", "Code", *labels]
    serve(
        readonly_fields=given,
        get_fields=lambda self, request, obj: self.get_readonly_fields(request),
    )
    assert re.findall("<label.*?>(.*?):</label>", page_of(client, ADD)) == labels


def test_nobody_is_shown_as_the_admin_shows_what_is_empty(client, serve):
    """On the page of a new row, in the admin's own words."""
    serve(fields=["name", "created_by"], empty_value_display="nobody yet")
    assert read_only(page_of(client, ADD)) == ["nobody yet"]


LISTS = {
    "list_display": {"list_display": ("name", "created_by")},
    "get_list_display": {"get_list_display": answering(["name", "created_by", "updated_by"])},
    "list_display_links": {
        "list_display": ("name", "created_by"),
        "list_display_links": ("created_by",),
    },
    "get_list_display_links": {
        "list_display": NAMED,
        "get_list_display_links": lambda self, request, list_display: list_display[1:],
    },
    "linked as the first": {"list_display": ["created_by", "name"]},
    "no links": {"list_display": ["created_by", "name"], "list_display_links": None},
    "sortable_by": {"list_display": NAMED, "sortable_by": ("created_by",)},
    "sortable_by another": {"list_display": NAMED, "sortable_by": ["name"]},
    "sortable_by nothing": {"list_display": NAMED, "sortable_by": ()},
    "get_sortable_by": {"list_display": NAMED, "get_sortable_by": answering({"created_by"})},
    "list_editable": {
        "list_display": NAMED,
        "list_editable": ["name"],
        "list_display_links": ["created_by"],
    },
    "list_filter": {
        "list_display": NAMED,
        "list_filter": ["name"],
        "search_fields": ["created_by"],
    },
    "no actions": {"list_display": NAMED, "actions": None},
}


@pytest.mark.parametrize("order", ["", "2", "-2"])
@pytest.mark.parametrize("options", LISTS.values(), ids=LISTS)
def test_lists_are_those_of_django_alone_by_name(client, grace, serve, options, order):
    """Their links, what can be sorted, and the order of their rows, which is that of the labels."""
    for person in (grace, "import:claims", grace):
        with acting_as(person):
            ItemFactory()
    parameters = {"o": order} if order else {}
    serve(DJANGO_ALONE, **options)
    alone = by_name(page_of(client, LIST, **parameters), grace)
    serve(**options)
    assert page_of(client, LIST, **parameters) == alone


def test_a_deferred_label_is_shown_by_name(client, grace, serve):
    """The column is read when it is shown."""
    serve(
        list_display=NAMED,
        get_queryset=lambda self, request: Item.objects.defer("created_by"),
    )
    for person in (grace, User.objects.create_user("ida")):
        with acting_as(person):
            item = ItemFactory()
        with acting_as("import:claims"):
            item.save()
    assert sorted(column(page_of(client, LIST), "created_by")) == ["grace", "ida"]


def test_a_deleted_account_is_said_to_be_one(client, grace, serve):
    """A number that could be nobody's key is its own name."""
    serve(list_display=NAMED)
    for actor in (grace, "9" * 30):
        with acting_as(actor):
            ItemFactory()
    label = str(grace.pk)
    grace.delete()
    assert sorted(column(page_of(client, LIST), "created_by")) == [
        "9" * 30,
        f"deleted user {label}",
    ]


def test_labels_of_ones_own_are_names_already(client, grace, serve, settings):
    """With an `ACTOR` of the project's own, what looks like a key is not one."""
    serve(list_display=NAMED)
    with acting_as(grace):
        ItemFactory()
    settings.AUDIT_FIELDS = {"ACTOR": "tests.test_checks.label_of_user"}
    with CaptureQueriesContext(connection) as captured:
        assert column(page_of(client, LIST), "created_by") == [str(grace.pk)]
    assert queries_for_names(captured) == []


def test_a_created_by_of_another_kind_is_left_alone(client, serve):
    """Where the model has no such column, the name means what it means in Django."""
    serve(
        model=User,
        list_display=["username", "created_by"],
        created_by=lambda self, user: f"maker of {user}",
    )
    page = page_of(client, "admin:auth_user_changelist")
    assert column(page, "created_by") == ["maker of ada"]


INLINES = {
    "fields": {"fields": BOTH},
    "readonly_fields": {"fields": BOTH, "readonly_fields": ["created_by", "updated_by"]},
    "get_fieldsets": {"get_fieldsets": answering([(None, {"fields": BOTH})])},
    "get_readonly_fields": {
        "fields": BOTH,
        "get_readonly_fields": answering(["created_by", "updated_by"]),
    },
    "no permission to change": {"fields": BOTH, "has_change_permission": answering(False)},
}


@pytest.mark.parametrize("options", INLINES.values(), ids=INLINES)
@pytest.mark.parametrize("kind", [admin.TabularInline, admin.StackedInline])
def test_an_inline_asks_for_its_people_once(client, serve, kind, options):
    """All its rows at once, whoever wrote them and whatever its page is made of."""
    inline = type("Parts", (AuditAdminMixin, kind), {"model": Part, "extra": 1, **options})
    serve(inlines=[inline], fields=["name"])
    item = ItemFactory()
    for number in range(5):
        with acting_as(User.objects.create_user(f"user{number}")):
            PartFactory(item=item)
    with CaptureQueriesContext(connection) as captured:
        page = page_of(client, CHANGE, item.pk)
    shown = re.findall('<(?:p|div class="readonly")>(.*?)</', page)
    for number in range(5):
        assert shown.count(f"user{number}") == 2
    assert len(queries_for_names(captured)) == 1


def test_an_inline_that_does_not_validate_shows_names(client, grace, serve):
    """The page that asks to correct it, whose rows are those that were sent."""
    inline = type("Parts", (AuditAdminMixin, admin.TabularInline), {"model": Part})
    serve(inlines=[inline], fields=["name"])
    with acting_as(grace):
        part = PartFactory()
    data = {
        "name": "item",
        "parts-TOTAL_FORMS": "1",
        "parts-INITIAL_FORMS": "1",
        "parts-0-id": part.pk,
        "parts-0-item": part.item_id,
        "parts-0-name": "",
    }
    address = reverse(CHANGE, args=[part.item_id])
    with CaptureQueriesContext(connection) as captured:
        response = client.post(address, data)
    assert "<p>grace</p>" in response.content.decode()
    assert len(queries_for_names(captured)) == 1
    assert client.post(address, data | {"parts-0-name": "mended"}).status_code == 302
    assert people_of(part)[0] == str(grace.pk)


@pytest.mark.parametrize("kind", [admin.TabularInline, admin.StackedInline])
def test_a_parent_that_is_not_audited_may_have_the_mixin(client, grace, serve, kind):
    """Its own page is as it was; its inline shows names."""
    options = {"model": Tagging, "fields": ["item", "created_by"], "extra": 0}
    tag = Tag.objects.create(name="tag")
    with acting_as(grace):
        Tagging.objects.create(tag=tag, item=ItemFactory())
    serve(model=Tag, inlines=[type("Tags", (AuditAdminMixin, kind), options)])
    page = page_of(client, "admin:testapp_tag_change", tag.pk)
    assert re.findall('<(?:p|div class="readonly")>(grace|471147)</', page) == ["grace"]


@pytest.mark.parametrize("kind", [admin.TabularInline, admin.StackedInline])
def test_an_inline_under_a_parent_without_the_mixin_shows_labels(client, grace, serve, kind):
    """Read-only all the same."""
    inline = type("Parts", (AuditAdminMixin, kind), {"model": Part, "fields": NAMED, "extra": 0})
    serve(DJANGO_ALONE, inlines=[inline], fields=["name"])
    with acting_as(grace):
        part = PartFactory()
    page = page_of(client, CHANGE, part.item_id)
    assert re.findall('<(?:p|div class="readonly")>(grace|471147)</', page) == ["471147"]
    assert 'name="parts-0-created_by"' not in page
