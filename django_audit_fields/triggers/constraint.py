"""AuditTrigger, the triggers of a model's table as a constraint: returns SQL, opens no cursor.

Migrations name `AuditTrigger` and its arguments, so neither its path nor their meaning may change.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement, Table
from django.db.models import BaseConstraint, Field, Model
from django.db.models.signals import class_prepared

from ..conf import NOBODY_MODES, audit_settings
from .expressions import TIME_DEFAULT_SQL, ActorDefault, TimeDefault
from .quoting import digest, shorten, table_names
from .rules import LABEL_ROLES, ROLES, TIME_ROLES, Stamping
from .sql import AuditStatement, install_sql, remove_sql

#: Where migrations find it.
PATH: Final = "django_audit_fields.triggers.AuditTrigger"


def column_facts(field: Field[Any, Any]) -> tuple[Any, ...]:
    """What a trigger depends on: PostgreSQL refuses to alter the type of a column that it names.

    Django alters the type along with a comment, too, and from and to a class with a type of its
    own. Facts are only ever appended, None by default: migrations hold them.
    """
    kind = type(field)
    has_own_type = not kind.db_type.__module__.startswith("django.")
    facts = [
        field.column,
        field.get_internal_type(),
        field.max_length,
        getattr(field, "db_collation", None),
        getattr(field, "db_comment", None),
        f"{kind.__module__}.{kind.__qualname__}" if has_own_type else None,
    ]
    while facts[-1] is None:
        facts.pop()
    return tuple(facts)


def audit_fields_of(model: type[Model]) -> dict[str, Field[Any, Any]]:
    """The audit fields that the model's own table holds, by role."""
    fields = {field.name: field for field in model._meta.local_fields}
    return {role: fields[role] for role in ROLES if role in fields}


def column_defaults(
    model: type[Model], stamping: Stamping, roles: Sequence[str] = ROLES
) -> dict[str, str]:
    """Column to default, as it has to be once the triggers are there; those that are ours."""
    return {
        str(field.column): TIME_DEFAULT_SQL if role in TIME_ROLES else stamping.default_sql
        for role, field in audit_fields_of(model).items()
        if role in roles and isinstance(field.db_default, (ActorDefault, TimeDefault))
    }


class AuditTrigger(BaseConstraint):
    """The triggers of a model's table, as Django's autodetector sees them.

    strict, nobody: None leaves it to the settings, which never enter a migration.
    columns: what the triggers depend on, by role; bound when the model's class is prepared.
    """

    def __init__(
        self,
        *,
        name: str,
        strict: bool | None = None,
        nobody: str | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        if strict is not None and not isinstance(strict, bool):
            raise TypeError(f"AuditTrigger's strict is True, False or None, not {strict!r}.")
        if nobody is not None and nobody not in NOBODY_MODES:
            raise ValueError(
                f"AuditTrigger's nobody is one of {', '.join(map(repr, NOBODY_MODES))} or None, "
                f"not {nobody!r}."
            )
        super().__init__(name=name)
        self.strict = strict
        self.nobody = nobody
        self.columns = {role: tuple(facts) for role, facts in (columns or {}).items()}

    def bind(self, model: type[Model]) -> None:
        self.columns = {role: column_facts(field) for role, field in audit_fields_of(model).items()}

    def stamping(self, model: type[Model]) -> Stamping | None:
        """What the triggers do, None when the model's table holds none of the columns."""
        columns = {role: facts[0] for role, facts in self.columns.items()} or {
            role: field.column for role, field in audit_fields_of(model).items()
        }
        return Stamping.of(columns, strict=self.strict, nobody=self.nobody) if columns else None

    def create_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> Statement | None:
        stamping = self.stamping(model)
        vendor = schema_editor.connection.vendor
        if vendor == "mysql":
            # Django runs whatever this answers after a CREATE TABLE with parameters, None as well.
            return AuditStatement("DO 0")
        if stamping is None or vendor != "postgresql":
            return None
        table = Table(model._meta.db_table, schema_editor.quote_name)
        # The function goes where the table does.
        schema, _ = table_names(str(table))
        # Django's own are for rows older than the columns, and stamp nobody with the fallback.
        roles = TIME_ROLES if stamping.nobody == "fallback" else ROLES
        defaults = column_defaults(model, stamping, roles)
        sql = install_sql("\0", stamping, schema=schema, defaults=defaults)
        # The statement fills in the table last, when it runs, and reads `%` as its own.
        return AuditStatement(sql.replace("%", "%%").replace("\0", "%(table)s"), table=table)

    def constraint_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> None:
        """Nothing inside CREATE TABLE: the table has to be there first."""
        if statement := self.create_sql(model, schema_editor):
            schema_editor.deferred_sql.append(statement)

    def remove_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> str | None:
        stamping = self.stamping(model)
        if stamping is None or schema_editor.connection.vendor != "postgresql":
            return None
        table = model._meta.db_table
        # Deferred by a CreateModel of the same migration, it would run after this.
        deferred = getattr(schema_editor, "deferred_sql", [])  # there once the editor is entered
        deferred[:] = [
            statement
            for statement in deferred
            if not (isinstance(statement, AuditStatement) and statement.references_table(table))
        ]
        roles = () if stamping.nobody == "fallback" else LABEL_ROLES
        plain = column_defaults(model, stamping.with_fallback(), roles)
        # Django merges parameters into it, and would read a name's `%` as one of them.
        return remove_sql(schema_editor.quote_name(table), plain).replace("%", "%%")

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """A row is never invalid: what it lacks, the trigger fills."""

    def check(self, model: type[Model], connection: Any) -> list[CheckMessage]:
        if named_triggers(model)[0] is not self:
            return [
                Error(
                    f"{model._meta.label} has more than one AuditTrigger.",
                    hint="Each replaces the triggers of the one before. Leave one of them.",
                    obj=model,
                    id="django_audit_fields.E012",
                )
            ]
        if audit_fields_of(model):
            return []
        return [
            Error(
                f"{model._meta.label} has an AuditTrigger and none of the fields it fills.",
                hint="Derive it from TimestampModel, or take the trigger off.",
                obj=model,
                id="django_audit_fields.E011",
            )
        ]

    # Its name up to Django 5.2.
    _check = check

    def deconstruct(self) -> Any:
        _, args, kwargs = super().deconstruct()
        for name in ("strict", "nobody"):
            if (value := getattr(self, name)) is not None:
                kwargs[name] = value
        if self.columns:
            kwargs["columns"] = dict(self.columns)
        return PATH, args, kwargs

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AuditTrigger):
            return bool(self.deconstruct() == other.deconstruct())
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as Django's own constraints: compared by value

    def __repr__(self) -> str:
        own = {"strict": self.strict, "nobody": self.nobody}
        rules = "".join(f" {name}={value!r}" for name, value in own.items() if value is not None)
        return f"<{type(self).__qualname__}: name={self.name!r}{rules}>"


