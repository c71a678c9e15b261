"""What one event tells: `AuditEvent` is made of this and of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model, QuerySet, Value
from django.db.models.lookups import Exact

from ...actors import audit_context
from .changes import Change, Page
from .images import TableReader, Unreadable, put_values
from .places import model_of, own_tables, row_key, schema_of
from .queries import read_only
from .reverting import revert

if TYPE_CHECKING:
    import datetime


class EventReading:
    """Read-only, and told apart by `action`: insert, update, delete, truncate or baseline."""

    #: The events that were read with it.
    page: Page | None = None

    if TYPE_CHECKING:
        id: int
        recorded_at: datetime.datetime
        action: str
        table_schema: str
        table_name: str
        row_key: str | None
        actor: str
        context: dict[str, Any] | None
        before: dict[str, Any] | None
        after: dict[str, Any] | None
        _state: Any

    def __str__(self) -> str:
        row = "" if self.row_key is None else f" #{self.row_key}"
        return f"{self.action} {self.table_name}{row}"

    @property
    def told(self) -> Mapping[str, Any]:
        return self.context or {}

    @property
    def reason(self) -> str | None:
        return self.told.get("reason")

    @property
    def on_behalf_of(self) -> str | None:
        return self.told.get("on_behalf_of")

    @property
    def source(self) -> str | None:
        return self.told.get("source")

    @property
    def request_id(self) -> str | None:
        return self.told.get("request_id")

    @property
    def database(self) -> str:
        """The alias that it was read from."""
        return self._state.db or DEFAULT_DB_ALIAS

    @property
    def model(self) -> type[Model] | None:
        """The model of the table today; None where no model has it."""
        return model_of(self.table_schema, self.table_name)

    @property
    def object(self) -> Model | None:
        """Today's row, None when it is gone or in a schema that the search path does not find."""
        model = self.model
        return None if model is None else self.row_of(model)

    def row_of(self, model: type[Model], *, for_update: bool = False) -> Model | None:
        reader = TableReader(model)
        image = self.after or self.before
        if image is None or self.action == "truncate":
            return None
        values = reader.values(image, connections[self.database])
        keys = {field.attname: values.get(str(field.column)) for field in model._meta.pk_fields}
        if any(value is None or isinstance(value, Unreadable) for value in keys.values()):
            return None
        # Another tenant's row has the same key.
        is_here = Exact(schema_of(model, connections[self.database]), Value(self.table_schema))
        rows: QuerySet[Any] = model._base_manager.using(self.database)
        if for_update:
            rows = rows.select_for_update(of=("self",))
        return rows.filter(is_here, **keys).first()

    def changes(self) -> list[Change]:
        """Each field that the event changed, before and after; none for a truncate."""
        return self.own_page.changes(self)

    @property
    def person(self) -> str:
        """The name of whom `actor` stands for, as `people.name_of` has it."""
        return self.own_page.person(self)

    @property
    def own_page(self) -> Page:
        if self.page is None:
            self.page = Page([self])
        return self.page

    def instance(self) -> Model | None:
        """The unsaved instance as it was after the event; before it, for a delete.

        What the image does not hold is at its field's default, what is masked is `***`, and what
        would not fit the column today is `Unreadable`. None for a truncate, and without a model.
        """
        model = self.model
        image = self.before if self.action == "delete" else self.after
        if model is None or image is None or self.action == "truncate":
            return None
        found = model()
        found._state.db = self.database
        self.put_image(found, model, image)
        for parent in list(own_tables(model))[1:]:
            if event := self.event_of_parent(found, parent):
                self.put_image(found, parent, event.after or event.before)
        return found

    def put_image(self, instance: Model, table: type[Model], image: Mapping[str, Any]) -> None:
        reader = (self.page or Page([])).reader(table)
        put_values(instance, reader, reader.values(image, connections[self.database]))
        link: Any
        for link in table._meta.parents.values():
            if link is not None:
                # The key of the parent's part.
                setattr(instance, link.target_field.attname, getattr(instance, link.attname))

    def event_of_parent(self, instance: Model, parent: type[Model]) -> Any:
        """The last one, by then, of the row that the parent's table holds of the instance."""
        using = self.database
        key = row_key(instance, parent, using)
        events: Any = type(self)._default_manager.using(using)  # type: ignore[attr-defined]
        return events.of_row(parent, key).filter(id__lte=self.id).first()

    def revert(self, reason: str | None = None) -> Any:
        """Write the row back as it was before the event, and answer the event that this makes.

        The revert of an insert deletes the row, that of a delete makes it again. Raises
        `RevertError`, and says why, where the row has changed since or a value is not known.
        """
        with audit_context(reason=reason) if reason is not None else nullcontext():
            return revert(self)

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("saved")

    def save_base(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("saved")

    def _save_table(self, *args: Any, **kwargs: Any) -> NoReturn:
        # What `loaddata` reaches, which calls Model.save_base past any override.
        raise read_only("loaded")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only("deleted")
