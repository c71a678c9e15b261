"""Where a change needs a reason, the admin asks for one, and records it with all that it saves."""

import re

import django
import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.forms import modelform_factory
from django.urls import reverse

from django_audit_fields import audit_context
from django_audit_fields.admin import AuditAdminMixin
from django_audit_fields.models import AuditEvent
from tests.trail.admin.conftest import words
from tests.trail.reading.readingapp.models import Customer, Order, Treated, Treatment
from tests.trail.trailapp.models import Patient, Tag

pytestmark = pytest.mark.django_db
ADD, LIST = "admin:readingapp_treated_add", "admin:readingapp_treated_changelist"
FIELD = 'name="audit_reason"'


def made(**values):
    with audit_context(reason="made for the test"):
        return Treated.objects.create(**{"name": "Ann", **values})


def page_of(row, page):
    return reverse(f"admin:readingapp_treated_{page}", args=[row.pk])


def reasons(target=Treated):
    return list(
        AuditEvent.objects.of(target).order_by("id").values_list("action", "context__reason")
    )


@pytest.fixture
def browser(client, root):
    client.force_login(root)
    return client


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fields": ["name"]},
        {"fieldsets": [("Who", {"fields": [("name", "note")]})]},
        {"get_fieldsets": lambda self, request, obj=None: [(None, {"fields": ["name"]})]},
        {"get_fields": lambda self, request, obj=None: ["name"]},
    ],
    ids=["all fields", "fields", "fieldsets", "get_fieldsets", "get_fields"],
)
def test_a_form_asks_and_what_it_saves_has_the_reason(browser, serve, options):
    serve({Treated: options})
    page = browser.get(reverse(ADD)).content.decode()
    assert page.count(FIELD) == 1
    assert "Reason for change" in page
    response = browser.post(reverse(ADD), {"name": "Ann", "audit_reason": ""})
    assert "This field is required" in words(response)
    assert not Treated.objects.exists()

    browser.post(reverse(ADD), {"name": "Ann", "audit_reason": " admitted "})
    row = Treated.objects.get()
    assert FIELD in browser.get(page_of(row, "change")).content.decode()
    browser.post(page_of(row, "change"), {"name": "Anna", "audit_reason": "misspelt"})
    assert reasons() == [("insert", "admitted"), ("update", "misspelt")]
    # The reason is no field of the row.
    assert "eason" not in LogEntry.objects.order_by("id").last().change_message


def test_a_model_that_needs_none_is_not_asked(browser, serve):
    serve({Order: {}})
    assert FIELD not in browser.get(reverse("admin:readingapp_order_add")).content.decode()


def test_who_may_only_look_is_not_asked(client, serve, staff):
    serve({Treated: {}})
    row = made()
    client.force_login(staff("clerk", "readingapp.view_treated"))
    response = client.get(page_of(row, "change"))
    assert response.status_code == 200
    assert FIELD not in response.content.decode()


def test_an_inline_asks_on_its_parent_s_page(browser, serve):
    class TreatmentInline(AuditAdminMixin, admin.TabularInline):
        model = Treatment
        extra = 1

    serve({Customer: {"inlines": [TreatmentInline]}})
    url = reverse("admin:readingapp_customer_add")
    assert browser.get(url).content.decode().count(FIELD) == 1
    form = {
        "name": "Ann",
        "treatment_set-TOTAL_FORMS": "1",
        "treatment_set-INITIAL_FORMS": "0",
        "treatment_set-0-name": "x-ray",
        "audit_reason": "admitted",
    }
    browser.post(url, form)
    assert reasons(Treatment) == [("insert", "admitted")]


def test_a_form_or_template_without_the_field_is_asked_on_a_page_between(browser, serve):
    form = modelform_factory(Treated, fields=["name"])
    serve({Treated: {"get_form": lambda self, request, obj=None, change=False, **kwargs: form}})
    row = made()
    assert FIELD not in browser.get(page_of(row, "change")).content.decode()
    response = browser.post(page_of(row, "change"), {"name": "Anna"})
    assert "needs a reason. Nothing was changed yet." in words(response)
    browser.post(page_of(row, "change"), {**hidden(response), "audit_reason": "misspelt"})
    assert reasons()[-1] == ("update", "misspelt")


