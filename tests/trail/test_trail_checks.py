"""What the system checks say of trails, and what they leave alone."""
# Models that have no rows.
# ruff: noqa: DJ008

import pytest
from django.core.checks import Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test import modify_settings
from django.test.utils import isolate_apps

from django_audit_fields import checks
from django_audit_fields.models import TrailModel
from django_audit_fields.trail import AuditTrail


class Here:
    app_label = "trailapp"


@pytest.fixture
def checked(monkeypatch):
    """The messages of a model's own trail."""

    def messages(*found, check=checks.check_trails):
        class Config:
            @staticmethod
            def get_models():
                return found

        return check([Config])

    return messages


@isolate_apps("tests.trail.trailapp")
def test_a_usual_trail_passes(checked):
    class Usual(TrailModel):
        photo = models.BinaryField()

        class Meta(Here):
            constraints = [AuditTrail(name="usual", exclude=["photo"])]

    class Child(Usual):
        class Meta(Here):
            pass

    assert checked(Usual, Child) == []


@isolate_apps("tests.trail.trailapp")
def test_fields_that_are_not_there_are_named(checked):
    class Parent(models.Model):
        name = models.TextField()

        class Meta(Here):
            pass

    class Child(Parent):
        class Meta(Here):
            constraints = [AuditTrail(name="t", exclude=["nothing"], mask=["name"])]

    assert checked(Child) == [
        Error(
            f"trailapp.Child has no field {name!r}, which its trail would {argument}.",
            hint="Name a field with a column in the model's own table.",
            obj=Child,
            id="django_audit_fields.E020",
        )
        for argument, name in (("exclude", "nothing"), ("mask", "name"))
    ]


@isolate_apps("tests.trail.trailapp")
@pytest.mark.parametrize("argument", ["exclude", "mask"])
def test_the_key_is_neither_excluded_nor_masked(checked, argument):
    class Keyed(models.Model):
        number = models.IntegerField(primary_key=True)

        class Meta(Here):
            constraints = [AuditTrail(name="t", **{argument: ["number"]})]

    assert checked(Keyed) == [
        Error(
            f"The trail of trailapp.Keyed has the key 'number' in {argument}.",
            hint="The key says which row an event is of. Take it out.",
            obj=Keyed,
            id="django_audit_fields.E021",
        )
    ]


@isolate_apps("tests.trail.trailapp")
def test_a_second_trail_is_named(checked):
    class Twice(models.Model):
        class Meta(Here):
            constraints = [AuditTrail(name="a"), AuditTrail(name="b")]

    assert checked(Twice) == [
        Error(
            "trailapp.Twice has more than one AuditTrail.",
            hint="Each replaces the triggers of the one before. Leave one of them.",
            obj=Twice,
            id="django_audit_fields.E022",
        )
    ]


@isolate_apps("tests.trail.trailapp")
def test_a_name_that_is_taken_is_named(checked):
    class Hike(models.Model):
        trail = models.TextField()

        class Meta(Here):
            constraints = [AuditTrail(name="a")]

    class Walk(models.Model):
        class Meta(Here):
            constraints = [AuditTrail(name="b")]

        def trail(self):
            return "a method"

    class Path(models.Model):
        class Meta(Here):
            constraints = [AuditTrail(name="c")]

    class Step(models.Model):
        path = models.ForeignKey(Path, models.CASCADE, related_name="trail")

        class Meta(Here):
            pass

    class Other(models.Model):
        trail = models.TextField()

        class Meta(Here):
            constraints = [AuditTrail(name="d", accessor="history")]

    assert checked(Hike, Walk, Path, Other) == [
        Error(
            f"{model._meta.label}.trail is not its trail: the name is taken.",
            hint="Give the trail another, such as AuditTrail(accessor='history').",
            obj=model,
            id="django_audit_fields.E023",
        )
        for model in (Hike, Walk, Path)
    ]


@isolate_apps("tests.trail.trailapp")
def test_what_is_excluded_and_masked_is_named(checked):
    class Both(models.Model):
        a = models.TextField()

        class Meta(Here):
            constraints = [AuditTrail(name="t", exclude=["a"], mask=["a"])]

    assert checked(Both) == [
        Error(
            "The trail of trailapp.Both excludes and masks a.",
            hint="What is excluded is in no image. Say one of the two.",
            obj=Both,
            id="django_audit_fields.E024",
        )
    ]


@isolate_apps("tests.trail.trailapp")
def test_a_database_that_keeps_no_trail_is_named(checked, settings):
    from django.db import connections

    class Usual(models.Model):
        class Meta(Here):
            constraints = [AuditTrail(name="t")]

    assert checked(Usual, check=checks.check_trail_vendors) == []
    connections.settings["lite"] = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
    try:
        found = checked(Usual, check=checks.check_trail_vendors)
    finally:
        del connections["lite"]
        del connections.settings["lite"]
    assert found == [
        Warning(
            "Database 'lite' is not PostgreSQL: it keeps no trail.",
            hint="Changes are not recorded there; move models with a trail to PostgreSQL.",
            id="django_audit_fields.W020",
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"exclude": "photo"}, TypeError),
        ({"mask": [5]}, TypeError),
        ({"formerly": "old"}, TypeError),
        ({"reason": 1}, TypeError),
        ({"level": "column"}, ValueError),
        ({"accessor": "not a name"}, ValueError),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, error):
    with pytest.raises(error):
        AuditTrail(name="t", **arguments)


@isolate_apps("tests.trail.trailapp")
def test_a_project_without_the_app_is_told_at_once():
    """Nothing would make the schema."""
    meta = type("Meta", (Here,), {"constraints": [AuditTrail(name="t")]})
    body = {"__module__": "tests.trail.trailapp.models", "Meta": meta}
    with (
        modify_settings(INSTALLED_APPS={"remove": "django_audit_fields"}),
        pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"),
    ):
        type("Lost", (models.Model,), body)
