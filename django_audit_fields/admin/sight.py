"""What somebody may see of the trail: of a model no more than its admin shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, models
from django.db.models.functions import Cast

from ..trail import in_table, is_recorded

if TYPE_CHECKING:
    from django.http import HttpRequest


def fields_shown(model_admin: Any, request: HttpRequest, row: Any) -> set[str]:
    """The names of the fields that the admin's form and list show of a row, and of its key."""
    model = model_admin.model
    shown = [
        *flatten_fieldsets(model_admin.get_fieldsets(request, row)),
        *model_admin.get_list_display(request),
    ]
    names = {name for name in shown if isinstance(name, str)}
    names.update(field.name for field in model._meta.pk_fields)
    if issubclass(model, AbstractBaseUser):
        # The form shows how it was hashed, and not the hash.
        names.discard("password")
    return names


def is_restricted(rows: models.QuerySet[Any]) -> bool:
    """Whether an admin's queryset leaves rows out."""
    query = rows.query
    return bool(query.where or query.combinator or query.is_sliced)


def owner_of(model: type[models.Model]) -> type[models.Model]:
    """Of a many-to-many table the model with the field."""
    owner: Any = model._meta.auto_created
    return owner or model


class Sight:
    """What the user of one request may see."""

    def __init__(self, site: Any, request: HttpRequest) -> None:
        self.request = request
        self.user: Any = request.user
        self.admins: list[Any] = [
            site.get_model_admin(model) for model in apps.get_models() if site.is_registered(model)
        ]
        self._fields: dict[type[models.Model], Collection[str] | None] = {}

    def admins_of(self, model: type[models.Model]) -> list[Any]:
        """Those of the model and of its proxies; of a many-to-many table, those of its owner."""
        concrete = owner_of(model)._meta.concrete_model
        return [found for found in self.admins if found.model._meta.concrete_model is concrete]

    def permitting(self, model: type[models.Model]) -> list[Any]:
        request = self.request
        return [
            found for found in self.admins_of(model) if found.has_view_or_change_permission(request)
        ]

    def may_view(self, model: type[models.Model]) -> bool:
        """By its admin, or by its permission where it has none."""
        if self.admins_of(model):
            return bool(self.permitting(model))
        options = owner_of(model)._meta
        return bool(self.user.has_perm(f"{options.app_label}.view_{options.model_name}"))

    def fields(self, event: Any) -> Collection[str] | None:
        """The names of the fields to show of an event; None for all of them."""
        model = event.model
        if model is None:
            return None if self.user.is_superuser else ()
        if model not in self._fields:
            self._fields[model] = self.fields_of(model)
        return self._fields[model]

    def fields_of(self, model: type[models.Model]) -> Collection[str] | None:
        if not self.may_view(model):
            return ()
        found = self.permitting(model)
        if not found or model._meta.auto_created:
            return None
        return {name for each in found for name in fields_shown(each, self.request, model())}

    def models_seen(self) -> Iterator[type[models.Model]]:
        """The models with a trail whose events may be seen."""
        for model in apps.get_models(include_auto_created=True):
            if not model._meta.proxy and is_recorded(model) and self.may_view(model):
                yield model

    def events(self, events: Any) -> Any:
        """Those of the events that may be seen; a superuser sees all of them."""
        if self.user.is_superuser:
            return events
        connection = connections[events.db]
        seen = models.Q(pk__in=[])
        for model in self.models_seen():
            seen |= in_table(model, connection) & self.rows_of(model, events.db)
        return events.filter(seen)

    def rows_of(self, model: type[models.Model], using: str) -> models.Q:
        """Of which rows; what an admin's queryset leaves out is not shown either."""
        found = models.Q()
        if model._meta.auto_created:
            return found
        for model_admin in self.permitting(model):
            rows = model_admin.get_queryset(self.request)
            if not is_restricted(rows):
                return models.Q()
            if rows.db == using:
                keys = rows.order_by().annotate(audit_key=Cast("pk", models.TextField()))
                found |= models.Q(row_key__in=keys.values("audit_key"))
            else:
                found |= models.Q(pk__in=[])
        return found
