"""Every way of writing rows, at both levels: what the events tell is what became of the rows."""

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from tests.trail.recorded import Recorded, execute, images, replay
from tests.trail.trailapp.models import Gauge, Reading

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]


def save(model):
    row = model.objects.get(meter=1)
    row.value = 50
    row.save()


def save_a_field(model):
    row = model.objects.get(meter=1)
    row.value, row.secret = 50, "not saved"
    row.save(update_fields=["value"])


def bulk_update(model):
    rows = list(model.objects.all())
    for row in rows:
        row.value = (row.value or 0) + 1
    model.objects.bulk_update(rows, ["value"])


def upsert(model):
    model.objects.bulk_create(
        [model(meter=number, value=9) for number in (1, 2, 90)],
        update_conflicts=True,
        unique_fields=["meter"],
        update_fields=["value"],
    )


def merge(model):
    if connection.pg_version < 150000:
        pytest.skip("PostgreSQL 15 has MERGE")
    execute(
        f"MERGE INTO {model._meta.db_table} t"
        " USING (VALUES (1, 7), (2, 8), (90, 9)) AS s (meter, value)"
        " ON t.meter = s.meter WHEN MATCHED AND s.value = 8 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET value = s.value"
        " WHEN NOT MATCHED THEN INSERT (meter, value, hidden) VALUES (s.meter, s.value, '')"
    )


def copy(model):
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {model._meta.db_table} (meter, value, hidden) FROM STDIN") as lines,
    ):
        for number in range(100, 120):
            lines.write_row((number, 1.5, "h"))


def sql(text):
    def write(model):
        execute(text.format(table=model._meta.db_table))

    return write


#: The name, the write, and how many events of which kind it leaves, of three rows.
WRITES = {
    "create": (lambda model: model.objects.create(meter=10), {"insert": 1}),
    "save": (save, {"update": 1}),
    "save a field": (save_a_field, {"update": 1}),
    "save of a key": (lambda model: model(id=10_000, meter=10).save(), {"insert": 1}),
    "get_or_create": (lambda model: model.objects.get_or_create(meter=1), {}),
    "update_or_create, update": (
        lambda model: model.objects.update_or_create({"value": 8}, meter=1),
        {"update": 1},
    ),
    "update_or_create, create": (
        lambda model: model.objects.update_or_create({"value": 8}, meter=10),
        {"insert": 1},
    ),
    "bulk_create": (
        lambda model: model.objects.bulk_create(model(meter=number) for number in range(10, 30)),
        {"insert": 20},
    ),
    "bulk_create, conflicts ignored": (
        lambda model: model.objects.bulk_create(
            [model(meter=1), model(meter=10)], ignore_conflicts=True
        ),
        {"insert": 1},
    ),
    "upsert": (upsert, {"update": 2, "insert": 1}),
    "bulk_update": (bulk_update, {"update": 3}),
    "update()": (lambda model: model.objects.update(value=77), {"update": 3}),
    "delete": (lambda model: model.objects.get(meter=1).delete(), {"delete": 1}),
    "delete()": (lambda model: model.objects.filter(meter__gt=1).delete(), {"delete": 2}),
    "INSERT … SELECT": (
        sql("INSERT INTO {table} (meter, hidden) SELECT n, '' FROM generate_series(10, 19) n"),
        {"insert": 10},
    ),
    "UPDATE … FROM": (
        sql("UPDATE {table} t SET value = v FROM (VALUES (1, 5), (2, 6)) s (m, v) WHERE m = meter"),
        {"update": 2},
    ),
    "ON CONFLICT": (
        sql(
            "INSERT INTO {table} (meter, value, hidden) VALUES (1, 5, ''), (10, 6, '')"
            " ON CONFLICT (meter) DO UPDATE SET value = excluded.value"
        ),
        {"update": 1, "insert": 1},
    ),
    "WITH, three writes at once": (
        sql(
            "WITH gone AS (DELETE FROM {table} WHERE meter = 1 RETURNING *),"
            " changed AS (UPDATE {table} SET value = 5 WHERE meter = 2)"
            " INSERT INTO {table} (meter, hidden) SELECT meter + 100, '' FROM gone"
        ),
        {"delete": 1, "update": 1, "insert": 1},
    ),
    "DO": (
        sql(
            "DO $$ BEGIN FOR n IN 1..3 LOOP"
            " UPDATE {table} SET value = n WHERE meter = 1; END LOOP; END $$"
        ),
        {"update": 3},
    ),
    "MERGE": (merge, {"update": 1, "delete": 1, "insert": 1}),
    "COPY": (copy, {"insert": 20}),
    "TRUNCATE": (sql("TRUNCATE {table}"), {"truncate": 1}),
    "several statements in one string": (
        sql("UPDATE {table} SET value = 5; DELETE FROM {table} WHERE meter < 3"),
        {"update": 3, "delete": 2},
    ),
    "what is masked": (sql("UPDATE {table} SET secret = 's2' WHERE meter = 1"), {"update": 1}),
    "a swap of two keys' rows": (
        sql("UPDATE {table} SET value = CASE WHEN meter = 1 THEN 2 ELSE 1 END WHERE meter < 3"),
        {"update": 2},
    ),
}


@pytest.mark.parametrize("model", [Gauge, Reading], ids=["row", "statement"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_leaves_its_events(model, name):
    write, expected = WRITES[name]
    rules = {"hidden": ("hidden",), "masked": ("secret",)}
    table = model._meta.db_table
    for number, value, secret in ((1, 0.1, "s"), (2, None, None), (3, 3, "t")):
        model.objects.create(meter=number, value=value, secret=secret)
    before = images(table, **rules)
    recorded = Recorded(table)
    write(model)
    happened = recorded()
    counts = {event.action: 0 for event in happened}
    for event in happened:
        counts[event.action] += 1
    assert counts == expected
    assert replay(before, happened) == images(table, **rules)


@pytest.mark.parametrize("model", [Gauge, Reading], ids=["row", "statement"])
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO {table} (meter, hidden) VALUES (7, ''), (1, '')", IntegrityError),
        ("INSERT INTO {table} (meter, hidden) VALUES (7, ''), (8, NULL)", IntegrityError),
        ("UPDATE {table} SET value = 1 / (meter - 2)", DataError),
        ("UPDATE {table} SET meter = 5", IntegrityError),
    ],
)
def test_a_write_that_fails_leaves_no_event(model, statement, error):
    table = model._meta.db_table
    for number in (1, 2, 3):
        model.objects.create(meter=number)
    recorded = Recorded()
    with pytest.raises(error), transaction.atomic():
        execute(statement.format(table=table))
    assert recorded() == []


@pytest.mark.parametrize("model", [Gauge, Reading], ids=["row", "statement"])
def test_what_is_rolled_back_never_happened(model):
    recorded = Recorded()
    with transaction.atomic():
        model.objects.create(meter=1)
        execute("SAVEPOINT before_it")
        model.objects.create(meter=2)
        execute("ROLLBACK TO SAVEPOINT before_it")
        model.objects.create(meter=3)
    assert [event.after["meter"] for event in recorded()] == [1, 3]
    assert [event.id for event in recorded()] == sorted(event.id for event in recorded())
