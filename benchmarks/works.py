"""The kinds of work, each timed in one lane; what is not the write itself is outside the clock."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import islice
from random import sample
from time import perf_counter
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, transaction
from django.test import Client

from .lane import Lane

SAVES = 100
WARMING = 20
#: Where sides take turns: so many saves of each, the first few off the clock.
SLICE = 10
SLICE_WARMING = 2
REQUESTS = 30
SELECTS = 200
BULK = 10_000
BULK_UPDATE = 2_000


class Clock:
    elapsed = 0.0
    #: Of the same work with a plain model in the same process, and of that without the package.
    installed = 0.0
    beside = 0.0

    @contextmanager
    def running(self, *, is_warm: bool = False) -> Iterator[None]:
        if not is_warm:
            gc.collect()
        start = perf_counter()
        yield
        self.elapsed += perf_counter() - start


def empty(lane: Lane) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(lane.tables())} CASCADE")
    lane.empty_further()


def vacuum(lane: Lane) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {', '.join(lane.tables())}")


def fill(lane: Lane, number: int) -> list:
    empty(lane)
    lane.fill([lane.build(n) for n in range(number)])
    vacuum(lane)
    return list(lane.model._default_manager.order_by("pk"))


def save_all(
    lane: Lane,
    clock: Clock,
    orders: list,
    block: Callable[[], AbstractContextManager],
    save: Callable[[Any], None],
) -> None:
    """Save the orders inside `block`, the first few off the clock.

    Since the last slice other processes have run, and a garbage collection: what a processor keeps
    at hand is theirs.
    """
    gc.collect()
    with lane.acting():
        with block():
            for order in orders[:WARMING]:
                save(order)
        with clock.running(is_warm=True), block():
            for order in orders[WARMING:]:
                save(order)


def insert(
    lane: Lane, clock: Clock, block: Callable[[], AbstractContextManager] = nullcontext
) -> None:
    empty(lane)
    orders = [lane.build(number) for number in range(WARMING + SAVES)]
    save_all(lane, clock, orders, block, lane.create)


def insert_in_transaction(lane: Lane, clock: Clock) -> None:
    insert(lane, clock, transaction.atomic)


def insert_each_in_transaction(lane: Lane, clock: Clock) -> None:
    empty(lane)
    orders = [lane.build(number) for number in range(WARMING + SAVES)]
    gc.collect()
    with lane.acting():
        for order in orders[:WARMING]:
            with transaction.atomic():
                lane.create(order)
        with clock.running(is_warm=True):
            for order in orders[WARMING:]:
                with transaction.atomic():
                    lane.create(order)


def update(
    lane: Lane,
    clock: Clock,
    block: Callable[[], AbstractContextManager] = nullcontext,
    *,
    some_fields: bool = False,
) -> None:
    orders = fill(lane, WARMING + SAVES)
    lane.change_all(orders)
    save_all(lane, clock, orders, block, lane.save_amount if some_fields else lane.save)


def update_in_transaction(lane: Lane, clock: Clock) -> None:
    update(lane, clock, transaction.atomic)


def update_fields(lane: Lane, clock: Clock) -> None:
    update(lane, clock, some_fields=True)


def update_fields_in_transaction(lane: Lane, clock: Clock) -> None:
    update(lane, clock, transaction.atomic, some_fields=True)


def bulk_create(lane: Lane, clock: Clock) -> None:
    empty(lane)
    orders = [lane.build(number) for number in range(BULK)]
    with lane.acting(), clock.running():
        lane.bulk_create(orders)


def bulk_update(lane: Lane, clock: Clock) -> None:
    orders = fill(lane, BULK_UPDATE)
    lane.change_all(orders)
    with lane.acting(), clock.running():
        lane.bulk_update(orders)


def update_queryset(lane: Lane, clock: Clock) -> None:
    fill(lane, BULK)
    with lane.acting(), clock.running():
        lane.update()


def update_queryset_twice_as_many(lane: Lane, clock: Clock) -> None:
    """On a connection that has made many one-row updates, whose plans it may have kept."""
    orders = fill(lane, 2 * BULK)
    with lane.acting():
        for order in orders[:WARMING]:
            lane.save(order)
        with clock.running():
            lane.update()


def delete(lane: Lane, clock: Clock) -> None:
    orders = fill(lane, WARMING + SAVES)
    save_all(lane, clock, orders, nullcontext, lane.delete)


def delete_queryset(lane: Lane, clock: Clock) -> None:
    fill(lane, BULK)
    with lane.acting(), clock.running():
        lane.delete_all()


def select(lane: Lane, clock: Clock) -> None:
    """Four columns each, so that no lane has more to fetch."""
    keys = [order.pk for order in fill(lane, SELECTS)]
    rows = lane.model._default_manager.values_list("pk", "name", "amount", "note")
    gc.collect()
    with lane.acting():
        for key in keys[:WARMING]:
            rows.get(pk=key)
        with clock.running(is_warm=True):
            for key in keys:
                rows.get(pk=key)


def select_by_sql(lane: Lane, clock: Clock) -> None:
    gc.collect()
    with lane.acting(), connection.cursor() as cursor:
        for _ in range(WARMING):
            cursor.execute("SELECT 1")
        with clock.running(is_warm=True):
            for _ in range(SELECTS):
                cursor.execute("SELECT 1")


#: An audited model, a plain one where the package is installed, and that where it is not.
Side = tuple[str, Lane, Callable[[], AbstractContextManager]]


def sides_of(lane: Lane) -> list[Side]:
    assert lane.plain is not None, lane
    lane.plain.user = lane.user
    return [
        ("elapsed", lane, nullcontext),
        ("installed", lane.plain, nullcontext),
        ("beside", lane.plain, lane.without_package),
    ]


def beside(work: Callable[[Lane, Clock], None], lane: Lane, clock: Clock) -> None:
    """The work on each side, in an order of chance."""
    for name, one, surroundings in sample(sides_of(lane), 3):
        own = Clock()
        with surroundings(), lane.acting():
            work(one, own)
        setattr(clock, name, getattr(clock, name) + own.elapsed)


def save_beside(
    way: str, block: Callable[[], AbstractContextManager], lane: Lane, clock: Clock
) -> None:
    """Saves on each side by turns, a slice each, so that all see the same states of the machine."""
    count = SAVES // SLICE * (SLICE_WARMING + SLICE)
    sides = sides_of(lane)
    orders = {}
    for _, one, _ in sides[:2]:
        if way == "create":
            empty(one)
            orders[one] = iter([one.build(number) for number in range(2 * count)])
        else:
            orders[one] = iter(fill(one, 2 * count))
    gc.collect()
    with lane.acting(), lane.plain.acting(), block():
        for _ in range(SAVES // SLICE):
            for name, one, surroundings in sample(sides, 3):
                save = getattr(one, way)
                part = list(islice(orders[one], SLICE_WARMING + SLICE))
                if way != "create":
                    one.change_all(part)
                with surroundings():
                    for order in part[:SLICE_WARMING]:
                        save(order)
                    start = perf_counter()
                    for order in part[SLICE_WARMING:]:
                        save(order)
                    taken = perf_counter() - start
                setattr(clock, name, getattr(clock, name) + taken)


@contextmanager
def _unwrapped() -> Iterator[None]:
    """In the same process and on the same connection, so that nothing else differs."""
    wrappers = connection.execute_wrappers
    connection.execute_wrappers = []
    try:
        yield
    finally:
        connection.execute_wrappers = wrappers


def select_beside(lane: Lane, clock: Clock) -> None:
    keys = [order.pk for order in fill(lane, SELECTS)]
    rows = lane.model._default_manager.values_list("pk", "name", "amount", "note")
    with lane.acting():
        _alternate(clock, lambda number: rows.get(pk=keys[number]))


def select_by_sql_beside(lane: Lane, clock: Clock) -> None:
    with lane.acting(), connection.cursor() as cursor:
        _alternate(clock, lambda number: cursor.execute("SELECT 1"))


def _alternate(clock: Clock, work: Callable[[int], object]) -> None:
    """One statement with the wrapper and one without, in turn, on two clocks.

    Where the scheduler puts client and server changes a statement's time twofold, for seconds.
    """
    gc.collect()
    for number in range(SELECTS):
        start = perf_counter()
        work(number)
        clock.elapsed += perf_counter() - start
        with _unwrapped():
            start = perf_counter()
            work(number)
            clock.beside += perf_counter() - start


def _cookie(lane: Lane) -> str:
    client = Client()
    client.force_login(lane.user)
    return f"sessionid={client.cookies['sessionid'].value}"


def wsgi_request(lane: Lane, clock: Clock) -> None:
    empty(lane)
    cookie, application = _cookie(lane), WSGIHandler()

    def send() -> None:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/save/",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_COOKIE": cookie,
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
        }
        answer: list[str] = []
        response = application(environ, lambda status, headers: answer.append(status))
        body = b"".join(response)
        response.close()
        assert (answer, body) == (["200 OK"], b"saved"), (answer, body)

    gc.collect()
    for _ in range(WARMING):
        send()
    with clock.running(is_warm=True):
        for _ in range(REQUESTS):
            send()


def asgi_request(lane: Lane, clock: Clock) -> None:
    _asgi(lane, clock, "/save/")


def asgi_request_async_view(lane: Lane, clock: Clock) -> None:
    _asgi(lane, clock, "/asave/")


def _asgi(lane: Lane, clock: Clock, path: str) -> None:
    empty(lane)
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"cookie", _cookie(lane).encode()), (b"host", b"localhost")],
        "query_string": b"",
    }

    async def send() -> None:
        messages: list[dict] = []
        body = asyncio.Queue()
        body.put_nowait({"type": "http.request", "body": b""})

        async def answer(message: dict) -> None:
            messages.append(message)

        await application(scope, body.get, answer)
        assert messages[0]["status"] == 200, messages

    async def batch() -> None:
        async with asyncio.timeout(60):
            gc.collect()
            for _ in range(WARMING):
                await send()
            with clock.running(is_warm=True):
                for _ in range(REQUESTS):
                    await send()

    # Django serves each request in a thread of its own there, which without a pool would open a
    # connection of its own.
    settings = connection.settings_dict
    usual = {name: settings[name] for name in ("OPTIONS", "CONN_MAX_AGE")}
    settings.update(OPTIONS={"pool": {"min_size": 1, "max_size": 2}}, CONN_MAX_AGE=0)
    application = ASGIHandler()
    try:
        asyncio.run(batch())
    finally:
        connection.close_pool()
        settings.update(usual)


WORKS: dict[str, tuple[Callable[[Lane, Clock], None], int]] = {
    "insert": (insert, SAVES),
    "insert_in_transaction": (insert_in_transaction, SAVES),
    "insert_each_in_transaction": (insert_each_in_transaction, SAVES),
    "update": (update, SAVES),
    "update_in_transaction": (update_in_transaction, SAVES),
    "update_fields": (update_fields, SAVES),
    "update_fields_in_transaction": (update_fields_in_transaction, SAVES),
    "bulk_create": (bulk_create, BULK),
    "bulk_update": (bulk_update, BULK_UPDATE),
    "update_queryset": (update_queryset, BULK),
    "update_queryset_twice_as_many": (update_queryset_twice_as_many, 2 * BULK),
    "delete": (delete, SAVES),
    "delete_queryset": (delete_queryset, BULK),
    "insert_beside": (partial(save_beside, "create", nullcontext), SAVES),
    "insert_in_transaction_beside": (partial(save_beside, "create", transaction.atomic), SAVES),
    "insert_each_in_transaction_beside": (partial(beside, insert_each_in_transaction), SAVES),
    "update_beside": (partial(save_beside, "save", nullcontext), SAVES),
    "update_in_transaction_beside": (partial(save_beside, "save", transaction.atomic), SAVES),
    "update_fields_beside": (partial(save_beside, "save_amount", nullcontext), SAVES),
    "update_fields_in_transaction_beside": (
        partial(save_beside, "save_amount", transaction.atomic),
        SAVES,
    ),
    "bulk_create_beside": (partial(beside, bulk_create), BULK),
    "bulk_update_beside": (partial(beside, bulk_update), BULK_UPDATE),
    "update_queryset_beside": (partial(beside, update_queryset), BULK),
    "select": (select, SELECTS),
    "select_by_sql": (select_by_sql, SELECTS),
    "select_beside": (select_beside, SELECTS),
    "select_by_sql_beside": (select_by_sql_beside, SELECTS),
    "wsgi_request": (wsgi_request, REQUESTS),
    "asgi_request": (asgi_request, REQUESTS),
    "asgi_request_async_view": (asgi_request_async_view, REQUESTS),
}
