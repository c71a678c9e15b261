"""People, and what happened to a row, in the APIs of Django REST framework."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Collection
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.fields import SkipField
from rest_framework.pagination import LimitOffsetPagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response

from ..models import AuditEvent
from ..people import name_of, names_of
from ..trail import Change, Unreadable, trail_of

#: What the framework writes as JSON, in a way of its own or in JSON's.
PLAIN: Final = (
    *(type(None), bool, int, str, uuid.UUID),
    *(datetime.date, datetime.time, datetime.timedelta),
)


class PersonField(serializers.Field):  # type: ignore[misc]  # the framework has no types
    """Who is behind a label, read-only: `{"label": "17", "name": "Amara Okafor"}`::

        class InvoiceSerializer(serializers.ModelSerializer):
            created_by = PersonField()
            updated_by = PersonField(as_name=True)  # "Amara Okafor"

    The people of a list are asked for in one query for each such field.
    """

    def __init__(self, *, as_name: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "read_only": True})
        self.as_name = as_name
        self._rows: Any = None
        self._names: dict[str, str] = {}

    def to_representation(self, label: str) -> Any:
        name = self._names_in_list().get(label) or name_of(label)
        return name if self.as_name else {"label": label, "name": name}

    def _names_in_list(self) -> dict[str, str]:
        """The names of all rows of the list that is shown; none where it is a single row."""
        shown = self.parent.parent
        rows = shown.instance if isinstance(shown, serializers.ListSerializer) else None
        # What can be read only once is left to the serializer.
        if rows is not self._rows and isinstance(rows, (list, tuple, QuerySet)):
            self._rows, self._names = rows, names_of(self._label_of(row) for row in rows)
        return self._names

    def _label_of(self, row: Any) -> str | None:
        try:
            label: str | None = self.get_attribute(row)
        except SkipField:
            return None
        return label


class AuditEventSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    """One event, read-only.

    `actor` is `{"label": "17", "name": "Amara Okafor"}`; `changes` a list of `{"field",
    "verbose_name", "before", "after", "before_display", "after_display"}`. With `fields` in the
    serializer's context, the names of those to show, what else changed is counted in
    `fields_not_shown`. The people and the rows that a list names are asked for together.
    """

    actor = serializers.SerializerMethodField()
    changes = serializers.SerializerMethodField()
    fields_not_shown = serializers.SerializerMethodField()
    reason = serializers.CharField(read_only=True)
    on_behalf_of = serializers.CharField(read_only=True)
    source = serializers.CharField(read_only=True)
    request_id = serializers.CharField(read_only=True)

    class Meta:
        model = AuditEvent
        fields = (
            *("id", "recorded_at", "action", "table_schema", "table_name", "row_key", "actor"),
            *("reason", "on_behalf_of", "source", "request_id", "changes", "fields_not_shown"),
        )
        read_only_fields = fields

    def get_actor(self, event: AuditEvent) -> dict[str, str]:
        return {"label": event.actor, "name": event.person}

    def get_changes(self, event: AuditEvent) -> list[dict[str, Any]]:
        return [
            {
                "field": change.field,
                "verbose_name": change.verbose_name,
                "before": plain_value(change.before, change.before_display),
                "after": plain_value(change.after, change.after_display),
                "before_display": change.before_display,
                "after_display": change.after_display,
            }
            for change in self._shown(event)
        ]

    def get_fields_not_shown(self, event: AuditEvent) -> int:
        return len(event.changes()) - len(self._shown(event))

    def _shown(self, event: AuditEvent) -> list[Change]:
        names: Collection[str] | None = self.context.get("fields")
        return [change for change in event.changes() if names is None or change.field in names]


def plain_value(value: Any, display: str) -> Any:
    """What JSON can hold of a value; of what it cannot, the text that people see."""
    if isinstance(value, Unreadable):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain_value(item, str(item)) for item in value]
    if isinstance(value, dict):
        return {str(key): plain_value(item, str(item)) for key, item in value.items()}
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, decimal.Decimal):
        return str(value)  # as a number it would lose digits
    return value if isinstance(value, PLAIN) else display


class TrailPagination(PageNumberPagination):  # type: ignore[misc]
    page_size = 50


class TrailMixin:
    """For a viewset of a model with a trail: `GET …/{pk}/trail/`, newest first, by the page::

        class InvoiceViewSet(TrailMixin, viewsets.ModelViewSet):
            queryset = Invoice.objects.all()
            serializer_class = InvoiceSerializer

    Who may retrieve a row may read its trail: the viewset's permissions and queryset decide, and
    its action is named `trail`. Of the fields it shows those that the viewset's serializer shows of
    a row; `trail_fields = ("number", "amount")` names others, `"__all__"` shows all of them. Pages
    are the viewset's own, by number or by offset, else of 50 events.
    """

    trail_fields: ClassVar[Collection[str] | None] = None

    @action(detail=True, methods=["get"], url_path="trail")  # type: ignore[untyped-decorator]
    def trail(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        paginator, events = self.paginator, None
        # A cursor follows the order of the viewset's rows.
        if isinstance(paginator, (PageNumberPagination, LimitOffsetPagination)):
            events = paginator.paginate_queryset(trail_of(row), request, view=self)
        if events is None:
            paginator = TrailPagination()
            events = paginator.paginate_queryset(trail_of(row), request, view=self)
        context = {**self.get_serializer_context(), "fields": self.get_trail_fields(row)}
        shown = AuditEventSerializer(events, many=True, context=context)
        return paginator.get_paginated_response(shown.data)

    def get_trail_fields(self: Any, row: Any) -> Collection[str] | None:
        """The names of the fields of a row that may be seen; None for all of them."""
        if self.trail_fields == "__all__":
            return None
        if self.trail_fields is not None:
            return set(self.trail_fields)
        # One that writes its own answer names no fields.
        fields = getattr(self.get_serializer(row), "fields", {})
        # `customer.name` shows less of a customer than its text may.
        names = {field.source for field in fields.values() if not field.write_only}
        return names | {field.name for field in row._meta.pk_fields}
