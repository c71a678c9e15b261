"""What a programmer writes for each kind of work; a lane overrides what its package wants."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from django.db import models

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

    def prepare(self) -> None:
        """After `migrate`."""

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


Timed = Callable[[Lane, int], float]
