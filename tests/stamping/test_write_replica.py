"""Reading from a replica that is behind: what a write leaves to be read is not."""

import django
import pytest
from django.db import connection, connections, models, router
from django.db.models.signals import post_save
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps

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


def save(item):
    item.save()


def save_some(item):
    item.save(update_fields=["amount"])


def save_by_key(item):
    item.__dict__.update(vars(Item(pk=item.pk, name="by key")))
    item.save()


def bulk_update(item):
    Item.objects.bulk_update([item], ["amount"])


def upsert_twice(item):
    twin = Item(pk=item.pk, name="twin")
    Item.objects.bulk_create(
        [item, twin],
        1,
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["pk"],
    )


@pytest.mark.parametrize("write", [save, save_some, save_by_key, bulk_update, upsert_twice])
def test_what_a_write_leaves_unread_is_read_where_it_was_written(lag, write):
    """The replica still has the row as it was; memory is that of the primary."""
    with acting_as("maker"):
        pk = Item.objects.create(name="a").pk
    lag()
    item = Item.objects.get(pk=pk)
    assert item._state.db == "replica"
    with acting_as("changer"):
        item.amount = 5
        write(item)
    assert people_of(item, using="default") == ("maker", "changer")
    assert_equals_primary(item)


def test_a_receiver_sees_the_row_that_the_replica_has_not_got(lag):
    """What copies each version, as histories do, copies the primary's stamps."""
    lag()
    with acting_as("maker"):
        pk = Item.objects.create(name="a").pk
    seen = []

    def look(sender, instance, **kwargs):
        seen.append({name: getattr(instance, name) for name in COLUMNS})

    post_save.connect(look, sender=Item)
    try:
        item = Item(pk=pk, name="by key")
        with acting_as("changer"):
            item.save()
    finally:
        post_save.disconnect(look, sender=Item)
    assert seen == [row_of(item, using="default")]


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Fetch modes came with Django 6.1.")
def test_peers_are_fetched_where_each_was_written(lag):
    """One query for those that were read alike, and the primary's for what was written there."""
    with acting_as("maker"):
        Item.objects.bulk_create([Item(name=name) for name in "abc"])
    lag()
    rows = Item.objects.order_by("name").defer("updated_at").fetch_mode(models.FETCH_PEERS)
    first, second, third = rows
    with acting_as("changer"):
        Item.objects.bulk_update([first, second], ["amount"])
    assert second.updated_at == row_of(second, using="default")["updated_at"]
    for item in (first, second):
        assert_equals_primary(item)
    assert third.updated_at == row_of(third, using="replica")["updated_at"]
    # A row that is gone is in nobody's way, and the others take one query.
    rows = rows.defer("updated_at", "updated_by")
    items = list(rows)
    with acting_as("other"):
        Item.objects.bulk_update(items, ["amount"])
    models.QuerySet(Item).using("default").filter(pk=second.pk).delete()
    with CaptureQueriesContext(connection) as queries:
        assert [item.updated_by for item in items] == ["other"] * 3
        assert items[2].updated_at == row_of(third, using="default")["updated_at"]
    assert len(queries) == 2
    assert_equals_primary(items[0])


def test_a_removed_row_of_the_replica_is_told(lag):
    """The instance that was handed over holds what its row on the primary holds."""
    with acting_as("maker"):
        item = Item.objects.create(name="a")
        pk = item.parts.create(name="p").pk
    lag()
    part = Part.objects.get(pk=pk)
    with acting_as("remover"):
        Item.objects.get(pk=item.pk).parts.remove(part)
    assert people_of(part, using="default") == ("maker", "remover")
    assert_equals_primary(part)


def test_bulk_update_of_rows_that_another_database_has_as_well(lag):
    """Written there, memory is of there; where the instance is saved to stays as it was."""
    with acting_as("maker"):
        item = Item.objects.create(name="a")
    lag()
    with override_settings(DATABASE_ROUTERS=[]):
        assert router.db_for_read(Item, instance=item) == "default"
        with connections["replica"].cursor() as cursor:
            cursor.execute(f"UPDATE {Item._meta.db_table} SET created_by = 'somebody there'")
        with acting_as("changer"):
            Item.objects.using("replica").bulk_update([item], ["amount"])
        assert item._state.db == "default"
        assert item.updated_by == "changer"
        assert item.created_by == "somebody there"
        assert item._state.db == "default"
        item.name = "b"
        with acting_as("saver"):
            item.save()
        assert people_of(item, using="default") == ("maker", "saver")
        assert people_of(item, using="replica") == ("somebody there", "changer")
        assert_equals_primary(item)
        assert Item.objects.using("default").get(name="b") == item


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


def test_a_refresh_that_reads_all_that_is_deferred(lag):
    """As Django's documentation overrides it: the stamps are among them."""

    class Widening:
        def refresh_from_db(self, using=None, fields=None, **kwargs):
            if fields is not None:
                fields = {*fields, *self.get_deferred_fields()}
            super().refresh_from_db(using, fields, **kwargs)

    with acting_as("maker"):
        pk = Item.objects.create(name="a").pk
    lag()
    with isolate_apps("tests.testapp"):
        widened = type(
            "Widened",
            (Widening, Item),
            {"__module__": "tests.testapp.models", "Meta": type("Meta", (), {"proxy": True})},
        )
    item = widened.objects.defer("name").get(pk=pk)
    item.amount = 5
    with acting_as("changer"):
        item.save()
    assert_equals_primary(item)
    assert item.name == "a"


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


def test_a_refresh_is_the_routers_to_place(lag):
    """Only reading what a write left unread is pinned, not what the caller asks for."""
    with acting_as("maker"):
        pk = Item.objects.create(name="a").pk
    lag()
    item = Item.objects.get(pk=pk)
    with acting_as("changer"):
        item.save()
    item.refresh_from_db()
    assert item._state.db == "replica"
    there = row_of(item, using="replica")
    assert {name: item.__dict__[name] for name in COLUMNS} == there
    with acting_as("changer"):
        item.save()
    item.refresh_from_db(fields=["updated_by"])
    assert item.updated_by == "maker"
