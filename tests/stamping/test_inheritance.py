"""A second abstract base: its Meta and its manager are kept, or a check names what is lost."""

import pytest
from django.core.checks import Warning
from django.db import connection, models
from django.test.utils import isolate_apps

from django_audit_fields import acting_as, checks
from django_audit_fields.models import AuditManager, AuditQuerySet, TimestampModel, TrailModel
from tests.database import needs_trigger


class LiveQuerySet(models.QuerySet):
    def retire(self):
        return self.update(is_live=False)


class LiveManager(models.Manager.from_queryset(LiveQuerySet)):
    """Hides what was deleted, as it does in half of all projects."""

    def get_queryset(self):
        return super().get_queryset().filter(is_live=True)


class Both(AuditQuerySet, LiveQuerySet):
    pass


#: What each class is made with.
MODULE = "tests.stamping.oddapp.models"


def model(name, *bases, meta=(), **body):
    options = type("Meta", tuple(meta), {"app_label": "oddapp"}) if meta is not None else None
    attributes = {"__module__": MODULE, **body} | ({"Meta": options} if options else {})
    return type(name, bases, attributes)


@pytest.fixture
def base():
    """What a shop had before it came to us."""
    with isolate_apps("tests.stamping.oddapp"):

        class Base(models.Model):
            name = models.CharField(max_length=10)
            is_live = models.BooleanField(default=True)

            objects = LiveManager()

            class Meta:
                abstract = True
                app_label = "oddapp"
                ordering = ["name"]
                unique_together = [("name", "is_live")]
                constraints = [
                    models.CheckConstraint(
                        condition=~models.Q(name=""), name="%(app_label)s_%(class)s_named"
                    )
                ]

        yield Base


def found(monkeypatch, *found_models):
    monkeypatch.setattr(checks.models, "timestamp_models", lambda app_configs: found_models)
    return checks.check_inheritance()


@pytest.mark.parametrize("ours", [TimestampModel, TrailModel])
def test_what_ours_leaves_out_of_a_base_is_named(monkeypatch, base, ours):
    """Django takes the Meta of the first base alone, and a manager by its name."""
    thing = model("Thing", ours, base, meta=None)
    assert found(monkeypatch, thing) == [
        Warning(
            "oddapp.Thing has lost constraints, ordering, unique_together, the manager 'objects' "
            "of Base.",
            hint="Name Base before ours, as in class Thing(Base, TimestampModel), and "
            "class Meta(Base.Meta) in a Meta of its own; join managers: "
            "class Both(AuditQuerySet, OtherQuerySet), "
            "objects = OtherManager.from_queryset(Both)().",
            obj=thing,
            id="django_audit_fields.W014",
        )
    ]


def test_a_default_manager_of_another_name_is_named(monkeypatch):
    """It is there, and no longer what the admin and relations take."""
    with isolate_apps("tests.stamping.oddapp"):
        base = model("Base", models.Model, live=LiveManager(), meta=[AbstractMeta], is_live=LIVE())
        thing = model("Thing", TimestampModel, base, meta=None)
        (warning,) = found(monkeypatch, thing)
    assert warning.msg == "oddapp.Thing has lost the manager 'live' of Base."


class AbstractMeta:
    abstract = True


def LIVE():  # noqa: N802  # a field belongs to one model
    return models.BooleanField(default=True)


KEPT = [
    pytest.param(lambda base: model("Thing", base, TimestampModel, meta=None), id="base-first"),
    pytest.param(
        lambda base: model(
            "Thing",
            base,
            TimestampModel,
            meta=[base.Meta],
            objects=LiveManager.from_queryset(Both)(),
        ),
        id="as-advised",
    ),
    pytest.param(
        lambda base: model(
            "Thing",
            TimestampModel,
            base,
            meta=[base.Meta],
            objects=LiveManager.from_queryset(AuditQuerySet)(),
        ),
        id="named",
    ),
    pytest.param(
        lambda base: model("Thing", base, TimestampModel, objects=AuditManager()), id="own-meta"
    ),
]


@pytest.mark.parametrize("make", KEPT)
def test_what_was_kept_or_left_out_by_hand_is_not_named(monkeypatch, base, make):
    """Nothing is lost in silence there."""
    assert found(monkeypatch, make(base)) == []


def test_a_plain_manager_is_no_loss(monkeypatch):
    """Nor is a base without a Meta of its own."""
    with isolate_apps("tests.stamping.oddapp"):
        base = model("Base", models.Model, objects=models.Manager(), meta=[AbstractMeta])
        assert found(monkeypatch, model("Thing", TimestampModel, base, meta=None)) == []


@needs_trigger
@pytest.mark.django_db(transaction=True)
def test_what_the_hint_advises_loses_nothing(base):
    """The order, the constraints, the hidden rows and the stamps."""
    objects = LiveManager.from_queryset(Both)()
    thing = model("Gadget", base, TimestampModel, meta=[base.Meta], objects=objects)
    assert thing._meta.ordering == ["name"]
    assert thing._meta.unique_together == (("name", "is_live"),)
    assert {constraint.name for constraint in thing._meta.constraints} > {"oddapp_gadget_named"}
    with connection.schema_editor() as editor:
        editor.create_model(thing)
    try:
        with acting_as("maker"):
            thing.objects.bulk_create([thing(name="b"), thing(name="a")])
        with acting_as("changer"):
            assert thing.objects.filter(name="b").retire() == 1
        assert [row.name for row in thing.objects.all()] == ["a"]
        rows = models.QuerySet(thing).order_by("name").values_list("created_by", "updated_by")
        assert list(rows) == [("maker", "maker"), ("maker", "changer")]
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(thing)
