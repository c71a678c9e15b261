"""Models made as if their module had just been imported, and the migrations between them."""

from __future__ import annotations

from typing import Any

from django.db import connection, migrations, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter

APP = "trailapp"


def define(name: str, *bases: type, meta: dict[str, Any] | None = None, **body: Any) -> type:
    """Inside `isolate_apps`."""
    options = {"app_label": APP, **(meta or {})}
    return type(
        name,
        bases or (models.Model,),
        {
            "__module__": "tests.trail.trailapp.models",
            "Meta": type("Meta", (), options),
            "__str__": lambda self: str(self.pk),
            **body,
        },
    )


def state_of(*model_classes: type[models.Model]) -> ProjectState:
    state = ProjectState()
    for model in model_classes:
        state.add_model(ModelState.from_model(model))
    return state


class SilentQuestioner(MigrationQuestioner):
    """Takes what could be a rename for one."""

    def ask_initial(self, app_label: str) -> bool:
        return True

    def ask_rename(self, *args: Any) -> bool:
        return True

    def ask_rename_model(self, *args: Any) -> bool:
        return True


def migration_between(before: ProjectState, after: ProjectState) -> migrations.Migration:
    """What makemigrations writes, read back from its text."""
    detector = MigrationAutodetector(before.clone(), after.clone(), SilentQuestioner())
    changes = dict(detector.changes(MigrationGraph()))
    if not changes:
        return migrations.Migration("empty", APP)
    (migration,) = changes[APP]
    namespace: dict[str, Any] = {}
    exec(MigrationWriter(migration).as_string(), namespace)  # noqa: S102
    return namespace["Migration"](migration.name, APP)


def kinds_of(migration: migrations.Migration) -> list[str]:
    return [type(operation).__name__ for operation in migration.operations]


def migrate(before: ProjectState, after: ProjectState) -> migrations.Migration:
    """Forwards, after which nothing is left to write."""
    migration = migration_between(before, after)
    with connection.schema_editor() as editor:
        reached = migration.apply(before.clone(), editor)
    assert kinds_of(migration_between(reached, after)) == []
    return migration


def unmigrate(migration: migrations.Migration, before: ProjectState) -> None:
    with connection.schema_editor() as editor:
        migration.unapply(before.clone(), editor)


def optimized(*steps: migrations.Migration) -> list[migrations.operations.base.Operation]:
    return MigrationOptimizer().optimize(
        [operation for step in steps for operation in step.operations], APP
    )
