"""What the operations of migrations put on tables: read from the project's migrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from .operation import TableOperation

Kind = TypeVar("Kind", bound=TableOperation)


def flattened(operations: Iterable[Operation]) -> Iterator[Operation]:
    """With what SeparateDatabaseAndState does in the database."""
    for operation in operations:
        yield operation
        yield from flattened(getattr(operation, "database_operations", ()))


def operations_on_disk() -> Iterator[tuple[str, Operation]]:
    """Of all migrations, applied or not, without a query; with the label of their app."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    for (app_label, _), migration in loader.disk_migrations.items():
        for operation in flattened(migration.operations):
            yield app_label, operation


def operations_in_force(
    connection: BaseDatabaseWrapper, kind: type[Kind]
) -> Iterator[tuple[str, Kind]]:
    """The applied operations of a kind that were not taken back since, and their migrations."""
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    found: dict[tuple[str | None, str], tuple[str, Kind]] = {}
    seen = set()
    for leaf in sorted(loader.graph.leaf_nodes()):
        for key in loader.graph.forwards_plan(leaf):
            if key in seen or key not in loader.applied_migrations:
                continue
            seen.add(key)
            if not router.allow_migrate(connection.alias, key[0]):
                continue
            for operation in flattened(loader.graph.nodes[key].operations):
                if isinstance(operation, kind):
                    place = operation.schema, operation.table
                    found.pop(place, None)
                    if operation.installs:
                        found[place] = ".".join(key), operation
    yield from found.values()