def default_name(model: type[Model]) -> str:
    """A name that no other model of the project gets.

    App label and model name are told apart by the last underscore, unless the latter has one.
    """
    options = model._meta
    name = f"{options.app_label}_{options.model_name}_audit"
    if "_" in str(options.model_name):
        name += f"_{digest(options.label_lower)}"
    return shorten(name)


def named_triggers(model: type[Model]) -> list[AuditTrigger]:
    return [entry for entry in model._meta.constraints if isinstance(entry, AuditTrigger)]


def bind_named_triggers(model: type[Model]) -> None:
    """Tell the triggers that a model names about its columns.

    Drop them where the columns are another table's: a proxy, or the child table of multi-table
    inheritance, may inherit the `Meta` of an abstract base.
    """
    named = named_triggers(model)
    if not named:
        return
    options = model._meta
    if audit_fields_of(model):
        for trigger in named:
            trigger.bind(model)
    elif options.proxy or any(audit_fields_of(parent) for parent in options.all_parents):
        set_constraints(
            model, [entry for entry in options.constraints if not isinstance(entry, AuditTrigger)]
        )


def attach_trigger(model: type[Model]) -> None:
    """Give the model's table its trigger, unless the model names one itself."""
    options = model._meta
    bind_named_triggers(model)
    if (
        options.abstract
        or options.proxy
        or not options.managed
        or named_triggers(model)
        or not audit_fields_of(model)
    ):
        return
    trigger = AuditTrigger(name=default_name(model))
    trigger.bind(model)
    set_constraints(model, [*options.constraints, trigger])


def set_constraints(model: type[Model], constraints: list[BaseConstraint]) -> None:
    model._meta.constraints = constraints
    # The autodetector reads only those options that `Meta` names.
    model._meta.original_attrs["constraints"] = constraints


_triggers: weakref.WeakKeyDictionary[type[Model], AuditTrigger | None] = weakref.WeakKeyDictionary()


def trigger_of(model: type[Model]) -> AuditTrigger | None:
    """The trigger in force for a model: its own, or that of the model whose table it shares."""
    try:
        return _triggers[model]
    except KeyError:
        concrete = model._meta.concrete_model or model
        owners = (concrete, *concrete._meta.all_parents)
        found = next((trigger for owner in owners for trigger in named_triggers(owner)), None)
        _triggers[model] = found
        return found


@cache
def _models_naming_session_user() -> bool:
    triggers: Iterable[AuditTrigger] = (
        trigger for model in apps.get_models() for trigger in named_triggers(model)
    )
    return any(trigger.nobody == "session_user" for trigger in triggers)


def any_model_stamps_session_user() -> bool:
    """Whether some table would stamp the database role on a row of Django's that names nobody."""
    if audit_settings().nobody == "session_user":
        return True
    return apps.models_ready and _models_naming_session_user()


def prepare_model(*, sender: type[Model], **kwargs: Any) -> None:
    _models_naming_session_user.cache_clear()
    # A migration's models carry what the migration says.
    if sender.__module__ != "__fake__":
        bind_named_triggers(sender)


class_prepared.connect(prepare_model, dispatch_uid="django_audit_fields.prepare_model")