def test_a_page_between_asks_for_a_file_once_more(browser, serve):
    """No page can choose it."""
    serve({Treated: {"list_display": ["id", "note"], "list_editable": ["note"]}})
    file = SimpleUploadedFile("x-ray.png", b"...")
    response = browser.post(reverse(LIST), {"_save": "Save", "form-0-photo": file})
    page = response.content.decode()
    assert '<input type="file" name="form-0-photo"' in page
    assert 'enctype="multipart/form-data"' in page


def test_inlines_that_are_chosen_for_the_row(browser, serve):
    class TreatmentInline(AuditAdminMixin, admin.TabularInline):
        model = Treatment

    serve({Customer: {"get_inlines": lambda self, request, obj: [TreatmentInline] if obj else []}})
    ann = Customer.objects.create(name="Ann")
    assert FIELD not in browser.get(reverse("admin:readingapp_customer_add")).content.decode()
    change = reverse("admin:readingapp_customer_change", args=[ann.pk])
    assert FIELD in browser.get(change).content.decode()


def test_a_deletion_asks_for_what_goes_with_the_row(browser, serve):
    """By a foreign key, or as a link between two rows."""
    serve({Customer: {}, Tag: {}})
    ann, tag = Customer.objects.create(name="Ann"), Tag.objects.create(word="t")
    with audit_context(reason="made for the test"):
        Treatment.objects.create(customer=ann, name="x-ray")
        Patient.objects.create(name="Ann").tags.add(tag)
    url = reverse("admin:readingapp_customer_delete", args=[ann.pk])
    assert FIELD in browser.get(url).content.decode()
    response = browser.post(url, {"post": "yes"})
    assert "needs a reason" in words(response)
    browser.post(url, {**hidden(response), "audit_reason": "moved away"})
    assert reasons(Treatment)[-1] == ("delete", "moved away")

    url = reverse("admin:trailapp_tag_changelist")
    response = browser.post(url, {"action": "delete_selected", "_selected_action": tag.pk})
    assert FIELD in response.content.decode()
    browser.post(url, {**hidden(response), "audit_reason": "no such thing"})
    assert not Tag.objects.exists()
    assert reasons(Patient.tags.through)[-1] == ("delete", "no such thing")


def test_a_deletion_that_takes_nothing_along_does_not_ask(browser, serve):
    serve({Order: {}})
    order = Order.objects.create()
    url = reverse("admin:readingapp_order_delete", args=[order.pk])
    assert FIELD not in browser.get(url).content.decode()
    browser.post(url, {"post": "yes"})
    assert not Order.objects.exists()


def test_what_is_saved_as_new_has_the_reason(browser, serve):
    serve({Treated: {"save_as": True}})
    form = {"name": "Anna", "_saveasnew": "1", "audit_reason": "twins"}
    browser.post(page_of(made(), "change"), form)
    assert reasons()[-1] == ("insert", "twins")


def test_a_deletion_asks_on_its_page(browser, serve):
    serve({Treated: {}})
    row = made()
    page = browser.get(page_of(row, "delete")).content.decode()
    assert page.count(FIELD) == 1
    browser.post(page_of(row, "delete"), {"post": "yes", "audit_reason": "entered twice"})
    assert reasons()[-1] == ("delete", "entered twice")


def test_a_deletion_without_a_reason_is_asked_once_more(browser, serve):
    """As after a project's own page, which has no such field."""
    serve({Treated: {"delete_confirmation_template": "admin/delete_confirmation.html"}})
    row = made()
    assert FIELD not in browser.get(page_of(row, "delete")).content.decode()
    response = browser.post(page_of(row, "delete"), {"post": "yes"})
    assert "needs a reason. Nothing was changed yet." in words(response)
    assert Treated.objects.exists()
    browser.post(page_of(row, "delete"), {**hidden(response), "audit_reason": "entered twice"})
    assert reasons()[-1] == ("delete", "entered twice")


def hidden(response):
    fields = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', response.content.decode())
    sent = {}
    for name, value in fields:
        sent.setdefault(name, []).append(value)
    return sent


