"""Installs the schema where a project has a trail, and there only: receivers of `migrate`."""

from __future__ import annotations

import datetime
import functools
import logging
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import ProgrammingError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation
from psycopg import errors

from ...triggers import operations_on_disk
from .attach import trails_of
from .constraint import AuditTrail
from .schema import RELEASE, SCHEMA, release_in, schema_sql, structure_sql

logger = logging.getLogger("django_audit_fields")


def has_trail(using: str) -> bool:
    """Whether the project keeps a trail in this database, as its models or migrations say."""
    return any(
        trails_of(model) and router.allow_migrate_model(using, model) for model in apps.get_models()
    ) or any(router.allow_migrate(using, label) for label in apps_with_trail())


@functools.cache
def apps_with_trail() -> frozenset[str]:
    """The apps whose migrations on disk install a trail."""
    return frozenset(
        app_label for app_label, operation in operations_on_disk() if installs_trail(operation)
    )


def installs_trail(operation: Operation) -> bool:
    if getattr(operation, "installs_audit_trail", False):
        return True
    constraints = [getattr(operation, "constraint", None)]
    options = getattr(operation, "options", None)
    if isinstance(options, dict):
        constraints += options.get("constraints") or ()
    return any(isinstance(entry, AuditTrail) for entry in constraints)


def installed_release(connection: BaseDatabaseWrapper) -> int | None:
    """The release of the schema in this database, None when it has none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace"
            " WHERE nspname = %s AND EXISTS (SELECT FROM pg_catalog.pg_class"
            " WHERE relnamespace = pg_namespace.oid AND relname = 'event')",
            [SCHEMA],
        )
        row = cursor.fetchone()
    return None if row is None else release_in(row[0])


def current_role(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        return str(cursor.fetchone()[0])


def install_schema(connection: BaseDatabaseWrapper) -> None:
    """Make the schema where it is missing, and replace what an older release has made."""
    release = installed_release(connection)
    if release is not None and release >= RELEASE:
        return
    role = current_role(connection)
    sql = schema_sql(role, this_year()) if release is None else structure_sql(role)
    command = f"manage.py audit_trail sql --database {connection.alias}"
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(sql)
    except ProgrammingError as error:
        if not isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise
        if release is None:
            raise CommandError(
                f"Role {role} may not make the schema {SCHEMA}, which the trail needs: "
                f"{first_line(error)}. Have a role that may run what `{command}` prints."
            ) from error
        # What was taken out of this role's hands is not replaced but reported.
        logger.warning(
            "The trail in database %r is of an older release, and role %s may not replace it. "
            "Have a role that may run what `%s` prints.",
            connection.alias,
            role,
            command,
        )


def printed_sql(connection: BaseDatabaseWrapper) -> str:
    """All that makes the trail, for another role to run; granted to the one that is connected."""
    return schema_sql(current_role(connection), this_year())


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def this_year() -> int:
    return datetime.datetime.now(datetime.UTC).year


def install_before_migrate(*, using: str, **kwargs: Any) -> None:
    """Django lets no constraint depend on another app's migration, so this comes before all."""
    apps_with_trail.cache_clear()
    if connections[using].vendor == "postgresql" and has_trail(using):
        install_schema(connections[using])
