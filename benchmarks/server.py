"""The server of a measurement, tuned the same for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.own_server import OwnServer, own_server

SETTINGS = {
    "synchronous_commit": "off",  # a commit waits for no disk, which would hide what is measured
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # each round vacuums by itself, outside the clock
    "jit": "off",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "max_parallel_workers_per_gather": "0",
}


@contextmanager
def measured_server() -> Iterator[OwnServer]:
    with own_server(**SETTINGS) as server:
        yield server