def test_deleting_what_is_selected_asks_on_its_page(browser, serve):
    serve({Treated: {}})
    rows = [made(), made()]
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows]}
    response = browser.post(reverse(LIST), chosen)
    assert response.content.decode().count(FIELD) == 1
    browser.post(reverse(LIST), {**hidden(response), "audit_reason": "of last year"})
    assert reasons()[-2:] == [("delete", "of last year")] * 2


def test_an_action_that_changes_rows_asks_first(browser, serve):
    ran = []

    @admin.action(description="Mark")
    def mark(model_admin, request, queryset):
        ran.append(queryset.update(note="marked"))

    serve({Treated: {"actions": [mark]}})
    rows = [made(), made()]
    chosen = {"action": "mark", "_selected_action": [row.pk for row in rows]}
    response = browser.post(reverse(LIST), chosen)
    assert FIELD in response.content.decode()
    assert ran == []
    browser.post(reverse(LIST), {**hidden(response), "audit_reason": "checked"})
    assert ran == [2]
    assert reasons()[-2:] == [("update", "checked")] * 2


def test_an_action_that_only_looks_is_not_asked(browser, serve):
    ran = []

    @admin.action(description="Look", permissions=["view"])
    def look(model_admin, request, queryset):
        ran.append(queryset.count())

    serve({Treated: {"actions": [look]}})
    browser.post(reverse(LIST), {"action": "look", "_selected_action": [made().pk]})
    assert ran == [1]


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.1 has actions in forms.")
def test_an_action_in_a_form_asks_first(browser, serve):
    from django.contrib.admin.options import ActionLocation

    @admin.action(description="Mark")
    def mark(model_admin, request, queryset):
        queryset.update(note="marked")

    mark.locations = [ActionLocation.CHANGE_FORM]
    serve({Treated: {"actions": [mark]}})
    row = made()
    chosen = {"CHANGE_FORM-action": "mark", "_selected_action": row.pk, "name": "Ann"}
    response = browser.post(page_of(row, "change"), {**chosen, "audit_reason": ""})
    assert "Nothing was changed yet" in words(response)
    browser.post(page_of(row, "change"), {**hidden(response), "audit_reason": "checked"})
    assert reasons()[-1] == ("update", "checked")


def test_saving_a_list_asks(browser, serve):
    serve({Treated: {"list_display": ["id", "note"], "list_editable": ["note"]}})
    row = made()
    form = {
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-0-id": row.pk,
        "form-0-note": "changed",
        "_save": "Save",
    }
    response = browser.post(reverse(LIST), form)
    assert reasons()[-1][0] == "insert"
    browser.post(reverse(LIST), {**hidden(response), "audit_reason": "checked"})
    assert reasons()[-1] == ("update", "checked")
    assert Treated.objects.get().note == "changed"


def test_a_model_whose_migration_asks_for_a_reason(browser, serve, monkeypatch):
    """`InstallAuditTrail(reason=True)`: no rule of the model's says so."""
    from django_audit_fields.trail.recording import expected

    monkeypatch.setattr(expected, "reasons_by_table", lambda: {"readingapp_customer": True})
    serve({Customer: {}})
    assert FIELD in browser.get(reverse("admin:readingapp_customer_add")).content.decode()


def test_an_admin_with_forms_of_its_own_is_asked_in_each_of_them(browser, serve, root, monkeypatch):
    """Django's admin of users has one form to add and another to change."""
    from django_audit_fields.trail.recording import expected

    monkeypatch.setattr(expected, "reasons_by_table", lambda: {"auth_user": True})
    serve({User: {}}, bases=(AuditAdminMixin, UserAdmin))
    add, change = reverse("admin:auth_user_add"), reverse("admin:auth_user_change", args=[root.pk])
    for page, own in ((add, 'name="password1"'), (change, 'name="last_login_0"')):
        content = browser.get(page).content.decode()
        assert content.count(FIELD) == 1
        assert own in content
    form = {"username": "new", "password1": "a-long-one-1", "password2": "a-long-one-1"}
    form |= {"usable_password": "true"}
    assert "This field is required" in words(browser.post(add, {**form, "audit_reason": ""}))
    browser.post(add, {**form, "audit_reason": "joined"})
    assert User.objects.filter(username="new").exists()
