"""A database that keeps no trail has no events, and asking for them is no error."""

import io

import pytest
from django.core.management import call_command
from django.db import models
from django.db.utils import ProgrammingError

from django_audit_fields.models import AuditEvent
from django_audit_fields.trail import trail_of
from tests.trail.reading.readingapp.models import Order


def assert_nothing_is_found(using):
    events = AuditEvent.objects.using(using)
    assert list(events) == list(events.of(Order)) == list(events.iterator()) == []
    assert list(events.of(Order(pk=1)).by("7").in_request("r")) == []
    assert list(trail_of(Order).using(using)) == []
    assert events.count() == 0
    assert not events.by("7").exists()
    assert events.first() is None
    assert events.aggregate(models.Max("id")) == {"id__max": None}
    assert list(events.values("actor").annotate(models.Count("id"))) == []
    out = io.StringIO()
    call_command("dumpdata", "django_audit_fields", database=using, stdout=out)
    assert out.getvalue().strip() == "[]"


def test_a_database_without_a_trail(fresh, django_db_blocker):
    with django_db_blocker.unblock():
        assert_nothing_is_found(fresh)


def test_a_trail_that_comes_later_is_found(fresh, django_db_blocker):
    with django_db_blocker.unblock():
        assert AuditEvent.objects.using(fresh).count() == 0
        call_command("migrate", database=fresh, run_syncdb=True, verbosity=0)
        Order.objects.using(fresh).create()
        assert AuditEvent.objects.using(fresh).of(Order).get().instance().state == "o"
        assert Order.objects.using(fresh).get().trail.count() == 1


def test_another_database_than_postgresql(tmp_path, django_db_blocker):
    from django.db import connections

    with django_db_blocker.unblock():
        connections.settings["lite"] = {
            **connections.settings["default"],
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "lite"),
            "OPTIONS": {},
        }
        try:
            assert_nothing_is_found("lite")
        finally:
            connections["lite"].close()
            del connections["lite"]
            del connections.settings["lite"]


@pytest.mark.django_db
def test_a_mistake_in_a_query_is_still_an_error(django_db_blocker):
    with pytest.raises(ProgrammingError):
        list(AuditEvent.objects.extra(where=["nonsense = 1"]))
