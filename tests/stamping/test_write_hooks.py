"""Writes inside writes: what is stamped for one call is no other row's, nor anybody else's."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_audit_fields import acting_as, preserve_audit_fields
from tests.database import people_of, row_of
from tests.stamping.oddapp.models import BulkOnly, Hooked, Served, Thing

pytestmark = pytest.mark.django_db


@pytest.fixture
def thing():
    with acting_as("maker"):
        return Thing.objects.create()


def test_rows_that_a_hook_inserts_carry_no_given_names(thing):
    """Also through Django's manager, in the midst of a stamped `bulk_create()`."""
    with acting_as("changer"):
        hooked = Hooked()
        Hooked.objects.bulk_create([hooked])
    assert [people_of(row) for row in BulkOnly.objects.all()] == [("changer", "changer")] * 2
    assert people_of(hooked) == ("changer", "changer")
    assert people_of(thing) == ("maker", "service")


@pytest.mark.parametrize("way", ["bulk_update", "update", "add", "remove"])
def test_rows_that_a_hook_updates_are_their_own_actors(thing, way):
    """Whose call it is around does not matter to another model's rows."""
    with acting_as("maker"):
        hooked = Hooked.objects.create(thing=thing)
    with acting_as("changer"):
        if way == "bulk_update":
            Hooked.objects.bulk_update([hooked], ["write"])
        elif way == "update":
            Hooked.objects.update(write="x")
        else:
            getattr(thing.hooked, way)(hooked)
    assert people_of(hooked) == ("maker", "changer")
    assert people_of(thing) == ("maker", "service" if way != "add" else "maker")


def test_the_time_of_a_call_is_not_that_of_other_rows(thing):
    """A call is stamped past what it loaded, which may be ahead of this host's clock."""
    ahead = timezone.now() + timedelta(days=900)
    with preserve_audit_fields():
        hooked = Hooked.objects.create(updated_at=ahead)
    Hooked.objects.bulk_update([hooked], ["write"])
    assert row_of(hooked)["updated_at"] > ahead
    assert row_of(thing)["updated_at"] < ahead


def test_fields_may_have_the_names_of_our_parameters(thing):
    """`manager` and `write` are fields of the relation's rows."""
    values = {"manager": "m", "write": "w"}
    for relation in (thing.hooked, thing.hooked_many):
        assert relation.create(**values).write == "w"
        assert relation.get_or_create(**values)[0].manager == "m"
        assert relation.update_or_create(**values, defaults={"write": "v"})[0].write == "v"


@pytest.mark.parametrize("way", ["bulk_update", "add", "remove"])
def test_an_actor_inside_the_call_wins(thing, way):
    """A queryset that acts as a service has the service on its rows."""
    with acting_as("maker"):
        served = Served.objects.create(thing=thing)
    with acting_as("changer"):
        if way == "bulk_update":
            Served.objects.bulk_update([served], ["name"])
        else:
            getattr(thing.served, way)(served)
    assert people_of(served) == ("maker", "service")
