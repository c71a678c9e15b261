"""Every ID: when it speaks, and in which words."""

import sys

import pytest
from django.contrib.auth.models import User
from django.core.checks import Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test import modify_settings, override_settings
from django.test.utils import isolate_apps

from django_audit_fields import checks
from django_audit_fields.conf import DEFAULTS
from django_audit_fields.models import AuditManager, TimestampModel
from django_audit_fields.operations import InstallAuditTriggers
from tests.testapp.models import Item

AUDIT = "django_audit_fields.middleware.AuditMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def label_of_user(user):
    return user.get_username()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ACTOR": label_of_user},
        {"ACTOR": "tests.test_checks.label_of_user"},
        {"FALLBACK": "x" * 50, "STRICT": True, "NOBODY": "refuse"},
        {"NOBODY": "session_user"},
    ],
)
def test_usable_settings_pass(given):
    """All keys are optional, and each has more than one value."""
    with override_settings(AUDIT_FIELDS=given):
        assert checks.check_settings() == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            ["STRICT"],
            Error(
                "AUDIT_FIELDS must be a dictionary, not ['STRICT'].",
                hint='Write AUDIT_FIELDS = {"FALLBACK": "system"} or leave it out.',
                id="django_audit_fields.E001",
            ),
        ),
        (
            {"FALL_BACK": "x"},
            Error(
                "AUDIT_FIELDS has an unknown key: 'FALL_BACK'.",
                hint=f"Use one of {', '.join(DEFAULTS)}.",
                id="django_audit_fields.E001",
            ),
        ),
        (
            {"FALLBACK": ""},
            Error(
                "AUDIT_FIELDS['FALLBACK'] is empty.",
                hint="Set a label of 1 to 50 characters, such as 'system'.",
                id="django_audit_fields.E002",
            ),
        ),
        (
            {"FALLBACK": "x" * 51},
            Error(
                "AUDIT_FIELDS['FALLBACK'] has 51 characters, at most 50 are allowed.",
                hint="Set a label of 1 to 50 characters, such as 'system'.",
                id="django_audit_fields.E002",
            ),
        ),
        (
            {"FALLBACK": None},
            Error(
                "AUDIT_FIELDS['FALLBACK'] is not text but NoneType.",
                hint="Set a label of 1 to 50 characters, such as 'system'.",
                id="django_audit_fields.E002",
            ),
        ),
        (
            {"ACTOR": "nowhere.user_label"},
            Error(
                "AUDIT_FIELDS['ACTOR'] cannot be imported: 'nowhere.user_label' "
                "(ModuleNotFoundError: No module named 'nowhere').",
                hint="Set a callable(user) -> str or its path, such as "
                "'django_audit_fields.actors.user_label'.",
                id="django_audit_fields.E003",
            ),
        ),
        (
            {"ACTOR": 7},
            Error(
                "AUDIT_FIELDS['ACTOR'] is not callable: 7.",
                hint="Set a callable(user) -> str or its path, such as "
                "'django_audit_fields.actors.user_label'.",
                id="django_audit_fields.E003",
            ),
        ),
        (
            {"STRICT": "yes"},
            Error(
                "AUDIT_FIELDS['STRICT'] is 'yes'.",
                hint="Set True or False.",
                id="django_audit_fields.E004",
            ),
        ),
        (
            {"NOBODY": "ignore"},
            Error(
                "AUDIT_FIELDS['NOBODY'] is 'ignore'.",
                hint="Set one of 'fallback', 'session_user', 'refuse'.",
                id="django_audit_fields.E005",
            ),
        ),
        (
            {"DISPLAY": 7},
            Error(
                "AUDIT_FIELDS['DISPLAY'] is not callable: 7.",
                hint="Set a callable(user) -> str or its path, or None.",
                id="django_audit_fields.E013",
            ),
        ),
        (
            {"FIND_USER": "nowhere.find"},
            Error(
                "AUDIT_FIELDS['FIND_USER'] cannot be imported: 'nowhere.find' "
                "(ModuleNotFoundError: No module named 'nowhere').",
                hint="Set a callable(labels) -> {label: user} or its path, or None.",
                id="django_audit_fields.E014",
            ),
        ),
        (
            {"CARRY_READS": 1},
            Error(
                "AUDIT_FIELDS['CARRY_READS'] is 1.",
                hint="Set True or False.",
                id="django_audit_fields.E015",
            ),
        ),
        (
            {"CONTEXT": "yes"},
            Error(
                "AUDIT_FIELDS['CONTEXT'] is 'yes'.",
                hint="Set True, False, or None: then it is carried where a model has a trail.",
                id="django_audit_fields.E016",
            ),
        ),
        (
            {"TRAIL_CLIENT_IP": None},
            Error(
                "AUDIT_FIELDS['TRAIL_CLIENT_IP'] is None.",
                hint="Set True or False.",
                id="django_audit_fields.E017",
            ),
        ),
        (
            {"TRAIL_KEEP": "7 years"},
            Error(
                "AUDIT_FIELDS['TRAIL_KEEP'] is '7 years'.",
                hint="Set a number of days, such as 2557 for seven years, or None.",
                id="django_audit_fields.E030",
            ),
        ),
    ],
)
def test_unusable_settings_are_named(given, expected):
    """Each error names the setting, its value and what to write instead."""
    with override_settings(AUDIT_FIELDS=given):
        assert checks.check_settings() == [expected]


