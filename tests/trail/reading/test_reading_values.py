"""What was in a column is read back from its image as Django reads it from the table."""

import datetime
import uuid
from decimal import Decimal

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange, NumericRange
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from tests.trail.reading.readingapp.models import Everything
from tests.trail.recorded import execute

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]

FIELDS = [field.attname for field in Everything._meta.concrete_fields]


def row_of(instance):
    return {name: plain(getattr(instance, name)) for name in FIELDS}


def plain(value):
    """Comparable: NaN is equal to itself, and bytes are bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, float | Decimal) and value != value:
        return "NaN"
    return value


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
decimals = st.decimals(
    allow_nan=False, allow_infinity=False, places=3, min_value=-99999, max_value=99999
)
moments = st.datetimes(
    min_value=datetime.datetime(2, 1, 1),
    max_value=datetime.datetime(9998, 1, 1),
    timezones=st.just(datetime.UTC),
)
json_values = st.recursive(
    st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
COLUMNS = {
    "small": st.integers(-16000, 16000),
    "big": st.integers(-(2**63), 2**63 - 1),
    "numeric": st.decimals(
        allow_nan=False, allow_infinity=False, places=10, min_value=-(10**19), max_value=10**19
    ),
    "real": st.floats(),
    "truth": st.booleans(),
    "text": text,
    "short": text,
    "date": st.dates(),
    "time": st.times(),
    "moment": moments,
    "lasted": st.timedeltas(datetime.timedelta(-99999), datetime.timedelta(99999)),
    "ident": st.uuids(),
    "address": st.ip_addresses().map(str),
    "data": st.binary(max_size=30),
    "json": json_values,
    "numbers": st.lists(decimals, max_size=3),
    "words": st.lists(st.lists(text, min_size=2, max_size=2), min_size=1, max_size=3),
    "span": st.tuples(st.integers(-99, 0), st.integers(1, 99)).map(
        lambda ends: NumericRange(*ends)
    ),
    "period": st.tuples(moments, moments).map(
        lambda ends: DateTimeTZRange(min(ends), max(ends), "[]")
    ),
    "ciphered": text,
    "ciphers": st.lists(text, max_size=3),
}
rows = st.fixed_dictionaries({name: st.none() | values for name, values in COLUMNS.items()})


@pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's.")
class EveryKindOfColumn(TestCase):
    @given(rows, rows)
    @settings(deadline=None, max_examples=60)
    def test_instances_equal_the_rows_as_they_were(self, first, second):
        """After an insert and an update, and before the delete; so do the changes between."""
        key = uuid.uuid4()
        Everything(key=key, **first).save(force_insert=True)
        one = row_of(Everything.objects.get(pk=key))
        Everything.objects.filter(pk=key).update(**second)
        two = row_of(Everything.objects.get(pk=key))
        Everything.objects.filter(pk=key).delete()
        delete, *update, insert = Everything.trail.filter(row_key=str(key))
        assert row_of(insert.instance()) == one
        assert row_of(delete.instance()) == two
        for event in update:
            assert row_of(event.instance()) == two
            for change in event.changes():
                assert plain(change.before) == one[change.field]
                assert plain(change.after) == two[change.field]


def test_an_instance_is_not_saved():
    Everything.objects.create(small=3)
    then = Everything.trail.get().instance()
    assert then._state.adding
    assert then.doubled == 6


@override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo")
def test_without_time_zones_times_are_local():
    moment = datetime.datetime(2026, 3, 1, 12, 30)
    row = Everything.objects.create(moment=moment)
    assert row.trail.get().instance().moment == moment


def test_an_image_that_does_not_fit_its_column_any_more_leaves_one_field_unreadable():
    row = Everything.objects.create(text="twelve", small=12, words=[["a"]])
    for column, kind in (("text", "integer"), ("small", "uuid"), ("words", "integer")):
        execute(f"ALTER TABLE readingapp_everything DROP COLUMN {column} CASCADE")
        execute(f"ALTER TABLE readingapp_everything ADD COLUMN {column} {kind}")
    with pretending({"text": "integer", "small": "uuid", "words": "integer"}):
        [event] = row.trail.all()
        changes = {change.field: change for change in event.changes()}
        then = event.instance()
    assert str(changes["text"].after) == 'unreadable: "twelve"'
    assert changes["text"].after_display == 'unreadable: "twelve"'
    assert changes["small"].after_display == "unreadable: 12"
    assert changes["words"].after_display == 'unreadable: [["a"]]'
    assert then.key == row.key
    assert str(then.text) == 'unreadable: "twelve"'


class pretending:  # noqa: N801  # reads as a state
    """The model's fields are of other types, as after an AlterField."""

    def __init__(self, types):
        self.types = types

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        for name, db_type in self.types.items():
            field = Everything._meta.get_field(name)
            self.patch.setattr(field, "db_type", lambda connection, db_type=db_type: db_type)

    def __exit__(self, *error):
        self.patch.undo()


def test_a_number_keeps_digits_that_no_float_has():
    exact = Decimal("12345678901234567890.0123456789")
    row = Everything.objects.create(numeric=exact, numbers=[Decimal("80.100")])
    then = row.trail.get().instance()
    assert then.numeric == exact
    assert str(then.numbers) == "[Decimal('80.100')]"
