"""Counts round trips in the messages that libpq exchanges with the server."""

import contextlib
import tempfile

import psycopg
from django.db import connection


@contextlib.contextmanager
def traced(database=connection):
    """Collect what the client waited for: ends with one entry for each round trip."""
    database.ensure_connection()
    pgconn = database.connection.pgconn
    round_trips = []
    with tempfile.TemporaryFile("r+") as file:
        pgconn.trace(file.fileno())
        pgconn.set_trace_flags(psycopg.pq.Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield round_trips
        finally:
            pgconn.untrace()
            file.seek(0)
            # Per line: who sends, its length, the kind of message. The server answers with
            # ReadyForQuery, once, to each Sync or Query.
            kinds = [line.split("\t")[0::2] for line in file.read().splitlines() if "\t" in line]
            asked = [kind for sender, kind, *_ in kinds if sender == "F"]
            answered = [kind for sender, kind, *_ in kinds if sender == "B"]
            waits = [kind for kind in asked if kind in ("Sync", "Query")]
            assert len(waits) == answered.count("ReadyForQuery")
            round_trips += waits
