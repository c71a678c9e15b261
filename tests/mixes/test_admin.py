"""The admin of other people's packages, with ours before it."""

import types

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import path, reverse
from polymorphic.admin import PolymorphicChildModelAdmin, PolymorphicParentModelAdmin
from simple_history.admin import SimpleHistoryAdmin

from django_audit_fields import acting_as
from django_audit_fields.admin import AuditAdminMixin
from tests.mixes.models import Animal, Contract, Dog

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def client(client):
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


@pytest.fixture
def serve(settings):
    def serve_admins(admins):
        site = admin.AdminSite(name="admin")
        for model, model_admin in admins.items():
            site.register(model, model_admin)
        urlconf = types.ModuleType("own_urls")
        urlconf.urlpatterns = [path("admin/", site.urls)]
        settings.ROOT_URLCONF = urlconf

    return serve_admins


def page_of(client, name, *args):
    response = client.get(reverse(f"admin:{name}", args=args))
    assert response.status_code == 200
    return response.content.decode()


def test_a_former_version_shows_people_by_name(client, ada, serve):
    """simple-history renders it by itself, from Django's helpers."""
    serve({Contract: type("Contracts", (AuditAdminMixin, SimpleHistoryAdmin), {})})
    with acting_as(ada):
        contract = Contract.objects.create()
    version = contract.history.get()
    page = page_of(client, "mixes_contract_simple_history", contract.pk, version.pk)
    assert page.count('<div class="readonly">ada</div>') == 2
    page_of(client, "mixes_contract_history", contract.pk)


def test_the_fieldsets_of_a_base_take_the_columns(client, ada, serve):
    """Polymorphic adds to them what they do not name."""

    class Dogs(AuditAdminMixin, PolymorphicChildModelAdmin):
        base_model = Animal
        show_in_index = True
        base_fieldsets = ((None, {"fields": ("name",)}), ("Audit", {"fields": ("created_by",)}))

    class Animals(AuditAdminMixin, PolymorphicParentModelAdmin):
        base_model = Animal
        child_models = [Dog]
        list_display = ["name", "created_by"]

    serve({Animal: Animals, Dog: Dogs})
    with acting_as(ada):
        dog = Dog.objects.create()
    page = page_of(client, "mixes_dog_change", dog.pk)
    assert page.count("Created by:") == 1
    before, after = page.split("Audit</h2>")
    assert '<div class="readonly">ada</div>' in after
    assert before.count('<div class="readonly">ada</div>') == 1
    assert '<td class="field-created_by">ada</td>' in page_of(client, "mixes_animal_changelist")
