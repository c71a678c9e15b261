"""Admin sites made for one test each, and people with certain permissions."""

import html
import re
import types

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.urls import path

from django_audit_fields.admin import AuditAdminMixin, AuditEventAdmin
from django_audit_fields.models import AuditEvent


@pytest.fixture(autouse=True)
def _postgresql():
    if connection.vendor != "postgresql":
        pytest.skip("The trail is PostgreSQL's.")


@pytest.fixture
def serve(settings):
    """Serves an admin of the given models, each with the options of its admin class."""

    def serve_admin(options_of, bases=(AuditAdminMixin, admin.ModelAdmin)):
        site = admin.AdminSite(name="admin")
        for model, options in options_of.items():
            site.register(model, type("OwnAdmin", bases, options))
            assert site.get_model_admin(model).check() == []
        site.register(AuditEvent, AuditEventAdmin)
        urlconf = types.ModuleType("own_urls")
        urlconf.urlpatterns = [path("admin/", site.urls)]
        settings.ROOT_URLCONF = urlconf
        return site

    return serve_admin


@pytest.fixture
def staff(db):
    """Makes somebody who may do what is named, such as `readingapp.view_order`."""

    def make(username, *permissions, **names):
        user = User.objects.create_user(username, is_staff=True, **names)
        for name in permissions:
            app_label, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app_label, codename=codename)
            )
        return user

    return make


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root", first_name="Rosa", last_name="Ferreira")


@pytest.fixture
def browse(client):
    """What somebody reads on a page, without the markup."""

    def read(user, url, data=None, status=200, follow=False):
        client.force_login(user)
        response = client.get(url, data, follow=follow)
        assert response.status_code == status, response
        return words(response)

    return read


def words(response):
    page = response.content.decode()
    page = re.sub(r"<(script|style|title)\b.*?</\1>", " ", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
