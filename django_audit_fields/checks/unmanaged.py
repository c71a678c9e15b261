"""Checks of models that Django does not manage: no migration of theirs puts anything on a table.

Only the database can tell a table from a view, which takes neither triggers nor a trail.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections, models, router

from ..drift import tables_of_migrations
from ..trail import TRAIL_TRIGGERS, tables_of_operations
from ..triggers import (
    ROLES,
    TRIGGER_NAMES,
    audit_fields_of,
    table_names,
    tables_without_trigger,
)
from .models import audited_models
from .trails import models_with_trail


class Bare(NamedTuple):
    """An unmanaged model whose table is there, and lacks what no migration on disk gives it."""

    model: type[models.Model]
    alias: str
    schema: str | None
    table: str

    @property
    def migration(self) -> str:
        """Where the operation has to stand: it passes over a database that routers keep it from."""
        if router.allow_migrate(self.alias, self.model._meta.app_label):
            return "a migration"
        return f"a migration of an app that the routers let migrate {self.alias!r}"


Find: TypeAlias = Callable[[], set[str]]


def bare_tables(
    candidates: Iterator[type[models.Model]],
    databases: Collection[str] | None,
    triggers: Collection[str],
    find_covered: Find,
) -> Iterator[Bare]:
    unmanaged = [model for model in candidates if not model._meta.managed]
    aliases = [alias for alias in databases or () if connections[alias].vendor == "postgresql"]
    # The operation may be yet to run.
    covered = find_covered() if unmanaged and aliases else set()
    for alias in aliases:
        quote = connections[alias].ops.quote_name
        places = {
            model: quote(model._meta.db_table)
            for model in unmanaged
            if router.db_for_write(model) == alias or router.allow_migrate_model(alias, model)
        }
        bare = tables_without_trigger(connections[alias], set(places.values()), triggers)
        for model, place in places.items():
            schema, table = table_names(place)
            if place in bare and table not in covered:
                yield Bare(model, alias, schema, table)


@register(Tags.database)
def check_unmanaged(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """W003: a table that no migration of Django's makes, and that none gives a trigger."""
    found = bare_tables(audited_models(app_configs), databases, TRIGGER_NAMES, tables_of_migrations)
    return [
        Warning(
            f"{bare.model._meta.label} is not managed: no migration installs its trigger.",
            hint=f"Add InstallAuditTriggers({_arguments(bare)}) to {bare.migration}.",
            obj=bare.model,
            id="django_audit_fields.W003",
        )
        for bare in found
    ]


def _arguments(bare: Bare) -> str:
    fields = audit_fields_of(bare.model)
    columns = {role: str(fields[role].column) if role in fields else None for role in ROLES}
    named: dict[str, str | None] = {} if bare.schema is None else {"schema": bare.schema}
    named |= {role: column for role, column in columns.items() if column != role}
    return ", ".join([repr(bare.table), *(f"{name}={value!r}" for name, value in named.items())])


@register(Tags.database)
def check_unmanaged_trails(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """W021: Django makes no migration for the constraint of a model that it does not manage."""
    found = bare_tables(
        models_with_trail(app_configs), databases, TRAIL_TRIGGERS, tables_of_operations
    )
    return [
        Warning(
            f"{bare.model._meta.label} is not managed: no migration installs its trail.",
            hint=f"Add InstallAuditTrail({bare.table!r}"
            f"{f', schema={bare.schema!r}' if bare.schema else ''}) to {bare.migration}.",
            obj=bare.model,
            id="django_audit_fields.W021",
        )
        for bare in found
    ]
