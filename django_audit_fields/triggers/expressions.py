"""The defaults of the columns: a label, a time."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.db.models import CharField
from django.db.models.expressions import Expression
from django.db.models.functions import Now
from django.utils.deconstruct import deconstructible

from ..conf import ACTOR_VARIABLE, audit_settings
from .quoting import quote_literal

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


@deconstructible(path="django_audit_fields.fields.ActorDefault")
class ActorDefault(Expression):
    """Who is acting, or else the fallback: what a statement that leaves the column out gets.

    The fallback is that of the settings when the SQL is made, so that no migration holds one. Other
    databases get it as a constant. Where nobody is not stamped with the fallback (`NOBODY`), the
    trigger changes the default when it is installed: only then, since rows that are older than the
    column shall get the fallback.
    """

    allowed_default = True

    def __init__(self) -> None:
        super().__init__(output_field=CharField())

    # Lists, since Django 5.2 adds the parameters to one when it alters a column.
    def as_sql(  # type: ignore[override]  # the stubs know tuples only
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[str | int]]:
        return "%s", [audit_settings().fallback]

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[str | int]]:
        # NULL before its first use in a session and '' after the transaction that set it.
        actor = f"nullif(pg_catalog.current_setting('{ACTOR_VARIABLE}', true), '')"
        # Without parameters: Django would merge them into the statement that makes the table, and
        # read a `%` in the table's name as one of them.
        fallback = quote_literal(audit_settings().fallback, without="%")
        return f"coalesce({actor}, {fallback})", []


#: What a statement that leaves a time out gets: the clock that the trigger reads, too.
TIME_DEFAULT_SQL: Final = "pg_catalog.statement_timestamp()"


@deconstructible(path="django_audit_fields.fields.TimeDefault")
class TimeDefault(Now):
    """The time of the transaction, which rows that are older than their columns get.

    Two columns that one migration adds are equal in them: nobody has edited those rows. The trigger
    changes the default to the time of the statement when it is installed, in the same migration.
    """

    def as_postgresql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[str | int]]:
        return "pg_catalog.transaction_timestamp()", []

    # Migrations that were written before this name `Now()`, which with the trigger is the same
    # default: the AlterField from one to the other runs no SQL.
    @cached_property
    def identity(self) -> tuple[Any, ...]:
        return Now().identity
