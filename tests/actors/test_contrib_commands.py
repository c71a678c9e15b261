"""Management commands that act in their own name."""

import pytest
from django.core.management import CommandError, call_command

from django_audit_fields import acting_as, audit_context
from django_audit_fields.actors import acting_label
from tests.actors.actorapp.models import Note

pytestmark = pytest.mark.django_db


def test_command_acts_in_its_own_name():
    """What it writes says which command wrote it, also when somebody else called it."""
    call_command("write_note")
    with acting_as("caller"):
        call_command("write_note")
        assert acting_label() == "caller"
    assert list(Note.objects.values_list("created_by", flat=True)) == ["command:write_note"] * 2
    assert acting_label() is None


def test_failing_command_leaves_nothing():
    """Its name ends with it."""
    with pytest.raises(CommandError):
        call_command("write_note", fail=True)
    assert acting_label() is None


def test_command_tells_where_a_change_came_from():
    """Its name is the source, and the caller's reason goes along."""
    with audit_context(reason="asked by phone"):
        call_command("write_note", tell=True)
    assert Note.objects.get().text == ('{"reason":"asked by phone","source":"command:write_note"}')
