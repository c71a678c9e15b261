"""What somebody may see of the trail: of a model no more than its admin shows them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, models
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import In
from django.forms.models import _get_foreign_key

from ..trail import in_table, is_recorded

if TYPE_CHECKING:
    from django.http import HttpRequest

#: What of an admin may answer something else for each row, where a project has written it.
BY_ROW: Final = (
    *("get_fieldsets", "get_fields", "get_exclude", "get_readonly_fields", "get_form"),
    "get_inlines",
    *("has_view_permission", "has_change_permission", "has_view_or_change_permission"),
)
#: The schemas of other tenants: each has migrations of its own, and is not on the search path.
OTHER_TENANTS: Final = """
    SELECT nspname::text FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'django_migrations' AND nspname <> ALL (pg_catalog.current_schemas(false))
"""
OURS: Final = frozenset({"django", "django_audit_fields"})


def fields_shown(model_admin: Any, request: HttpRequest, row: Any) -> set[str]:
    """The names of the fields that the admin's form and list show of a row, and of its key."""
    model = model_admin.model
    shown = flatten_fieldsets(model_admin.get_fieldsets(request, row))
    if hasattr(model_admin, "get_list_display"):  # an inline has no list
        shown = [*shown, *model_admin.get_list_display(request)]
    names = {name for name in shown if isinstance(name, str)}
    names.update(field.name for field in model._meta.pk_fields)
    return names - secrets_of(model)


def secrets_of(model: type[models.Model]) -> set[str]:
    """A form shows how a password was hashed, and not the hash."""
    return {"password"} if issubclass(model, AbstractBaseUser) else set()


def looks_at_rows(model_admin: Any) -> bool:
    """Whether code of the project may show or hide something else for each row."""
    methods = (getattr(type(model_admin), name, None) for name in BY_ROW)
    modules = (getattr(method, "__module__", None) or "" for method in methods)
    return any(module.partition(".")[0] not in OURS for module in modules)


def is_superuser(request: HttpRequest) -> bool:
    """Django's admin does not ask it of a model of users."""
    return bool(getattr(request.user, "is_superuser", False))


def is_restricted(rows: models.QuerySet[Any]) -> bool:
    """Whether an admin's queryset leaves rows out."""
    query = rows.query
    return bool(query.where or query.combinator or query.is_sliced)


def inlines_without_row(model_admin: Any, request: HttpRequest) -> Iterable[Any]:
    try:
        found: Iterable[Any] = model_admin.get_inlines(request, None)
    except Exception:  # a project's own code that expects a row raises what it likes
        found = model_admin.inlines
    return found


def owner_of(model: type[models.Model]) -> type[models.Model]:
    """Of a many-to-many table the model with the field."""
    owner: Any = model._meta.auto_created
    return owner or model


def field_of(link: type[models.Model]) -> Any:
    """Of a many-to-many table the field that has it."""
    fields = owner_of(link)._meta.local_many_to_many
    return next(field for field in fields if field.remote_field.through is link)


