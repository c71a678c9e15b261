"""A project that exists: its models, the migrations Django writes for them, and its database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, migrations, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter

APP = "adopting"


class Unattended(MigrationQuestioner):
    """As `makemigrations --noinput` answers, but a question without a default fails the test."""

    def ask_initial(self, app_label: str) -> bool:
        return True

    def ask_not_null_addition(self, *args: Any) -> Any:
        raise AssertionError(f"Django asks for a value: {args}")

    ask_auto_now_add_addition = ask_not_null_alteration = ask_not_null_addition


class History:
    """Migrations of the app `adopting`, one after the other, forwards and backwards."""

    def __init__(self) -> None:
        loader = MigrationLoader(connection)
        self.states = [loader.project_state(loader.graph.leaf_nodes("auth"))]
        self.migrations: list[migrations.Migration] = []

    @property
    def state(self) -> ProjectState:
        return self.states[-1]

    def makemigrations(self, *model_classes: type[models.Model]) -> list[Any]:
        """The operations that Django writes for these models, read back from their text."""
        wanted = self.states[0].clone()
        for model in model_classes:
            wanted.add_model(ModelState.from_model(model))
        detector = MigrationAutodetector(self.state.clone(), wanted, Unattended(dry_run=True))
        changes = detector.changes(MigrationGraph())
        operations = []
        for migration in changes.get(APP, []):
            namespace: dict[str, Any] = {}
            exec(MigrationWriter(migration).as_string(), namespace)  # noqa: S102
            operations += namespace["Migration"].operations
        return operations

    def migrate(self, *given: Any) -> None:
        """Run operations as one migration."""
        operations: list[Any] = []
        for operation in given:
            operations += operation if isinstance(operation, Sequence) else [operation]
        name = f"{len(self.migrations) + 1:04}"
        migration = type("Migration", (migrations.Migration,), {"operations": operations})(
            name, APP
        )
        with connection.schema_editor() as editor:
            self.states.append(migration.apply(self.state.clone(), editor))
        self.migrations.append(migration)

    def adopt(self, *model_classes: type[models.Model]) -> None:
        """makemigrations, migrate, and nothing left to write."""
        self.migrate(self.makemigrations(*model_classes))
        assert self.makemigrations(*model_classes) == []

    def go_back(self) -> None:
        """`migrate` to the migration before."""
        settle()
        migration = self.migrations.pop()
        self.states.pop()
        with connection.schema_editor() as editor:
            migration.unapply(self.state.clone(), editor)


def settle() -> None:
    """Check foreign keys, as a commit does: a table with pending checks cannot be altered."""
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("SET CONSTRAINTS ALL DEFERRED")


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)


def rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def columns_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {
            column.name for column in connection.introspection.get_table_description(cursor, table)
        }
