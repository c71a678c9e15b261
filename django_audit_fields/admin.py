"""The four columns in Django's admin: read-only, and people by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models

from .actors import user_label
from .conf import DEFAULTS, audit_settings
from .stamping import audit_names

if TYPE_CHECKING:
    from django.http import HttpRequest

    ModelAdminBase = admin.ModelAdmin[models.Model]
else:
    ModelAdminBase = object

#: What is shown in the place of a label.
DISPLAYS: Mapping[str, str] = {
    "created_by": "created_by_name",
    "updated_by": "updated_by_name",
}
ORDER = ("created_at", "created_by", "updated_at", "updated_by")


def people_by_label(labels: Iterable[str]) -> dict[str, str]:
    """The names of the users whose label is the default one, their primary key, in one query.

    A label that names no user, such as that of an import, a service or a deleted account, is left
    out, and so is everyone while `ACTOR` makes labels of its own: they are names already.
    """
    if audit_settings().actor != DEFAULTS["ACTOR"]:
        return {}
    user_model = get_user_model()
    keys = []
    for label in set(labels):
        try:
            keys.append(user_model._meta.pk.to_python(label))
        except ValidationError:
            continue
    users = user_model._default_manager.filter(pk__in=keys) if keys else ()
    return {user_label(user): str(user) for user in users}


def _displayed(names: Any) -> Any:
    """`names`, nested as Django's admin options are, with labels replaced by people's names."""
    if isinstance(names, str):
        return DISPLAYS.get(names, names)
    if isinstance(names, (list, tuple)):
        return type(names)(_displayed(name) for name in names)
    return names


class AuditAdminMixin(ModelAdminBase):
    """For a `ModelAdmin` of an audited model.

        @admin.register(Invoice)
        class InvoiceAdmin(AuditAdminMixin, admin.ModelAdmin):
            list_display = ["number", "updated_by", "updated_at"]

    `created_by` and `updated_by` may stand wherever Django takes a field for display; the people's
    names of a whole list come in one query.
    """

    @admin.display(description="created by", ordering="created_by", empty_value="-")
    def created_by_name(self, obj: models.Model) -> str | None:
        return self._name(obj, "created_by")

    @admin.display(description="updated by", ordering="updated_by", empty_value="-")
    def updated_by_name(self, obj: models.Model) -> str | None:
        return self._name(obj, "updated_by")

    def _name(self, obj: models.Model, column: str) -> str | None:
        label: str | None = getattr(obj, column, None) if obj.pk is not None else None
        if not label:
            return None
        people: dict[str, str] | None = obj.__dict__.get("_audit_people")
        if people is None:
            people = self._remember_people([obj])
        return people.get(label, label)

    def _remember_people(self, objs: Sequence[models.Model]) -> dict[str, str]:
        people = people_by_label(
            label
            for obj in objs
            for column in DISPLAYS
            if (label := obj.__dict__.get(column)) is not None
        )
        for obj in objs:
            obj.__dict__["_audit_people"] = people
        return people

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        if not set(DISPLAYS.values()).isdisjoint(map(str, changelist.list_display)):
            self._remember_people(list(changelist.result_list))
        return changelist

    def get_list_display(self, request: HttpRequest) -> Any:
        return _displayed(super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        return _displayed(super().get_fields(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        return [
            (title, {**options, "fields": _displayed(options["fields"])})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        given = [_displayed(name) for name in super().get_readonly_fields(request, obj)]
        columns = audit_names(self.model)
        ours = [_displayed(name) for name in ORDER if name in columns]
        return [*given, *(name for name in ours if name not in given)]
