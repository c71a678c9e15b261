"""Rows of all types, under any settings of the session; and any nesting of savepoints."""

import json

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_audit_fields.operations import InstallAuditTrail
from tests.trail.recorded import Recorded, execute, replay
from tests.trail.test_tables import run

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="The trail is PostgreSQL's."),
]

texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)
numbers = st.integers(-(2**31), 2**31 - 1)
words = st.text("ab\"'\\{},% é", max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
#: Column type to values, as PostgreSQL reads them.
TYPES = {
    "boolean": st.booleans().map(str),
    "integer": numbers.map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "numeric": st.decimals(-(10**20), 10**20).map(str) | st.sampled_from(["NaN", "1.0", "1.00"]),
    "numeric(12, 2)": st.decimals(-(10**9), 10**9, places=2).map(str),
    "double precision": st.floats().map(repr),
    "real": st.floats(width=32).map(repr),
    "text": texts,
    "varchar(20)": texts,
    "char(4)": st.text("ab ", max_size=4),
    "bytea": st.binary(max_size=6).map(lambda value: "\\x" + value.hex()),
    "date": st.sampled_from(["0044-03-15 BC", "2024-02-29", "infinity"]) | st.dates().map(str),
    "time": st.times().map(str),
    "timetz": st.sampled_from(["12:00+05:30", "23:59:59.999999-12"]),
    "timestamp": st.datetimes().map(str),
    "timestamptz": st.datetimes().map(lambda value: f"{value}+02:00")
    | st.sampled_from(["infinity", "-infinity"]),
    "interval": st.sampled_from(["1 mon -3 days 4:05:06.7", "-1 year", "0"]),
    "uuid": st.uuids().map(str),
    "json": json_values.map(json.dumps),
    "jsonb": json_values.map(json.dumps),
    "integer[]": st.lists(numbers, max_size=3).map(lambda given: "{" + str(given)[1:-1] + "}"),
    "text[]": st.sampled_from(["{}", '{"a b",NULL,"\\""}', "{{x},{y}}"]),
    "int4range": st.sampled_from(["[1,5)", "empty", "(,3]"]),
    "inet": st.sampled_from(["10.0.0.1", "::1/64"]),
    "bit varying": st.text("01", max_size=5),
    "point": st.sampled_from(["(0.1,0.2)", "(1e300,-0)"]),
    "tsvector": st.sampled_from(["'a':1 'b':2", ""]),
    "regclass": st.sampled_from(["pg_class", "public.auth_user"]),
}
COLUMNS = [f"c{number}" for number in range(len(TYPES))]
rows = st.tuples(*(st.none() | values for values in TYPES.values()))
SETTINGS = {
    "TimeZone": ["UTC", "Asia/Kathmandu", "America/St_Johns"],
    "DateStyle": ["ISO, MDY", "German", "SQL, DMY", "Postgres"],
    "IntervalStyle": ["postgres", "iso_8601", "sql_standard", "postgres_verbose"],
    "bytea_output": ["hex", "escape"],
    "extra_float_digits": ["-15", "0", "3"],
    "search_path": ["public", "pg_temp, public", "public, pg_catalog"],
}
sessions = st.fixed_dictionaries({name: st.sampled_from(given) for name, given in SETTINGS.items()})
quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=["row", "statement"])
def all_types(request, db):
    columns = ", ".join(f"{name} {type}" for name, type in zip(COLUMNS, TYPES, strict=True))
    execute(f"CREATE TABLE public.all_types (id int PRIMARY KEY, {columns})")
    execute("CREATE TABLE public.given (LIKE public.all_types)")
    run(InstallAuditTrail("all_types", level=request.param))


def set_all(given):
    calls = ", ".join(["pg_catalog.set_config(%s, %s, true)"] * len(given))
    execute(f"SELECT {calls}", [text for setting in given.items() for text in setting])


def set_plainly():
    set_all({name: given[0] for name, given in SETTINGS.items()})


def put(row, session):
    """Stored under plain settings, then written to the trail's table under those given."""
    set_plainly()
    execute("TRUNCATE public.given")
    names = ", ".join(COLUMNS)
    execute(
        f"INSERT INTO public.given (id, {names}) VALUES (1, {', '.join(['%s'] * len(COLUMNS))})",
        list(row),
    )
    set_all(session)
    execute(
        f"INSERT INTO public.all_types SELECT * FROM public.given ON CONFLICT (id)"
        f" DO UPDATE SET ({names}) = (SELECT {names} FROM public.given)"
    )


@quick
@given(first=rows, second=rows, session=sessions, other=sessions)
def test_old_image_and_changes_are_the_new_image(all_types, first, second, session, other):
    """And an image is the same, whatever the session has set."""
    execute("TRUNCATE public.all_types")
    recorded = Recorded("all_types")
    put(first, session)
    put(second, other)
    execute("DELETE FROM public.all_types")
    set_plainly()
    happened = recorded()
    assert replay({}, happened) == {}
    once_more = Recorded("all_types")
    put(first, other)
    put(second, session)
    execute("DELETE FROM public.all_types")
    set_plainly()
    assert [event[-2:] for event in once_more()] == [event[-2:] for event in happened]


#: What a session does: insert, update, delete, savepoint, rollback to it, release it.
steps = st.lists(
    st.tuples(st.sampled_from("iuudssrrc"), st.integers(0, 3), st.integers(0, 3)), max_size=25
)


@pytest.fixture(params=["row", "statement"])
def few_rows(request, db):
    execute("CREATE TABLE few_rows (id int PRIMARY KEY, value int)")
    run(InstallAuditTrail("few_rows", level=request.param))


@quick
@given(steps=steps)
def test_events_are_those_of_what_survived(few_rows, steps):
    """Any nesting of savepoints, rolled back or released."""
    execute("DELETE FROM few_rows")
    recorded = Recorded("few_rows")
    points: list[str] = []
    for number, (step, key, value) in enumerate(steps):
        if step == "i":
            execute("INSERT INTO few_rows VALUES (%s, %s) ON CONFLICT DO NOTHING", [key, value])
        elif step == "u":
            execute("UPDATE few_rows SET value = %s WHERE id >= %s", [value, key])
        elif step == "d":
            execute("DELETE FROM few_rows WHERE id = %s", [key])
        elif step == "s":
            points.append(f"point{number}")
            execute(f"SAVEPOINT {points[-1]}")
        elif points and step == "r":
            place = key % len(points)
            execute(f"ROLLBACK TO SAVEPOINT {points[place]}")
            del points[place + 1 :]
        elif points:
            place = key % len(points)
            execute(f"RELEASE SAVEPOINT {points[place]}")
            del points[place:]
    rows_now = {str(key): {"id": key, "value": value} for key, value in execute("TABLE few_rows")}
    happened = recorded()
    assert replay({}, happened) == rows_now
