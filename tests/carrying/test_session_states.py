"""Whatever opens, ends or undoes a transaction, the next write knows who is acting."""

import contextlib

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_audit_fields import acting_as, bind_actor
from tests.carrying.sessionapp.models import Note

INSERT = "INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES (NULL, '', false)"
IDLE = psycopg.pq.TransactionStatus.IDLE


class UndoneError(Exception):
    """Ends a block by rolling it back."""


def execute(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else None


class Transactions(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.actors = []  # (label, context manager)
        self.blocks = []  # (kind, context manager or the savepoint's name)
        self.savepoints = 0

    @property
    def actor(self):
        return self.actors[-1][0] if self.actors else "nobody"

    @property
    def status(self):
        connection.ensure_connection()
        return connection.connection.pgconn.transaction_status

    @property
    def is_open(self):
        return bool(self.blocks) or not connection.get_autocommit()

    # who is acting

    @precondition(lambda self: len(self.actors) < 3)
    @rule(label=st.sampled_from(["7", "8", "o'ne\\", "%s", "é✓"]))
    def enter_acting_as(self, label):
        scope = acting_as(label)
        scope.__enter__()
        self.actors.append((label, scope))

    @precondition(lambda self: self.actors)
    @rule()
    def leave_acting_as(self):
        self.actors.pop()[1].__exit__(None, None, None)

    # blocks

    @precondition(lambda self: len(self.blocks) < 4)
    @rule()
    def enter_atomic(self):
        if any(kind == "by hand" for kind, _ in self.blocks):
            return  # Django would not know that it is in a transaction
        block = transaction.atomic()
        block.__enter__()
        self.blocks.append(("manager", block))

    @precondition(lambda self: self.is_open and len(self.blocks) < 4)
    @rule()
    def set_savepoint_by_hand(self):
        self.savepoints += 1
        name = f"s{self.savepoints}"
        execute(f"-- by hand\nSAVEPOINT {name}")
        self.blocks.append(("savepoint", name))

    @precondition(lambda self: self.blocks and len(self.blocks) < 4)
    @rule()
    def enter_transaction_of_psycopg(self):
        if self.status == IDLE:
            return  # it would be the whole transaction, which Django means to end itself
        block = connection.connection.transaction()
        block.__enter__()
        self.blocks.append(("manager", block))

    @precondition(lambda self: not self.is_open)
    @rule()
    def begin_by_hand(self):
        execute("BEGIN")
        self.blocks.append(("by hand", None))

    @precondition(lambda self: self.blocks)
    @rule(undo=st.booleans())
    def leave_block(self, undo):
        kind, block = self.blocks.pop()
        if kind == "manager":
            raised = (UndoneError, UndoneError(), None) if undo else (None, None, None)
            with contextlib.suppress(UndoneError):
                block.__exit__(*raised)
        elif kind == "savepoint":
            execute(f"ROLLBACK TO {block}; RELEASE {block}" if undo else f"RELEASE {block}")
        else:
            execute("ROLLBACK" if undo else "/* done */ COMMIT")

    @precondition(lambda self: self.blocks and self.blocks[-1][0] == "savepoint")
    @rule()
    def roll_back_to_savepoint_and_stay(self):
        execute(f"rollback to savepoint {self.blocks[-1][1]}")

    @precondition(lambda self: not self.blocks)
    @rule(on=st.booleans())
    def manage_transactions_by_hand(self, on):
        if not connection.get_autocommit():
            transaction.rollback()
        connection.set_autocommit(not on)

    @precondition(lambda self: not self.blocks and not connection.get_autocommit())
    @rule(undo=st.booleans())
    def end_transaction_by_hand(self, undo):
        transaction.rollback() if undo else transaction.commit()

    @rule()
    def fail(self):
        with pytest.raises(DatabaseError):
            execute("INSERT INTO nowhere VALUES (1)")
        if self.blocks:
            self.leave_block(undo=True)
        elif self.is_open:
            transaction.rollback()

    @precondition(lambda self: not self.is_open)
    @rule()
    def reconnect(self):
        connection.close()

    # what opens a transaction that no wrapper sees, and what only reads

    @rule()
    def read_past_django(self):
        connection.ensure_connection()
        connection.connection.execute("SELECT 1").fetchall()

    @rule()
    def read(self):
        assert Note.objects.count() >= 0

    # writes, each of which has to bear the actor's name

    @rule()
    def write_through_orm(self):
        note = Note.objects.create()
        note.refresh_from_db()
        assert note.stamped_by == self.actor

    @rule(
        sql=st.sampled_from(
            [
                f"{INSERT} RETURNING stamped_by",
                f"/* /* nested */ */ {INSERT} RETURNING stamped_by",
                f"{INSERT} RETURNING stamped_by".encode(),
                psycopg.sql.SQL(f"{INSERT} RETURNING stamped_by"),
                f"WITH new AS ({INSERT} RETURNING stamped_by) SELECT * FROM new",
            ]
        )
    )
    def write_by_sql(self, sql):
        assert execute(sql) == [(self.actor,)]

    @rule()
    def write_several_in_one_string(self):
        with connection.cursor() as cursor:
            cursor.execute(f"{INSERT} RETURNING stamped_by; {INSERT} RETURNING stamped_by")
            assert cursor.fetchall() == [(self.actor,)]
            assert cursor.nextset()
            assert cursor.fetchall() == [(self.actor,)]

    @rule()
    def write_many(self):
        with connection.cursor() as cursor:
            cursor.executemany(
                f"{INSERT.replace('NULL', '%s')} ON CONFLICT (text)"
                " DO UPDATE SET preserved = false",
                [["many"], ["more"]],
            )
        notes = Note.objects.filter(text__in=["many", "more"])
        assert list(notes.values_list("stamped_by", flat=True)) == [self.actor] * 2

    @precondition(lambda self: self.is_open)
    @rule()
    def write_by_function_after_binding(self):
        bind_actor()
        assert execute("SELECT sessionapp_write(NULL)") == [(self.actor,)]

    @invariant()
    def nothing_outlives_a_transaction(self):
        if self.status == IDLE:
            pgconn = connection.connection.pgconn
            result = pgconn.exec_(b"SELECT current_setting('app.current_user', true)")
            assert (result.get_value(0, 0) or b"") == b""

    def teardown(self):
        while self.actors:
            self.leave_acting_as()
        while self.blocks:
            self.leave_block(undo=True)
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_every_write_knows_who_is_acting():
    """In any order of transactions, savepoints, errors, actors, reads and writes."""
    run_state_machine_as_test(
        Transactions,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db(transaction=True)
def test_a_string_of_several_may_call_what_sets_the_variable():
    """What its functions set is not seen, so the next write says again who is acting."""
    execute(
        "CREATE FUNCTION pg_temp.forge() RETURNS text LANGUAGE sql AS "
        "$$ SELECT set_config('app.current_user', 'forged', true) $$"
    )
    with acting_as("7"), transaction.atomic():
        execute(INSERT)
        execute("SELECT 1; SELECT pg_temp.forge()")
        execute(INSERT)
    assert list(Note.objects.values_list("stamped_by", flat=True)) == ["7", "7"]
