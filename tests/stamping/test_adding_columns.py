"""Columns that come to a table with rows."""

import pytest
from django.contrib.postgres.functions import TransactionNow
from django.db import connection, migrations, models, transaction
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now

from tests.database import needs_trigger

pytestmark = [needs_trigger, pytest.mark.django_db(transaction=True)]


def column(default):
    return models.DateTimeField(blank=True, editable=False, db_default=default)


def migrate(state, *operations):
    with connection.schema_editor(atomic=True) as editor:
        for operation in operations:
            before, state = state, state.clone()
            operation.state_forwards("oddapp", state)
            operation.database_forwards("oddapp", editor, before, state)
    return state


@pytest.fixture
def state():
    key = ("id", models.BigAutoField(primary_key=True))
    yield migrate(ProjectState(), migrations.CreateModel("Filled", [key]))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE oddapp_filled")


@pytest.mark.parametrize(("added", "is_equal"), [(Now(), False), (TransactionNow(), True)])
def test_rows_that_were_there_get_one_time(state, added, is_equal):
    """Each statement has a time of its own, a transaction one: the defaults follow afterwards."""
    names = ("created_at", "updated_at")
    state.apps.get_model("oddapp", "Filled").objects.create()
    state = migrate(state, *(migrations.AddField("filled", name, column(added)) for name in names))
    filled = state.apps.get_model("oddapp", "Filled")
    row = filled.objects.get()
    assert (row.created_at == row.updated_at) is is_equal
    state = migrate(
        state, *(migrations.AlterField("filled", name, column(Now())) for name in names)
    )
    filled = state.apps.get_model("oddapp", "Filled")
    with transaction.atomic():
        first, second = filled.objects.create(), filled.objects.create()
    assert first.created_at == first.updated_at < second.created_at
    assert filled.objects.get(pk=row.pk).updated_at == row.updated_at