@override_settings(AUDIT_FIELD={"FALLBACK": "nobody"}, AUDIT_FILES={"logs": 7})
def test_a_misspelt_setting_is_named():
    """Nothing reads it; one that holds something else is the project's own."""
    assert checks.check_setting_name() == [
        Warning(
            "The setting AUDIT_FIELD is a dictionary like AUDIT_FIELDS, and nothing reads it.",
            hint="Name it AUDIT_FIELDS.",
            id="django_audit_fields.W012",
        )
    ]


def test_celery_without_its_link_is_named(monkeypatch):
    """A project that makes a Celery app and does not import what hands the actor on."""
    monkeypatch.setitem(sys.modules, "celery.app.base", sys)
    monkeypatch.delitem(sys.modules, "django_audit_fields.contrib.celery", raising=False)
    assert [warning.id for warning in checks.check_celery()] == ["django_audit_fields.W013"]
    monkeypatch.setitem(sys.modules, "django_audit_fields.contrib.celery", sys)
    assert checks.check_celery() == []


def test_missing_middleware_is_named():
    """Without it every request acts as nobody, which no other error would show."""
    with override_settings(MIDDLEWARE=[AUTHENTICATION]):
        assert checks.check_middleware() == [
            Warning(
                "AuditMiddleware is not installed: requests have no actor.",
                hint=f"Add {AUDIT!r} to MIDDLEWARE, after AuthenticationMiddleware.",
                id="django_audit_fields.W001",
            )
        ]


def test_misplaced_middleware_is_named():
    """It belongs behind the one that knows the user."""
    with override_settings(MIDDLEWARE=[AUDIT, AUTHENTICATION]):
        assert checks.check_middleware() == [
            Warning(
                "AuditMiddleware stands before AuthenticationMiddleware.",
                hint=f"Move {AUDIT!r} behind {AUTHENTICATION!r} in MIDDLEWARE: what lies between "
                "them would act in the user's name before there is one.",
                id="django_audit_fields.W005",
            )
        ]


@pytest.mark.parametrize("before", [[AUTHENTICATION], []])
def test_placed_middleware_passes(before):
    """Behind Django's own, or without it: authentication may be the project's."""
    with override_settings(MIDDLEWARE=[*before, AUDIT]):
        assert checks.check_middleware() == []


@isolate_apps("tests.testapp")
def test_user_with_a_key_too_long_for_a_label_is_named(monkeypatch):
    """Unless the project makes labels of its own."""

    class Person(models.Model):  # noqa: DJ008  # never printed
        email = models.CharField(max_length=254, primary_key=True)

        class Meta:
            app_label = "testapp"

    monkeypatch.setattr(checks.project, "get_user_model", lambda: Person)
    assert checks.check_user_label() == [
        Warning(
            "The primary key of testapp.Person may have 254 characters: no usable label.",
            hint="Set AUDIT_FIELDS['ACTOR'] to a callable(user) that answers a label of "
            "1 to 50 characters.",
            obj=Person,
            id="django_audit_fields.W004",
        )
    ]
    with override_settings(AUDIT_FIELDS={"ACTOR": label_of_user}):
        assert checks.check_user_label() == []


