"""What a programmer writes for each kind of work; a lane overrides what its package wants."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import models
from django.utils import timezone

NAMES = [f"order {number}" for number in range(10_000)]


class Business(models.Model):
    """The columns that all lanes share."""

    name = models.CharField(max_length=100)
    amount = models.IntegerField(default=0)
    note = models.TextField(default="")

    class Meta:
        abstract = True


class Lane:
    model: type[models.Model]
    #: What it costs in tables besides the model's own: emptied with it.
    further_tables: Iterable[str] = ()
    #: Fields that `save(update_fields=…)` has to name besides the changed one.
    stamped_fields: tuple[str, ...] = ()
    #: The kinds of work that the package neither stamps nor records.
    unseen: frozenset[str] = frozenset()
    #: The user, whom the lane's models may want to know.
    user: Any = None
    #: In the same process a model that has nothing of the package, and what takes the package's
    #: hands off while that one is written.
    plain: Lane | None = None
    without_package: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext

    def prepare(self) -> None:
        """After `migrate`."""

    def empty_further(self) -> None:
        """Empty what a TRUNCATE of `further_tables` cannot."""

    def acting(self) -> AbstractContextManager[Any]:
        """Say who is acting, once for many writes."""
        return contextlib.nullcontext()

    def build(self, number: int) -> Any:
        return self.model(name=NAMES[number % 10_000], amount=number, note="as ordered")

    def fill(self, orders: list[Any]) -> None:
        """Have rows to work on, off the clock."""
        self.model._default_manager.bulk_create(orders)

    def change_all(self, orders: list[Any]) -> None:
        for order in orders:
            order.amount += 1

    def create(self, order: Any) -> None:
        order.save()

    def save(self, order: Any) -> None:
        order.save()

    def delete(self, order: Any) -> None:
        order.delete()

    def delete_all(self) -> None:
        self.model._default_manager.all().delete()

    def save_amount(self, order: Any) -> None:
        order.save(update_fields=["amount", *self.stamped_fields])

    def bulk_create(self, orders: list[Any]) -> None:
        self.model._default_manager.bulk_create(orders)

    def bulk_update(self, orders: list[Any]) -> None:
        self.model._default_manager.bulk_update(orders, ["amount", *self.stamped_fields])

    def update(self) -> None:
        self.model._default_manager.update(amount=models.F("amount") + 1)

    def build_in_request(self, request: Any, number: int) -> Any:
        return self.build(number)

    def tables(self) -> list[str]:
        return [self.model._meta.db_table, *self.further_tables]


class Columns(models.Model):
    """The four columns, plain."""

    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    created_by = models.CharField(max_length=50)
    updated_by = models.CharField(max_length=50)

    class Meta:
        abstract = True


class LaneByHand(Lane):
    """Sets `Columns` at each write: that is part of the work, and on the clock."""

    stamped_fields = ("updated_at", "updated_by")

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model

    @contextmanager
    def acting(self) -> Iterator[None]:
        # Once for many writes, as in the other lanes.
        self.label = str(self.user.pk)
        yield

    def build_in_request(self, request: Any, number: int) -> Any:
        order = super().build(number)
        order.created_at = order.updated_at = timezone.now()
        order.created_by = order.updated_by = str(request.user.pk)
        return order

    def fill(self, orders: list[Any]) -> None:
        with self.acting():
            self.bulk_create(orders)

    def create(self, order: Any) -> None:
        order.created_at = order.updated_at = timezone.now()
        order.created_by = order.updated_by = self.label
        order.save()

    def save(self, order: Any) -> None:
        order.updated_at = timezone.now()
        order.updated_by = self.label
        order.save()

    def save_amount(self, order: Any) -> None:
        order.updated_at = timezone.now()
        order.updated_by = self.label
        order.save(update_fields=["amount", "updated_at", "updated_by"])

    def bulk_create(self, orders: list[Any]) -> None:
        now = timezone.now()
        for order in orders:
            order.created_at = order.updated_at = now
            order.created_by = order.updated_by = self.label
        self.model._default_manager.bulk_create(orders)

    def bulk_update(self, orders: list[Any]) -> None:
        now = timezone.now()
        for order in orders:
            order.updated_at = now
            order.updated_by = self.label
        super().bulk_update(orders)

    def update(self) -> None:
        self.model._default_manager.update(
            amount=models.F("amount") + 1,
            updated_at=timezone.now(),
            updated_by=self.label,
        )
