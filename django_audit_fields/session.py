"""The actor's way into PostgreSQL; the only Python that sets a session variable."""

from __future__ import annotations


def bind_actor(using: str = "default") -> None:
    raise NotImplementedError
