"""What the code would install: from the models, and from the operations of migrations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

from ..operations import AuditTriggersOperation, InstallAuditTriggers
from ..triggers import (
    AuditTrigger,
    Stamping,
    named_triggers,
    operations_in_force,
    operations_on_disk,
    table_names,
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the code would install on a table; `schema` is None where the search path decides."""

    schema: str | None
    table: str
    stamping: Stamping
    source: str
    model: type[Model] | None = None


def model_expectations(connection: BaseDatabaseWrapper) -> Iterator[Expectation]:
    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        if options.proxy or not options.managed or options.swapped:
            continue
        triggers = named_triggers(model)
        if not triggers or not router.allow_migrate_model(connection.alias, model):
            continue
        if stamping := triggers[0].stamping(model):
            schema, table = table_names(connection.ops.quote_name(options.db_table))
            yield Expectation(schema, table, stamping, options.label, model)


def operation_expectations(connection: BaseDatabaseWrapper) -> Iterator[Expectation]:
    for source, operation in operations_in_force(connection, AuditTriggersOperation):
        yield Expectation(operation.schema, operation.table, operation.stamping, source)


def operations_of_migrations() -> Iterator[InstallAuditTriggers]:
    """What the migrations on disk install by operation, applied or not, without a query."""
    for _, operation in operations_on_disk():
        if isinstance(operation, InstallAuditTriggers):
            yield operation


def tables_of_migrations() -> set[str]:
    return {operation.table for operation in operations_of_migrations()}


def models_with_trigger() -> set[str]:
    """The lower-case labels of models to which some migration on disk gives an `AuditTrigger`."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    found = set()
    for (app_label, _), migration in loader.disk_migrations.items():
        for operation in migration.operations:
            given = [getattr(operation, "constraint", None)]
            if isinstance(options := getattr(operation, "options", None), dict):
                given += options.get("constraints") or ()
            if any(isinstance(entry, AuditTrigger) for entry in given):
                name = getattr(operation, "model_name", None) or getattr(operation, "name", "")
                found.add(f"{app_label}.{name}".lower())
    return found


def models_of_migrations() -> dict[str, bool]:
    """Whether the migrations on disk give a model an `AuditTrigger`, by its lower-case label."""
    state = MigrationLoader(None, ignore_no_migrations=True).project_state()
    return {
        f"{app_label}.{model_name}": any(
            isinstance(entry, AuditTrigger) for entry in model.options.get("constraints", ())
        )
        for (app_label, model_name), model in state.models.items()
    }
