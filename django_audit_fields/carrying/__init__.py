"""How does the actor get to PostgreSQL? An execute wrapper sends it ahead of what may write.

Leaves to `actors` who that is. To read in this order: `statements` reads a text, `wire` sends and
`round_trip` is how, `calls` is one call of a cursor, `carried` is what the transaction holds,
`reads` when a user may be read for a SELECT, `carrier` is the wrapper, `session` installs it and
binds on request.
"""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

try:
    import psycopg  # noqa: F401
except ImportError as error:
    raise ImproperlyConfigured(
        f"django_audit_fields needs psycopg 3, which cannot be imported ({error}): "
        "run pip install 'psycopg[binary]'."
    ) from error

from .carrier import ActorCarrier
from .session import bind_actor, carry_on_new_connection, carry_on_open_connections

__all__ = [
    "ActorCarrier",
    "bind_actor",
    "carry_on_new_connection",
    "carry_on_open_connections",
]
