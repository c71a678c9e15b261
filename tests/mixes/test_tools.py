"""DRF, django-import-export, factory_boy and simple-history beside the audit columns."""

import json
import subprocess
import sys
from pathlib import Path

import factory
import pytest
import tablib
from django.contrib.auth import get_user_model
from django.db import connection, models
from import_export import resources
from rest_framework import serializers, status, viewsets
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIRequestFactory
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from django_audit_fields import acting_as, preserve_audit_fields
from django_audit_fields.middleware import AuditMiddleware
from tests.database import assert_equals_row, people_of, row_of
from tests.factories import FORGED, LONG_AGO
from tests.mixes.models import Book, Contract

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent.parent


class BookSerializer(serializers.ModelSerializer):
    class Meta:
        model = Book
        fields = "__all__"


class BookViews(viewsets.ModelViewSet):
    queryset = Book.objects.all()
    serializer_class = BookSerializer
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]


def test_a_serializer_shows_the_columns_and_takes_none_of_them():
    """Read-only without a word from the project."""
    fields = BookSerializer().fields
    assert {name: fields[name].read_only for name in FORGED} == dict.fromkeys(FORGED, True)
    serializer = BookSerializer(
        data={"isbn": "1", "name": "a", **{name: str(value) for name, value in FORGED.items()}}
    )
    assert serializer.is_valid(), serializer.errors
    with acting_as("maker"):
        book = serializer.save()
    assert people_of(book) == ("maker", "maker")
    assert serializer.data["created_by"] == "maker"
    assert_equals_row(book)
    serializer = BookSerializer(book, data={"name": "b", "updated_by": "forged"}, partial=True)
    assert serializer.is_valid()
    with acting_as("changer"):
        serializer.save()
    assert people_of(book) == ("maker", "changer")
    assert serializer.data["updated_by"] == "changer"


def test_a_view_that_authenticates_late_names_its_user():
    """DRF knows the user only inside the view; the row does, and so does the answer."""
    user = get_user_model().objects.create_user("api", password="secret")
    request = APIRequestFactory().post("/books/", {"isbn": "1", "name": "a"}, format="json")
    request.META["HTTP_AUTHORIZATION"] = "Basic YXBpOnNlY3JldA=="
    view = BookViews.as_view({"post": "create"})
    response = AuditMiddleware(view)(request)
    assert response.status_code == status.HTTP_201_CREATED, response.data
    assert response.data["created_by"] == str(user.pk)
    assert people_of(Book.objects.get()) == (str(user.pk), str(user.pk))


class BookResource(resources.ModelResource):
    class Meta:
        model = Book
        import_id_fields = ["isbn"]


class BulkBookResource(BookResource):
    class Meta(BookResource.Meta):
        use_bulk = True
        batch_size = 2
        fields = ["isbn", "name", "created_by", "updated_by"]


def sheet(*names):
    data = tablib.Dataset(headers=["isbn", "name", "created_by", "updated_by"])
    for name in names:
        data.append([name, f"book {name}", "forged", "forged"])
    return data


@pytest.mark.parametrize("resource", [BookResource, BulkBookResource])
def test_an_import_is_its_importers_doing(resource):
    """A sheet with names in it does not speak for people; preserve lets it."""
    with acting_as("import:books"):
        result = resource().import_data(sheet("1", "2", "3"), raise_errors=True)
    assert result.totals["new"] == 3
    for book in Book.objects.all():
        assert people_of(book) == ("import:books", "import:books")
    with acting_as("import:again"):
        result = resource().import_data(sheet("1", "4"), raise_errors=True)
    assert people_of(Book.objects.get(isbn="4")) == ("import:again", "import:again")
    with acting_as("import:old"), preserve_audit_fields():
        resource().import_data(sheet("5"), raise_errors=True)
    assert people_of(Book.objects.get(isbn="5")) == ("forged", "forged")


@pytest.mark.parametrize("resource", [BookResource, BulkBookResource])
def test_an_import_over_existing_rows_changes_them(resource):
    """The maker stays."""
    with acting_as("maker"):
        book = Book.objects.create(isbn="1", name="old")
    with acting_as("import:new"):
        result = resource().import_data(sheet("1"), raise_errors=True)
    assert result.totals["update"] == 1
    assert people_of(book) == ("maker", "import:new")
    assert Book.objects.get().name == "book 1"