def test_the_usual_user_passes():
    """An integer key is a label."""
    assert checks.check_user_label() == []


class Anywhere:
    """Sends nothing anywhere in particular."""


def test_other_vendor_is_named(settings):
    """Layers 1 and 2 work there, and the third is missing."""
    from django.db import connections

    connections.settings["lite"] = connections.configure_settings(
        {"default": {}, "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    )["lite"]
    try:
        assert checks.check_vendors() == [
            Warning(
                "Database 'lite' is not PostgreSQL: no trigger keeps its rows right.",
                hint="Writes past the ORM are not stamped there; move audited models to "
                "PostgreSQL.",
                id="django_audit_fields.W002",
            )
        ]
    finally:
        del connections.settings["lite"]
        if hasattr(connections._connections, "lite"):
            delattr(connections._connections, "lite")
    assert checks.check_vendors() == []


@isolate_apps("tests.testapp")
def test_columns_that_cannot_hold_what_they_should_are_named(monkeypatch):
    """A foreign key to the user is the usual one; it would fail at the first write."""

    class Order(TimestampModel):
        created_by = models.ForeignKey("testapp.Plain", models.CASCADE, null=True)
        updated_at = models.DateField(null=True)

        class Meta:
            app_label = "testapp"

    monkeypatch.setattr(checks.models, "audited_models", lambda app_configs: [Order])
    assert {(error.id, error.msg) for error in checks.check_columns()} == {
        ("django_audit_fields.E007", "testapp.Order.created_by cannot hold a label."),
        ("django_audit_fields.E007", "testapp.Order.updated_at cannot hold a time."),
    }


@isolate_apps("tests.testapp")
def test_a_base_that_has_the_columns_already_is_named(monkeypatch):
    """It stands after ours, or its columns are the model's: the other way round than else."""
    meta = {"app_label": "testapp"}

    class InTenant(models.Manager):
        pass

    class Owned(models.Model):  # noqa: DJ008
        created_by = models.ForeignKey("testapp.Plain", models.CASCADE, null=True, related_name="+")
        objects = InTenant()
        Meta = type("Meta", (), {**meta, "abstract": True, "ordering": ["pk"]})

    class BaseFirst(Owned, TimestampModel):  # noqa: DJ008
        Meta = type("Meta", (), meta)

    body = {"__module__": "tests.testapp.models"}
    ours_first = type("OursFirst", (TimestampModel, Owned), body)
    monkeypatch.setattr(checks.models, "timestamp_models", lambda configs: [BaseFirst, ours_first])
    (error,) = checks.check_columns()
    assert (error.id, error.obj) == ("django_audit_fields.E007", BaseFirst)
    assert error.hint == (
        "Owned has it: name ours first, class BaseFirst(TimestampModel, Owned), and class "
        "Meta(Owned.Meta) if that has one."
    )
    (warning,) = checks.check_inheritance()
    assert (warning.id, warning.obj) == ("django_audit_fields.W014", ours_first)
    assert warning.msg.endswith("has lost ordering, the manager 'objects' of Owned.")
    assert warning.hint.startswith("Name class Meta(Owned.Meta) in a Meta of its own;")


@isolate_apps("tests.testapp")
def test_a_child_whose_manager_leaves_stamps_out_is_named(monkeypatch):
    """Its update() writes to one table alone, which has neither columns nor trigger."""
    meta = {"app_label": "testapp"}

    class Base(models.Model):  # noqa: DJ008
        name = models.CharField(max_length=10)
        Meta = type("Meta", (), meta)

    class PlainFirst(Base, TimestampModel):  # noqa: DJ008
        Meta = type("Meta", (), meta)

    class PlainLast(TimestampModel, Base):  # noqa: DJ008
        Meta = type("Meta", (), meta)

    class Parent(TimestampModel):
        objects = models.Manager()
        Meta = type("Meta", (), meta)

    class Child(Parent):
        name = models.CharField(max_length=10)
        Meta = type("Meta", (), meta)

    class ChildOfChild(Child):
        objects = models.Manager()
        Meta = type("Meta", (), meta)

    class WithinTenant(models.Manager):
        def get_queryset(self):
            raise RuntimeError("There is no tenant.")

    class ChildOfTenant(Parent):
        name = models.CharField(max_length=10)
        objects = WithinTenant()
        Meta = type("Meta", (), meta)

    class Created(TimestampModel):
        updated_at = updated_by = None
        objects = models.Manager()
        Meta = type("Meta", (), meta)

    class ChildOfCreated(Created):
        name = models.CharField(max_length=10)
        Meta = type("Meta", (), meta)

    class ChildOfOurs(Item):
        more = models.CharField(max_length=10)
        objects = models.Manager()
        Meta = type("Meta", (), meta)

    class ChildWithOurs(Parent):
        name = models.CharField(max_length=10)
        objects = AuditManager()
        Meta = type("Meta", (), meta)

    class ChildWithoutColumns(Parent):
        Meta = type("Meta", (), meta)

    class ProxyOfChild(ChildWithOurs):
        objects = models.Manager()
        Meta = type("Meta", (), {**meta, "proxy": True})

    class ProxyOfParent(Parent):
        Meta = type("Meta", (), {**meta, "proxy": True})

    children = [
        *(PlainFirst, PlainLast, Parent, Child, ChildOfOurs),
        *(ChildWithOurs, ChildWithoutColumns, ProxyOfParent, ProxyOfChild),
        *(ChildOfChild, ChildOfTenant, ChildOfCreated),
    ]
    monkeypatch.setattr(checks.models, "timestamp_models", lambda app_configs: children)
    found = checks.check_managers()
    assert [(warning.id, warning.obj) for warning in found] == [
        ("django_audit_fields.W006", model)
        for model in (PlainFirst, Child, ChildOfOurs, ProxyOfChild, ChildOfChild)
    ]
    assert "testapp.Child's default manager" in found[1].msg
    assert "objects = AuditManager()" in found[1].hint


@isolate_apps("tests.testapp")
def test_a_project_without_the_app_is_told_at_once():
    """Its checks would not run, and its rows would all be the fallback's."""
    meta = type("Meta", (), {"app_label": "testapp"})
    body = {"__module__": "tests.testapp.models", "Meta": meta}
    with (
        modify_settings(INSTALLED_APPS={"remove": "django_audit_fields"}),
        pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"),
    ):
        type("Lost", (TimestampModel,), body)


@isolate_apps("tests.testapp")
def test_a_model_without_a_migration_is_named_without_a_database(monkeypatch):
    """`makemigrations` was forgotten, and the migrations on disk are enough to tell."""

    class Thing(TimestampModel):
        class Meta:
            app_label = "testapp"

    monkeypatch.setattr(checks.database, "triggered_models", lambda app_configs: [Item, Thing])
    monkeypatch.setattr(checks.database, "models_of_migrations", lambda: {"testapp.thing": False})
    (warning,) = checks.check_migrations()
    assert (warning.id, warning.obj) == ("django_audit_fields.W007", Thing)
    monkeypatch.setattr(checks.database, "models_of_migrations", lambda: {"testapp.thing": True})
    assert checks.check_migrations() == []


def test_a_column_that_the_project_writes_and_a_trigger_keeps_is_named(monkeypatch):
    """Its changes would be undone in silence; what is not mapped, or not editable, is fine."""
    operation = InstallAuditTriggers(
        "auth_user", created_at="date_joined", updated_at="last_login", created_by=None
    )
    monkeypatch.setattr(checks.database, "operations_of_migrations", lambda: iter([operation]))
    (warning,) = checks.check_written_columns()
    assert (warning.id, warning.obj) == ("django_audit_fields.W015", User)
    assert warning.msg.startswith("auth.User.date_joined is written by the project")
    allowed = InstallAuditTriggers("auth_user", created_at=None, created_by="first_name")
    monkeypatch.setattr(checks.database, "operations_of_migrations", lambda: iter([allowed]))
    monkeypatch.setattr(User._meta.get_field("first_name"), "editable", False)
    assert checks.check_written_columns() == []


@pytest.mark.django_db
def test_a_changed_setting_is_named(settings):
    """What differs is the setting, and the triggers have the value of their time."""
    settings.AUDIT_FIELDS = {"FALLBACK": "nobody"}
    hints = {one.hint for one in checks.check_database(databases=["default"]) if one.hint}
    assert any(
        "AUDIT_FIELDS['FALLBACK'] is 'nobody' and was 'system' when the triggers were made." in hint
        for hint in hints
    )
