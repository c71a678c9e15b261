"""Lists filtered and searched by person, for the admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.utils.translation import gettext as _

from .people import labels_of_people, names_of

if TYPE_CHECKING:
    from django.http import HttpRequest


def named(column: str, text: str) -> models.Q:
    """Rows whose `column` holds a label like `text`, or one of a person whose name is."""
    people = models.Q((f"{column}__in", labels_of_people(text)))
    return people | models.Q((f"{column}__icontains", text))


class PersonFilter(admin.FieldListFilter):
    """A list filter by person: the people of the column by name, and a search among all users."""

    template = "admin/audit_fields/person_filter.html"

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[models.Model],
        model_admin: Any,
        field_path: str,
    ) -> None:
        self.search_parameter = f"{field_path}__person"
        super().__init__(field, request, params, model, model_admin, field_path)
        self.chosen = self._last(field_path)
        self.searched = self._last(self.search_parameter)
        self.labels = [label for label in self.find_labels(request, model_admin) if label]

    def find_labels(self, request: HttpRequest, model_admin: Any) -> list[str]:
        rows = model_admin.get_queryset(request).order_by().distinct()
        return list(rows.values_list(self.field_path, flat=True))

    def _last(self, parameter: str) -> str:
        values: Any = self.used_parameters.get(parameter) or [""]
        return str(values[-1])

    def expected_parameters(self) -> list[str | None]:
        return [self.field_path, self.search_parameter]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.chosen:
            queryset = queryset.filter((self.field_path, self.chosen))
        if self.searched:
            queryset = queryset.filter(named(self.field_path, self.searched))
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        own = self.expected_parameters()
        #: What else the page is filtered by, which a search keeps.
        self.other_parameters = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in own
            for value in values
        ]
        everybody = changelist.get_query_string(remove=own)
        is_all = not (self.chosen or self.searched)
        yield {"selected": is_all, "query_string": everybody, "display": _("All")}
        names = names_of(self.labels)
        for label in sorted(names, key=lambda label: (names[label].casefold(), label)):
            yield {
                "selected": label == self.chosen,
                "query_string": changelist.get_query_string({self.field_path: label}),
                "display": names[label],
            }