class Sight:
    """What the user of one request may see."""

    def __init__(self, site: Any, request: HttpRequest) -> None:
        self.request = request
        self.user: Any = request.user
        self.is_superuser = is_superuser(request)
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

    @functools.cached_property
    def inlines(self) -> list[tuple[Any, Any]]:
        """All there are, each with the admin whose page it is on."""
        return [
            (parent, inline(parent.model, parent.admin_site))
            for parent in self.admins
            for inline in inlines_without_row(parent, self.request)
        ]

    def inlines_of(self, model: type[models.Model]) -> list[tuple[Any, Any]]:
        """Where a model is shown that has no admin of its own."""
        if self.admins_of(model):
            return []
        return [found for found in self.inlines if found[1].model is model]

    def permitting_inlines(self, model: type[models.Model]) -> list[tuple[Any, Any]]:
        return [
            found
            for found in self.inlines_of(model)
            if all(each.has_view_or_change_permission(self.request) for each in found)
        ]

    def may_view(self, model: type[models.Model]) -> bool:
        """By its admin, or by its permission where it has none."""
        if self.admins_of(model):
            return bool(self.permitting(model))
        if self.inlines_of(model):
            return bool(self.permitting_inlines(model))
        options = owner_of(model)._meta
        return bool(self.user.has_perm(f"{options.app_label}.view_{options.model_name}"))

    def fields(self, event: Any) -> Collection[str] | None:
        """The names of the fields to show of an event; None for all of them."""
        model = event.model
        if model is None:
            return None if self.is_superuser else ()
        owner = owner_of(model)
        if self.differs_by_row(owner):
            return self.fields_of(model, self.row_told(event) or owner(), is_row=True)
        if model not in self._fields:
            self._fields[model] = self.fields_of(model, owner(), is_row=False)
        return self._fields[model]

    def differs_by_row(self, owner: type[models.Model]) -> bool:
        found = self.permitting(owner)
        return len(found) > 1 or any(map(looks_at_rows, found))

    def row_told(self, event: Any) -> Any:
        """Today's row, else as it was; of a link between two rows, the one with the field."""
        row = event.object or event.instance()
        if row is None or not event.model._meta.auto_created:
            return row
        owner = owner_of(event.model)
        key = getattr(row, f"{field_of(event.model).m2m_field_name()}_id")
        return owner._base_manager.using(event.database).filter(pk=key).first()

    def fields_of(
        self, model: type[models.Model], row: models.Model, *, is_row: bool
    ) -> Collection[str] | None:
        if not self.may_view(model):
            return ()
        found = self.permitting(model)
        if inlines := self.permitting_inlines(model):
            keys = {key.name for found in inlines if (key := foreign_key(*found))}
            shown = [fields_shown(inline, self.request, None) for _, inline in inlines]
            return keys.union(*shown)
        if not found:
            hidden = secrets_of(model)
            return {field.name for field in model._meta.fields} - hidden if hidden else None
        if is_row:
            found = [each for each in found if self.may_see(each, row)]
        names = {name for each in found for name in fields_shown(each, self.request, row)}
        if model._meta.auto_created:
            return None if field_of(model).name in names else ()
        return names

    def may_see(self, model_admin: Any, row: models.Model) -> bool:
        if not model_admin.has_view_or_change_permission(self.request, row):
            return False
        rows = model_admin.get_queryset(self.request)
        # The rows of a model's only admin were looked at when the events were read.
        is_one = len(self.permitting(type(row))) == 1
        if is_one or self.is_superuser or not is_restricted(rows):
            return True
        return bool(rows.filter(pk=row.pk).exists())

    def models_seen(self) -> Iterator[type[models.Model]]:
        """The models with a trail whose events may be seen."""
        for model in apps.get_models(include_auto_created=True):
            if not model._meta.proxy and is_recorded(model) and self.may_view(model):
                yield model

    def events(self, events: Any) -> Any:
        """Those of the events that may be seen; a superuser sees all but other tenants'."""
        if self.is_superuser:
            others = RawSQL(OTHER_TENANTS, [])  # noqa: S611  # no user input
            return events.exclude(table_schema__in=others)
        connection = connections[events.db]
        seen = models.Q(pk__in=[])
        for model in self.models_seen():
            seen |= in_table(model, connection) & self.rows_of(model, events.db)
        return events.filter(seen)

    def rows_of(self, model: type[models.Model], using: str) -> models.Q:
        """Of which rows; what an admin's queryset leaves out is not shown either."""
        key, request = key_of(model), self.request
        found = [
            among(model_admin.get_queryset(request), key, using)
            for model_admin in self.permitting(model)
        ]
        for parent, inline in self.permitting_inlines(model):
            link = foreign_key(parent, inline)
            key_of_parent = in_image(link.column) if link else None
            rows = among(parent.get_queryset(request), key_of_parent, using)
            found.append(rows & among(inline.get_queryset(request), key, using))
        if not all(found):
            return models.Q()  # one of them leaves no row out
        return functools.reduce(operator.or_, found, models.Q())


def among(rows: models.QuerySet[Any], key: Any, using: str) -> models.Q:
    """Events with a key of one of the rows; all events where an admin leaves no row out."""
    if not is_restricted(rows):
        return models.Q()
    if key is None or rows.db != using:
        return models.Q(pk__in=[])
    keys = rows.order_by().annotate(audit_key=Cast("pk", models.TextField()))
    return models.Q(In(key, keys.values("audit_key").query))


def key_of(model: type[models.Model]) -> Any:
    """The key of an event's row; of a link between two rows, that of the one with the field."""
    if not model._meta.auto_created:
        return models.F("row_key")
    return in_image(field_of(model).m2m_column_name())


def foreign_key(parent: Any, inline: Any) -> Any:
    """By which an inline's rows are those of a page; None for another than to the page's key."""
    if hasattr(inline, "ct_fk_field"):
        return None
    field: Any = _get_foreign_key(parent.model, inline.model, fk_name=inline.fk_name)
    return field if field.target_field.primary_key else None


def in_image(column: str) -> Any:
    return Coalesce(KeyTextTransform(column, "after"), KeyTextTransform(column, "before"))
