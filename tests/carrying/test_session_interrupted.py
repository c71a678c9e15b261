"""A program that is interrupted while it writes: a signal, a time limit, Ctrl-C."""

import contextlib
import os
import signal
import threading

import psycopg
import pytest
from django.db import connection, connections, transaction

from django_audit_fields import acting_as
from tests.carrying.sessionapp.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES ('{}', '', false)"


class TimeLimitError(Exception):
    """As job runners raise it from a signal's handler: an ordinary exception."""


@pytest.fixture
def interrupted():
    """Whether a statement of `STATEMENTS` waits: SIGUSR1 comes as soon as one does."""
    connection.ensure_connection()
    waiting = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'advisory'"
    pid = connection.connection.info.backend_pid
    previous = signal.getsignal(signal.SIGUSR1)
    # Its own connection: this thread's waits.
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:

        @contextlib.contextmanager
        def raising(exception):
            def interrupt():
                while not other.execute(waiting, [pid]).fetchone():
                    pass
                os.kill(os.getpid(), signal.SIGUSR1)

            def handle(*args):
                raise exception

            signal.signal(signal.SIGUSR1, handle)
            other.execute("SELECT pg_advisory_lock(4711)")
            thread = threading.Thread(target=interrupt)
            thread.start()
            try:
                with pytest.raises(exception):
                    yield
            finally:
                thread.join()
                # What the server goes on with, as it does whenever a client goes away.
                other.execute("SELECT pg_advisory_unlock(4711)")

        yield raising
    signal.signal(signal.SIGUSR1, previous)


STATEMENTS = {
    "one": "INSERT INTO sessionapp_note (text, stamped_by, preserved) "
    "SELECT 'lost', '', false FROM pg_advisory_xact_lock(4711)",
    "many": "INSERT INTO sessionapp_note (text, stamped_by, preserved) "
    "SELECT 'lost', '', false FROM pg_advisory_xact_lock(%s)",
    "several": f"SELECT pg_advisory_xact_lock(4711); {INSERT.format('lost')}",
}


@pytest.mark.parametrize("exception", [TimeLimitError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", STATEMENTS)
@pytest.mark.parametrize("in_block", [False, True], ids=["autocommit", "block"])
def test_nothing_of_an_interrupted_write_is_left(interrupted, in_block, kind, exception):
    """It ends at once, in the exception that was raised; the next write knows nothing of it."""
    block = transaction.atomic() if in_block else contextlib.nullcontext()
    with interrupted(exception), acting_as("alice"), connection.cursor() as cursor, block:
        if kind == "many":
            cursor.executemany(STATEMENTS[kind], [[4711]] * 3)
        else:
            cursor.execute(STATEMENTS[kind])
    # Never busy with an answer that whoever comes next could take for theirs.
    left = connection.connection
    assert left is None or left.info.transaction_status != psycopg.pq.TransactionStatus.ACTIVE
    # As at the end of a request or a job.
    connection.errors_occurred = True
    connections["default"].close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute(INSERT.format("by nobody"))
        with acting_as("bob"):
            cursor.execute(INSERT.format("by bob"))
    with transaction.atomic(), acting_as("bob"):
        Note.objects.create(text="by bob, too")
    assert connection.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with psycopg.connect(connection.connection.info.dsn) as other:  # what is committed
        rows = other.execute("SELECT text, stamped_by FROM sessionapp_note WHERE text <> 'lost'")
        assert sorted(rows) == [("by bob", "bob"), ("by bob, too", "bob"), ("by nobody", "nobody")]