def test_a_rehearsal_writes_nothing():
    """import-export: a dry run rolls back, and the next write is right."""
    with acting_as("maker"):
        book = Book.objects.create(isbn="1")
    made = row_of(book)
    with acting_as("rehearsal"):
        BookResource().import_data(sheet("1", "2"), dry_run=True, raise_errors=True)
    assert row_of(book) == made
    with acting_as("real"):
        BookResource().import_data(sheet("1"), raise_errors=True)
    assert people_of(book) == ("maker", "real")


def test_an_export_has_the_columns():
    """Who and when, as they stand in the row."""
    with acting_as("maker"):
        Book.objects.create(isbn="1")
    assert BookResource().export().dict[0]["created_by"] == "maker"


class BookFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Book

    isbn = factory.Sequence(str)
    created_by = "factory"
    created_at = LONG_AGO
    updated_by = "factory"


def test_a_factory_may_set_the_columns_under_preserve():
    """factory_boy: made up for a test as they shall be; else stamped like everything."""
    with acting_as("test"):
        assert people_of(BookFactory()) == ("test", "test")
        with preserve_audit_fields():
            book = BookFactory(updated_at=FORGED["updated_at"])
            half = BookFactory(updated_by=None)
            batch = BookFactory.create_batch(2, created_by="batch")
    assert row_of(book) == {**FORGED, "created_by": "factory", "updated_by": "factory"}
    assert row_of(half)["updated_at"] == LONG_AGO
    assert people_of(half) == ("factory", "test")
    assert [people_of(book) for book in batch] == [("batch", "factory")] * 2
    for instance in (book, half, *batch):
        assert_equals_row(instance)
    assert BookFactory.build().created_by == "factory"


def audit_of(version):
    return {name: getattr(version, name) for name in FORGED}


def test_a_history_keeps_each_version_as_it_was():
    """simple-history: a version names who made and changed that version, not who wrote it down."""
    with acting_as("maker"):
        contract = Contract.objects.create(name="a")
    first = row_of(contract)
    with acting_as("changer"):
        contract.amount = 1
        contract.save(update_fields=["amount"])
    second = row_of(contract)
    versions = list(contract.history.order_by("history_id"))
    assert [audit_of(version) for version in versions] == [first, second]
    with acting_as("deleter"):
        key = contract.pk
        contract.delete()
    last = Contract.history.filter(id=key, history_type="-").get()
    assert audit_of(last) == second


def test_a_history_of_bulk_writes():
    """simple-history: its own helpers write through our manager, and copy what it stamped."""
    with acting_as("maker"):
        contracts = bulk_create_with_history([Contract(name="a"), Contract(name="b")], Contract)
    for contract in contracts:
        assert_equals_row(contract)
        contract.amount = 5
    with acting_as("changer"):
        bulk_update_with_history(contracts, Contract, ["amount"])
    for contract in contracts:
        assert people_of(contract) == ("maker", "changer")
        versions = contract.history.order_by("history_id")
        assert [version.updated_by for version in versions] == ["maker", "changer"]
        assert audit_of(versions[1]) == row_of(contract)


def test_going_back_to_a_version_is_a_change_of_its_own():
    """simple-history: the old values come back, and so does not the old name."""
    with acting_as("maker"):
        contract = Contract.objects.create(name="a", amount=1)
    with acting_as("changer"):
        contract.amount = 2
        contract.save()
    with acting_as("reverter"):
        contract.history.earliest().instance.save()
    assert Contract.objects.get().amount == 1
    assert people_of(contract) == ("maker", "reverter")
    newest = contract.history.latest()
    assert audit_of(newest) == row_of(contract)


def test_a_history_table_is_nobodys_but_its_own():
    """It has the columns and no trigger: rows in it are copies."""
    model = Contract.history.model
    assert not model._meta.constraints
    assert isinstance(model._meta.get_field("created_by"), models.CharField)


#: Whose cursor class stands before psycopg's, where its module begins.
TRACERS = {
    "none": "django.db.backends.postgresql",
    "opentelemetry": "opentelemetry.instrumentation.",
    "prometheus": "django_prometheus.",
    "ddtrace": "ddtrace.",
    "newrelic": "newrelic.",
    "elastic": "elasticapm.",
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tool", TRACERS)
def test_a_write_under_a_tracing_tool_is_one_round_trip(tool):
    """In a process of its own, since each of them patches psycopg for good."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.mixes.traced_writes", tool, connection.settings_dict["NAME"]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found.pop("class").startswith(TRACERS[tool])
    # A block is the write with its BEGIN, and the COMMIT.
    assert found == {
        "by_sql": 1,
        "save": 1,
        "save_in_block": 2,
        "save_many": 1,
        "stamps": ["tracer"] * 4,
    }
