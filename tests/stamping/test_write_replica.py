"""Two databases with the same rows: what is known of one is not taken for the other's."""

import pytest
from django.db import connection, connections
from django.test import override_settings
from django.test.utils import isolate_apps

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import needs_trigger, people_of, row_of
from tests.testapp.models import Item, Part

pytestmark = [pytest.mark.django_db(transaction=True), needs_trigger]

COLUMNS = ("created_at", "updated_at", "created_by", "updated_by")


class ReadsReplica:
    """As Django's documentation has it."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, one, other, **hints):
        return True


@pytest.fixture
def lag():
    """Make the replica: the same database by another search path, with the rows of this moment."""
    tables = [Item._meta.db_table, Part._meta.db_table]
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA behind")
    replica = connection.copy(alias="replica")
    replica.settings_dict = {
        **replica.settings_dict,
        "OPTIONS": {**replica.settings_dict["OPTIONS"], "options": "-c search_path=behind"},
    }
    connections["replica"] = replica

    def take():
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"DROP TABLE IF EXISTS behind.{table}")
                cursor.execute(f"CREATE TABLE behind.{table} AS TABLE {table}")

    with override_settings(DATABASE_ROUTERS=[ReadsReplica()]):
        yield take
    replica.close()
    del connections["replica"]
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA behind CASCADE")


def assert_equals_primary(instance):
    """Read from memory, which may read what it has not got."""
    assert {name: getattr(instance, name) for name in COLUMNS} == row_of(instance, using="default")


def test_given_stamps_of_one_database_are_not_taken_for_anothers(lag):
    """What `bulk_update()` stored there under `preserve_audit_fields()` is not here."""
    with acting_as("maker"):
        item = Item.objects.create(name="a")
    lag()
    item.created_by = "given"
    with override_settings(DATABASE_ROUTERS=[]):
        with preserve_audit_fields():
            Item.objects.using("replica").bulk_update([item], ["created_by"])
        assert people_of(item, using="replica") == ("given", "maker")
        with acting_as("saver"):
            item.save()
        assert people_of(item, using="default") == ("maker", "saver")
        assert_equals_primary(item)


@pytest.mark.parametrize("fields", [None, ["name"]])
def test_memory_of_one_database_is_not_trusted_for_another(lag, fields):
    """A queryset of the caller's moves the instance; what was known stays behind."""
    with acting_as("maker"):
        item = Item.objects.create(name="a")
    lag()
    with override_settings(DATABASE_ROUTERS=[]):
        with connections["replica"].cursor() as cursor:
            cursor.execute(f"UPDATE {Item._meta.db_table} SET created_by = 'somebody there'")
        there = Item.objects.using("replica").only("name")
        item.refresh_from_db(fields=fields, from_queryset=there)
        with acting_as("saver"):
            item.save()
        assert people_of(item, using="replica") == ("somebody there", "saver")
        assert item.created_by == "somebody there"


def test_refreshing_as_django_documents_to_override_it(lag):
    """A mixin behind ours that knows of no `from_queryset`."""

    class Widening:
        def refresh_from_db(self, using=None, fields=None, **kwargs):
            assert "from_queryset" not in kwargs
            super().refresh_from_db(using, fields, **kwargs)

    with override_settings(DATABASE_ROUTERS=[]):
        item = Item.objects.create(name="a")
        with isolate_apps("tests.testapp"):
            widened = type(
                "Widened",
                (Item, Widening),
                {"__module__": "tests.testapp.models", "Meta": type("Meta", (), {"proxy": True})},
            )
        item = widened.objects.only("name").get(pk=item.pk)
        assert item.amount == 0
        item.refresh_from_db()
        assert_equals_primary(item)


def test_what_was_read_from_a_replica_is_saved_to_the_primary(lag):
    """The row has the right names; what is not known of it is read where the router says."""
    with acting_as("maker"):
        pk = Item.objects.create(name="a").pk
    lag()
    item = Item.objects.get(pk=pk)
    assert item._state.db == "replica"
    item.amount = 5
    item.created_by = "forged"
    with acting_as("changer"):
        item.save()
    assert people_of(item, using="default") == ("maker", "changer")
    assert item.updated_by == "changer"
    assert item.created_by == "maker"
    assert item.updated_at == row_of(item, using="replica")["updated_at"]
    with acting_as("saver"):
        item.save()
    assert people_of(item, using="default") == ("maker", "saver")
