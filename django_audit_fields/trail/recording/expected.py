"""Which tables the project wants a trail of, by its models and by its migrations' operations."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import ProgrammingError, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.utils import NotSupportedError

from ...triggers import operations_in_force, operations_on_disk, table_names
from .attach import trails_of
from .operation import AuditTrailOperation
from .sql import Recording
from .tables import TableFacts, facts_of


@dataclass(frozen=True, slots=True)
class Expectation:
    """A trail that the code wants; `schema` is None where the search path decides."""

    schema: str | None
    table: str
    #: The model's label, or the migration.
    source: str
    trail: Recording | AuditTrailOperation

    def recording(self, facts: TableFacts) -> Recording | None:
        """What is to be recorded of a table; None when the table is not the one that is meant.

        It may be another of that name, or the migration that changes it is still to come.
        """
        if isinstance(self.trail, Recording):
            return self.trail if facts.columns.issuperset(self.trail.key) else None
        try:
            return self.trail.recording(facts)
        except (ProgrammingError, NotSupportedError):
            return None


def expectations(connection: BaseDatabaseWrapper) -> list[Expectation]:
    return [*of_models(connection), *of_operations(connection)]


def of_models(connection: BaseDatabaseWrapper) -> Iterator[Expectation]:
    for model in apps.get_models():
        options = model._meta
        if options.proxy or not options.managed:
            continue
        for trail in trails_of(model)[:1]:
            if router.allow_migrate_model(connection.alias, model):
                for owner, recording in trail.recordings(model):
                    names = table_names(connection.ops.quote_name(owner._meta.db_table))
                    yield Expectation(*names, owner._meta.label, recording)


def of_operations(connection: BaseDatabaseWrapper) -> Iterator[Expectation]:
    for source, operation in operations_in_force(connection, AuditTrailOperation):
        yield Expectation(operation.schema, operation.table, source, operation)


def tables_of_operations() -> set[str]:
    """The tables that the migrations on disk give a trail to, applied or not."""
    return {operation.table for operation in installing_operations()}


def installing_operations() -> Iterator[AuditTrailOperation]:
    for _, operation in operations_on_disk():
        if isinstance(operation, AuditTrailOperation) and operation.installs:
            yield operation


@functools.cache
def reasons_by_table() -> dict[str, bool]:
    """Of the tables that migrations give a trail to: whether a change needs a reason."""
    found: dict[str, bool] = {}
    for operation in installing_operations():
        found[operation.table] = found.get(operation.table, False) or operation.reason
    return found


def rules_of(model: type[Model]) -> Iterator[bool]:
    """For each table of the model that has a trail: whether a change of it needs a reason."""
    concrete = model._meta.concrete_model or model
    for table in (concrete, *concrete._meta.get_parent_list()):
        trails = trails_of(table)
        if trails:
            yield trails[0].reason
        elif table._meta.db_table in reasons_by_table():
            yield reasons_by_table()[table._meta.db_table]


def is_recorded(model: type[Model]) -> bool:
    """Whether the rows of the model have a trail, by its own rules or by a migration."""
    return any(True for _ in rules_of(model))


def needs_reason(model: type[Model]) -> bool:
    """Whether a change of a row of the model needs a reason."""
    return any(rules_of(model))


TABLES_QUERY = """
    SELECT nspname::text, relname::text, pg_catalog.format('%%I.%%I', nspname, relname),
        pg_catalog.pg_table_is_visible(pg_class.oid) OR EXISTS (
            SELECT FROM pg_catalog.pg_class AS recorder
            WHERE recorder.relnamespace = pg_class.relnamespace
                AND recorder.relname = 'django_migrations')
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND relname = ANY(%s)
    ORDER BY nspname, relname
"""


@dataclass(frozen=True, slots=True)
class ExpectedTable:
    """A table that is there, and what is to be recorded of it."""

    schema: str
    name: str
    facts: TableFacts
    recording: Recording
    source: str

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


def expected_tables(connection: BaseDatabaseWrapper) -> list[ExpectedTable]:
    """The tables of a database that are to have a trail, a tenant's schema at a time."""
    wanted = expectations(connection)
    with connection.cursor() as cursor:
        cursor.execute(TABLES_QUERY, [sorted({entry.table for entry in wanted})])
        rows = cursor.fetchall()
    facts = facts_of(connection, [sql for _, _, sql, _ in rows])
    found: dict[str, ExpectedTable] = {}
    for schema, name, sql, is_meant in rows:
        for entry in wanted:
            is_named = entry.schema == schema if entry.schema else is_meant
            if entry.table == name and is_named and (recording := entry.recording(facts[sql])):
                found.setdefault(
                    sql, ExpectedTable(schema, name, facts[sql], recording, entry.source)
                )
    return list(found.values())
