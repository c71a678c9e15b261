"""The actor's way into PostgreSQL: gives each connection its carrier, and binds on request."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from .carrier import ActorCarrier
from .wire import IDLE


def bind_actor(using: str = "default") -> None:
    """Put the current actor into `app.current_user` until this transaction ends.

    With a trail also what `audit_context` tells into `app.audit_context`.

    For what no execute wrapper sees, `cursor.copy()` and `cursor.callproc()`, and for a SELECT of
    a function that writes. Call it again after every change of actor.
    Raises TransactionManagementError outside a transaction: the value would be gone before the
    next statement. On a database other than PostgreSQL there is nothing to bind.
    """
    database = connections[using]
    database.ensure_connection()
    is_postgresql = database.vendor == "postgresql"
    if database.get_autocommit() and not (
        is_postgresql and database.connection.pgconn.transaction_status != IDLE
    ):
        raise TransactionManagementError(
            f"bind_actor() was called outside a transaction on {using!r}: the actor would be "
            f"forgotten before the next statement. Call it inside transaction.atomic()."
        )
    if is_postgresql:
        database.validate_no_broken_transaction()
        install(database).bind(database)


def install(database: BaseDatabaseWrapper) -> ActorCarrier:
    """Give a PostgreSQL connection its carrier, once."""
    for wrapper in database.execute_wrappers:
        if isinstance(wrapper, ActorCarrier):
            return wrapper
    carrier = ActorCarrier()
    # In front: Django removes the last wrapper at the end of an execute_wrapper() block.
    database.execute_wrappers.insert(0, carrier)
    return carrier


def carry_on_new_connection(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Receive `connection_created`."""
    if connection.vendor == "postgresql":
        install(connection).forget()


def carry_on_open_connections() -> None:
    """Reach the connections that this thread has used before the apps were ready."""
    for database in connections.all(initialized_only=True):
        if database.vendor == "postgresql":
            install(database)
