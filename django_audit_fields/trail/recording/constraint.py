"""AuditTrail, the trail of a model's table as a constraint: returns SQL.

Migrations name `AuditTrail` and its arguments: neither its path nor their meaning may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement, Table
from django.db.models import BaseConstraint, Model

from .columns import columns_of, key_columns, link_models, virtual_columns
from .sql import LEVELS, Recording, install_sql, remove_sql
from .tables import refuse_partitions, table_facts

#: Where migrations find it.
PATH: Final = "django_audit_fields.trail.AuditTrail"


class TrailStatement(Statement):
    """Marks what is deferred for us, so that removing the constraint can call it back."""


class AuditTrail(BaseConstraint):
    """Every change of the model's table, recorded by triggers.

    exclude, mask: names of fields that are in no image, or there as `***`.
    reason: a change of a row without a reason is refused.
    level: "row", or "statement" for tables that are loaded in bulk.
    accessor, formerly, renamed: for reading only; they change nothing in the database.
    columns: what the triggers are told, by argument; bound when the model's class is prepared.
    """

    #: Read by those who carry `app.audit_context`: a model that has one wants it carried.
    wants_audit_context: ClassVar[bool] = True
    non_db_attrs = (*BaseConstraint.non_db_attrs, "accessor", "formerly", "renamed")

    def __init__(
        self,
        *,
        name: str,
        exclude: Iterable[str] = (),
        mask: Iterable[str] = (),
        reason: bool = False,
        level: str = "row",
        accessor: str = "trail",
        formerly: Iterable[str] = (),
        renamed: Mapping[str, str] | None = None,
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if not isinstance(reason, bool):
            raise TypeError(f"AuditTrail's reason is True or False, not {reason!r}.")
        if level not in LEVELS:
            raise ValueError(f"AuditTrail's level is 'row' or 'statement', not {level!r}.")
        if not (isinstance(accessor, str) and accessor.isidentifier()):
            raise ValueError(f"AuditTrail's accessor is a Python name, not {accessor!r}.")
        super().__init__(name=name)
        self.exclude = names_of("exclude", exclude)
        self.mask = names_of("mask", mask)
        self.reason = reason
        self.level = level
        self.accessor = accessor
        self.formerly = names_of("formerly", formerly)
        self.renamed = dict(renamed or {})
        self.columns = {role: tuple(found) for role, found in (columns or {}).items()}

    def bind(self, model: type[Model]) -> None:
        self.columns = {
            role: found
            for role, found in (
                ("key", key_columns(model)),
                ("exclude", columns_of(model, self.exclude)),
                ("mask", columns_of(model, self.mask)),
                ("virtual", virtual_columns(model)),
            )
            if found
        }

    def recording(self) -> Recording:
        columns = self.columns
        return Recording(
            key=tuple(columns.get("key", ())),
            hidden=(*columns.get("exclude", ()), *columns.get("virtual", ())),
            masked=tuple(columns.get("mask", ())),
            reason=self.reason,
            level=self.level,
        )

    def link_recording(self, through: type[Model]) -> Recording:
        """That of an auto-created many-to-many table of the model."""
        return Recording(key=key_columns(through), reason=self.reason, level=self.level)

    def recordings(self, model: type[Model]) -> Iterator[tuple[type[Model], Recording]]:
        """The model's own table, and those of its many-to-many fields."""
        yield model, self.recording()
        for through in link_models(model):
            yield through, self.link_recording(through)

    def create_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> Statement | None:
        return self.statement(list(self.recordings(model)), schema_editor)

    def constraint_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> None:
        """Nothing inside CREATE TABLE: the table has to be there first.

        Django makes the many-to-many tables after it, and asks a constraint of theirs.
        """
        if statement := self.statement([(model, self.recording())], schema_editor):
            schema_editor.deferred_sql.append(statement)

    def statement(
        self,
        recordings: Sequence[tuple[type[Model], Recording]],
        schema_editor: BaseDatabaseSchemaEditor,
    ) -> Statement | None:
        vendor = schema_editor.connection.vendor
        if vendor == "mysql":
            # Django runs whatever this answers after a CREATE TABLE with parameters, None as well.
            return TrailStatement("DO 0")
        if vendor != "postgresql":
            return None
        parts = {}
        texts = []
        for place, (model, recording) in enumerate(recordings):
            table = Table(model._meta.db_table, schema_editor.quote_name)
            if (
                recording.level == "statement"
                and not schema_editor.collect_sql
                and (facts := table_facts(schema_editor.connection, str(table)))
            ):
                refuse_partitions(facts)
            parts[f"table{place}"] = table
            # The statement fills in the table last, when it runs, and reads `%` as its own.
            text = install_sql("\0", recording).replace("%", "%%")
            texts.append(text.replace("\0", f"%(table{place})s"))
        return TrailStatement("\n".join(texts), **parts)

    def remove_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> str | None:
        if schema_editor.connection.vendor != "postgresql":
            return None
        tables = [model._meta.db_table, *(link._meta.db_table for link in link_models(model))]
        # Deferred by a CreateModel of the same migration, it would run after this.
        deferred = getattr(schema_editor, "deferred_sql", [])  # there once the editor is entered
        deferred[:] = [
            statement
            for statement in deferred
            if not (
                isinstance(statement, TrailStatement)
                and any(statement.references_table(table) for table in tables)
            )
        ]
        names = self.recording().trigger_names
        sql = "\n".join(remove_sql(schema_editor.quote_name(table), names) for table in tables)
        # Django merges parameters into it, and would read a name's `%` as one of them.
        return sql.replace("%", "%%")

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """A row is never invalid: what happens to it is recorded."""

    def deconstruct(self) -> Any:
        _, args, kwargs = super().deconstruct()
        for name, default in DEFAULTS.items():
            if (value := getattr(self, name)) != default:
                kwargs[name] = value
        if self.columns:
            kwargs["columns"] = dict(self.columns)
        return PATH, args, kwargs

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AuditTrail):
            return bool(self.deconstruct() == other.deconstruct())
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as Django's own constraints: compared by value

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__}: name={self.name!r} level={self.level!r}>"


#: What a migration need not say.
DEFAULTS: Final[Mapping[str, Any]] = {
    "exclude": (),
    "mask": (),
    "reason": False,
    "level": "row",
    "accessor": "trail",
    "formerly": (),
    "renamed": {},
}


def names_of(argument: str, given: Iterable[str], *, of: str = "AuditTrail") -> tuple[str, ...]:
    if isinstance(given, str):
        raise TypeError(f"{of}'s {argument} is a list of names, not the text {given!r}.")
    names = tuple(given)
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"{of}'s {argument} is a list of names, as text, not {names!r}.")
    return names
