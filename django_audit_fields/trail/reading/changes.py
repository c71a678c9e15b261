"""What changed in an event, field by field, as people read it: names are looked up together."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from django.db.models import Field, ForeignKey, Model
from django.utils import timezone
from django.utils.hashable import make_hashable
from django.utils.translation import gettext

from ...people import name_of, names_of
from ...triggers import ActorDefault
from .images import MASK, TableReader, Unreadable

if TYPE_CHECKING:
    from .events import EventReading

SCHEMAS_QUERY: Final = """
    SELECT wanted, nspname::text FROM unnest(%s::text[]) AS wanted
    JOIN pg_catalog.pg_class ON pg_class.oid = pg_catalog.to_regclass(wanted)
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
"""

#: The names of what a foreign key names: model and field, then value.
Names = dict[tuple[type[Model], str], dict[Any, str]]


@dataclass(frozen=True, slots=True)
class Change:
    """One field. For a column that no field has, its name and its value as the image has it."""

    field: str
    verbose_name: str
    before: Any
    after: Any
    before_display: str
    after_display: str


@dataclass(frozen=True, slots=True)
class Step:
    """One column before and after an event, without names."""

    column: str
    field: Field[Any, Any] | None
    before: Any
    after: Any


class Page:
    """Events that were read together: what they name is looked up once for all of them."""

    def __init__(self, events: Iterable[EventReading]) -> None:
        self.events = list(events)
        self.readers: dict[type[Model], TableReader] = {}
        self._steps: dict[int, list[Step]] | None = None
        self._names: Names = {}
        self._people: dict[str, str] = {}

    def reader(self, model: type[Model]) -> TableReader:
        if model not in self.readers:
            self.readers[model] = TableReader(model)
        return self.readers[model]

    def changes(self, event: EventReading) -> list[Change]:
        steps = self.loaded_steps()[id(event)]
        is_here = self.is_here(event)
        return [self.change(step, is_here) for step in steps]

    def person(self, event: EventReading) -> str:
        """The name of whom the event's actor stands for."""
        self.loaded_steps()
        return self._people.get(event.actor) or name_of(event.actor)

    def loaded_steps(self) -> dict[int, list[Step]]:
        if self._steps is None:
            steps = {id(each): list(self.steps(each)) for each in self.events}
            # Whom a deferred column names is asked for when it is shown.
            actors = {vars(each).get("actor") for each in self.events}
            self._people = names_of(people_in(steps.values()) | actors)
            self._names = self.find_names(steps)
            # Last: a lookup that failed is made again.
            self._steps = steps
        return self._steps

    def images(self, event: EventReading) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What is told of an event, before and after it, by the columns of its time."""
        before, after = event.before or {}, event.after or {}
        if event.action == "update":
            # It has its old values of what changed, and the whole row after it.
            after = {name: value for name, value in after.items() if name in before}
        return before, after

    def steps(self, event: EventReading) -> Iterable[Step]:
        if event.action == "truncate":
            return
        connection = connections[event.database]
        before, after = self.images(event)
        fields: Mapping[str, Field[Any, Any]] = {}
        ordered: Iterable[str] = {**before, **after}
        if model := event.model:
            reader = self.reader(model)
            before = reader.values(before, connection)
            after = reader.values(after, connection)
            fields, ordered = reader.fields, reader.ordered(before | after)
        for column in ordered:
            step = Step(column, fields.get(column), before.get(column), after.get(column))
            if not (step.before is None and step.after is None):
                yield step

    def find_names(self, steps: Mapping[int, list[Step]]) -> Names:
        """One query for each model that foreign keys name, and one for where the tables are."""
        wanted: dict[tuple[str, type[Model], str], set[Any]] = defaultdict(set)
        for event in self.events:
            for step in steps[id(event)]:
                if isinstance(step.field, ForeignKey):
                    target = named_by(step.field)
                    wanted[event.database, *target].update(keys_in(step))
        wanted = {target: keys for target, keys in wanted.items() if keys}
        self._schemas = self.find_schemas({model for _, model, _ in wanted}) if wanted else {}
        names: Names = {}
        for (using, model, attname), keys in wanted.items():
            if (using, model) in self._schemas:
                rows = model._base_manager.using(using).filter(**{f"{attname}__in": keys})
                names[model, attname] = {getattr(row, attname): str(row) for row in rows}
        return names

    def find_schemas(self, named: set[type[Model]]) -> dict[tuple[str, type[Model]], str]:
        """Where the tables of the events and of what they name are found now."""
        models = named | {event.model for event in self.events if event.model}
        found = {}
        for using in {event.database for event in self.events}:
            connection = connections[using]
            tables = {model: connection.ops.quote_name(model._meta.db_table) for model in models}
            with connection.cursor() as cursor:
                cursor.execute(SCHEMAS_QUERY, [list(tables.values())])
                schemas = dict(cursor.fetchall())
            for model, table in tables.items():
                if table in schemas:
                    found[using, model] = schemas[table]
        return found

    def is_here(self, event: EventReading) -> bool:
        """Whether the event's table is the one that the search path finds.

        Another tenant's keys would be given the names of this one's rows.
        """
        if not self._names or event.model is None:
            return False
        return self._schemas.get((event.database, event.model)) == event.table_schema

    def change(self, step: Step, is_here: bool) -> Change:
        name, verbose_name = step.column, step.column
        if step.field is not None:
            name, verbose_name = step.field.name, str(step.field.verbose_name)
        before, after = (self.display(step.field, v, is_here) for v in (step.before, step.after))
        return Change(name, verbose_name, step.before, step.after, before, after)

    def display(self, field: Field[Any, Any] | None, value: Any, is_here: bool) -> str:
        if value is None:
            return ""
        if isinstance(value, Unreadable) or value == MASK or field is None:
            return plain_display(value)
        if isinstance(field, ForeignKey):
            names = self._names.get(named_by(field))
            if names is None or not is_here:
                return f"#{value}"
            name = names.get(value)
            return str(gettext("deleted #%s")) % value if name is None else name
        if holds_label(field):
            name = self._people.get(value)
            return str(value) if name is None else name
        if field.choices:
            labels = dict(make_hashable(field.flatchoices))
            return str(labels.get(make_hashable(value), value))
        return plain_display(value)


def named_by(field: ForeignKey[Any, Any]) -> tuple[type[Model], str]:
    target: Any = field.target_field
    return field.remote_field.model, target.attname


def keys_in(step: Step) -> Iterable[Any]:
    for value in (step.before, step.after):
        if not (value is None or value == MASK or isinstance(value, Unreadable)):
            yield value


def holds_label(field: Field[Any, Any] | None) -> bool:
    """Whether it is `created_by` or `updated_by`, by their default in the database."""
    return field is not None and isinstance(field.db_default, ActorDefault)


def people_in(steps: Iterable[Sequence[Step]]) -> set[str | None]:
    return {
        label
        for each in steps
        for step in each
        if holds_label(step.field)
        for label in keys_in(step)
        if isinstance(label, str)
    }


def plain_display(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        if timezone.is_aware(value):
            value = timezone.localtime(value)
        return str(value.isoformat(" ", "seconds"))
    if isinstance(value, bytes | memoryview):
        return gettext("%s bytes") % len(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ", ".join(map(plain_display, value))
    return str(value)
