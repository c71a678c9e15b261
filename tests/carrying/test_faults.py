"""What was promised to the caller is in the database, stamped right, and nothing else is."""

import logging
import threading

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db.models import F

from django_audit_fields import acting_as
from django_audit_fields.middleware import AuditMiddleware
from django_audit_fields.stamping import listener
from example_project.embedded_database import ServerError
from tests.carrying.faults import (
    ALIAS,
    SETTINGS,
    as_database,
    begin_next_request,
    items,
    kill_backend,
    rows,
)
from tests.own_server import OwnServer
from tests.testapp.models import Item


@pytest.fixture(scope="module")
def template(django_db_blocker):
    """A stopped server on which everything is migrated, to be copied."""
    try:
        server = OwnServer(**SETTINGS)
    except ServerError as error:
        pytest.skip(str(error))
    try:
        server.initialise().start()
        with django_db_blocker.unblock(), as_database(server.django_settings()):
            call_command("migrate", database=ALIAS, verbosity=0)
        server.stop()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(template, django_db_blocker):
    """A server of the test's own, reached through the alias `faults`."""
    own = template.copy()
    try:
        own.start()
        with django_db_blocker.unblock(), as_database(own.django_settings()):
            yield own
    finally:
        own.remove()


def insert_by_sql(name, then="true"):
    """An INSERT that names no audit column; `then` is evaluated while it runs."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO testapp_item (name, amount) SELECT %s, 0 WHERE {then} IS NOT NULL",
            [name],
        )


SUICIDE = "pg_terminate_backend(pg_backend_pid())"


def test_backend_killed_between_statements(server):
    """The write before is there, the next fails, and the one after is its own actor's."""
    with acting_as("alice"):
        items.create(name="a")
    kill_backend(server)
    with acting_as("bob"):
        with pytest.raises(OperationalError):
            items.create(name="b, lost")
        begin_next_request()
        items.create(name="c")
    insert_by_sql("d")
    assert rows(server) == [
        ("a", 0, "alice", "alice"),
        ("c", 0, "bob", "bob"),
        ("d", 0, "system", "system"),
    ]


def test_backend_killed_in_a_transaction(server):
    """Nothing of the transaction is stored, and nothing that it carried is believed afterwards."""

    @transaction.atomic(ALIAS)
    def write():
        items.create(name="a, lost")
        insert_by_sql("b, lost")
        kill_backend(server)
        insert_by_sql("c, lost")

    with acting_as("alice"):
        with pytest.raises(OperationalError):
            write()
        begin_next_request()
        with transaction.atomic(ALIAS):
            insert_by_sql("d")
    assert rows(server) == [("d", 0, "alice", "alice")]


def test_backend_killed_while_it_runs_the_statement(server):
    """Setting and statement travel together, and are lost together."""
    with acting_as("alice"):
        with pytest.raises(OperationalError):
            insert_by_sql("a, lost", then=SUICIDE)
        begin_next_request()
        insert_by_sql("b")
    assert rows(server) == [("b", 0, "alice", "alice")]


def test_backend_killed_in_a_pipeline(server):
    """What the pipeline had synchronised is stored, and of the rest nothing."""
    connections[ALIAS].ensure_connection()

    def write():
        with connections[ALIAS].connection.pipeline() as pipeline:
            insert_by_sql("a")
            insert_by_sql("b")
            pipeline.sync()
            insert_by_sql("c, lost")
            insert_by_sql("d, lost", then=SUICIDE)
            insert_by_sql("e, lost")

    with acting_as("alice"):
        with pytest.raises((OperationalError, psycopg.OperationalError)):
            write()
        begin_next_request()
        with acting_as("bob"):
            insert_by_sql("f")
    assert rows(server) == [
        ("a", 0, "alice", "alice"),
        ("b", 0, "alice", "alice"),
        ("f", 0, "bob", "bob"),
    ]


class Writer(threading.Thread):
    """Writes on until told to stop, and keeps a journal of what it was promised."""

    def __init__(self, label):
        super().__init__()
        self.label = label
        self.acknowledged = set()
        #: Sent, and no answer came back: PostgreSQL may have stored it or not.
        self.in_doubt = set()
        self.failures = 0
        self.stopping = threading.Event()
        self.wrote = threading.Condition()

    def run(self):
        number = 0
        try:
            with acting_as(self.label):
                while not self.stopping.is_set():
                    number += 1
                    self.write(number)
        finally:
            connections[ALIAS].close()

    def write(self, number):
        name = f"{self.label} {number}"
        try:
            if number % 3 == 0:
                items.create(name=name)
            elif number % 3 == 1:
                insert_by_sql(name)
            else:
                with transaction.atomic(ALIAS):
                    items.bulk_create([Item(name=name)])
        except (OperationalError, InterfaceError):
            self.failures += 1
            self.in_doubt.add(name)
            begin_next_request()
            self.stopping.wait(0.01)  # as a client does that finds the server gone
        else:
            with self.wrote:
                self.acknowledged.add(name)
                self.wrote.notify_all()

    def wait_for(self, further):
        """Return once `further` more writes were acknowledged."""
        with self.wrote:
            goal = len(self.acknowledged) + further
            assert self.wrote.wait_for(lambda: len(self.acknowledged) >= goal, timeout=30)


@pytest.fixture
def writers(server):
    threads = [Writer(label) for label in ("alice", "bob", "carol")]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.stopping.set()
    for thread in threads:
        thread.join(30)


def stop(writers):
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()


def assert_kept(writers, stored):
    names = {name for name, *_ in stored}
    assert len(names) == len(stored)
    for name, _, created_by, updated_by in stored:
        assert (created_by, updated_by) == (name.split()[0],) * 2
    for writer in writers:
        assert writer.acknowledged <= names
        names -= writer.acknowledged | writer.in_doubt
    assert names == set()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_server_stopped_and_started(server, writers, mode):
    """Writers come back by themselves, each under its own name; what was answered is there."""
    for writer in writers:
        writer.wait_for(20)
    server.stop(mode)
    server.start()
    for writer in writers:
        writer.wait_for(20)
    stop(writers)
    assert all(writer.failures for writer in writers)
    assert_kept(writers, rows(server))


def test_primary_lost_and_standby_promoted(template, django_db_blocker):
    """The application finds the new primary, and what the old one answered is there."""
    primary = template.copy()
    standby = None
    try:
        primary.start()
        standby = primary.standby()
        with primary.connect() as connection:
            # An answer means that both have it.
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        settings = primary.django_settings(
            HOST=f"{primary.folder},{standby.folder}",
            OPTIONS={"target_session_attrs": "read-write"},
        )
        with django_db_blocker.unblock(), as_database(settings):
            writers = [Writer(label) for label in ("alice", "bob", "carol")]
            try:
                for writer in writers:
                    writer.start()
                for writer in writers:
                    writer.wait_for(20)
                primary.stop("immediate")
                standby.promote()
                for writer in writers:
                    writer.wait_for(20)
            finally:
                stop(writers)
            assert all(writer.failures for writer in writers)
            assert_kept(writers, rows(standby))
            call_command("audit_triggers", "check", database=ALIAS)
    finally:
        primary.remove()
        if standby is not None:
            standby.remove()


@pytest.mark.parametrize("in_transaction", [False, True])
def test_timeout_in_the_middle_of_bulk_create(server, in_transaction):
    """All or nothing; who tries again stamps all of it."""
    batch = [Item(name=f"{number:04}", code=str(number)) for number in range(900)]
    with acting_as("carol"), connections[ALIAS].cursor() as cursor:
        items.create(name="before")
        cursor.execute("SET statement_timeout = '200ms'")

    def write():
        if in_transaction:
            with transaction.atomic(ALIAS):
                insert_by_sql("lost")
                items.bulk_create(batch, batch_size=100)
        else:
            items.bulk_create(batch, batch_size=100)

    with server.connect(autocommit=False) as rival:
        # The third hundred waits for this row, which is not committed.
        rival.execute("INSERT INTO testapp_item (name, amount, code) VALUES ('rival', 0, '250')")
        with acting_as("alice"), pytest.raises(OperationalError, match="statement timeout"):
            write()
        rival.rollback()
    assert rows(server) == [("before", 0, "carol", "carol")]
    with acting_as("bob"):
        items.bulk_create(batch, batch_size=100)
    stored = rows(server)
    assert len(stored) == 901
    assert {row[2:] for row in stored[:-1]} == {("bob", "bob")}
    assert {(item.created_by, item.updated_by) for item in batch} == {("bob", "bob")}


def test_timeout_in_the_middle_of_updates(server):
    """`bulk_update` and `update` change nothing when they fail, in the instances either."""
    with acting_as("alice"):
        items.bulk_create([Item(name=f"{number:04}") for number in range(300)])
    loaded = list(items.all())
    stamps = [(item.updated_at, item.updated_by) for item in loaded]
    for item in loaded:
        item.amount = 7
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SET statement_timeout = '200ms'")
    with server.connect(autocommit=False) as rival:
        rival.execute("SELECT 1 FROM testapp_item WHERE name = '0250' FOR UPDATE")
        with acting_as("bob"):
            with pytest.raises(OperationalError, match="statement timeout"):
                items.bulk_update(loaded, ["amount"], batch_size=100)
            with pytest.raises(OperationalError, match="statement timeout"):
                items.update(amount=8)
    assert {row[1:] for row in rows(server)} == {(0, "alice", "alice")}
    assert [(item.updated_at, item.updated_by) for item in loaded] == stamps
    with acting_as("carol"):
        items.bulk_update(loaded, ["amount"], batch_size=100)
    assert {row[1:] for row in rows(server)} == {(7, "alice", "carol")}


def test_disk_full_in_the_middle_of_bulk_create(server):
    """A table that cannot grow takes nothing of the write that it has no room for.

    The server is given a limit to the size of its files, so that PostgreSQL fails to extend the
    table as it does on a full disk, with another reason behind the same message.
    """
    server.stop()
    server.start(largest_file=3 * 2**20)
    batch = [Item(name=f"{number:05}" + "x" * 90) for number in range(25_000)]
    with acting_as("alice"):
        items.create(name="before")
        with pytest.raises(DatabaseError, match=r"could not (extend|write)"):
            items.bulk_create(batch, batch_size=2_000)
    assert rows(server) == [("before", 0, "alice", "alice")]
    with server.connect() as connection:
        connection.execute("VACUUM testapp_item")  # makes room
    with acting_as("bob"):
        items.bulk_create(batch[:100])
    stored = rows(server)
    assert len(stored) == 101
    assert {row[2:] for row in stored[:-1]} == {("bob", "bob")}


def test_deadlock_retried(server):
    """Both have written both rows in the end, the loser last and under its own name."""
    with acting_as("carol"):
        first, second = items.create(name="first"), items.create(name="second")
    met = threading.Barrier(2, timeout=20)
    finished = threading.Event()
    failures = []

    def work(label, own, other, wait):
        with transaction.atomic(ALIAS):
            items.filter(pk=own.pk).update(amount=F("amount") + 1)
            wait()
            insert_by_sql(f"{label} between")
            items.filter(pk=other.pk).update(amount=F("amount") + 1)

    def write(label, own, other):
        try:
            with acting_as(label):
                try:
                    work(label, own, other, met.wait)
                    finished.set()
                except OperationalError as error:
                    failures.append((label, error))
                    assert finished.wait(20)
                    work(label, own, other, finished.wait)
        finally:
            connections[ALIAS].close()

    threads = [
        threading.Thread(target=write, args=("alice", first, second)),
        threading.Thread(target=write, args=("bob", second, first)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    ((loser, failure),) = failures
    assert isinstance(failure.__cause__, psycopg.errors.DeadlockDetected)
    assert rows(server) == [
        ("alice between", 0, "alice", "alice"),
        ("bob between", 0, "bob", "bob"),
        ("first", 2, "carol", loser),
        ("second", 2, "carol", loser),
    ]


def test_serialization_failure_retried(server):
    """The retry stamps its own actor over the row of the one who was faster."""
    options = {"isolation_level": psycopg.IsolationLevel.SERIALIZABLE}
    with acting_as("carol"):
        key = items.create(name="contested").pk
    connections[ALIAS].close()
    rivals = iter(["bob", None, None])
    with (
        as_database(server.django_settings(), "rival"),
        as_database(server.django_settings(OPTIONS=options), "serializable"),
    ):

        def work():
            item = Item.objects.using("serializable").get(pk=key)
            if (rival := next(rivals)) is not None:
                with acting_as(rival):
                    Item.objects.using("rival").filter(pk=key).update(amount=F("amount") + 10)
            item.amount += 1
            item.save()

        failures = []
        with acting_as("alice"):
            for _ in range(2):
                try:
                    with transaction.atomic("serializable"):
                        work()
                    break
                except OperationalError as error:
                    failures.append(error)
    (failure,) = failures
    assert isinstance(failure.__cause__, psycopg.errors.SerializationFailure)
    assert rows(server) == [("contested", 11, "carol", "alice")]


def test_listener_raises(server, monkeypatch, caplog):
    """The write does not fail; the trigger stamps the actor that came with the statement."""

    def fail():
        raise ZeroDivisionError("the listener fails")

    monkeypatch.setattr(listener, "current_actor", fail)
    with acting_as("alice"), caplog.at_level(logging.ERROR, "django_audit_fields"):
        item = items.create(name="a")
        item.amount = 1
        with acting_as("bob"):
            item.save()
    assert len(caplog.records) == 2
    assert rows(server) == [("a", 1, "alice", "bob")]
    assert (item.created_by, item.updated_by) == ("alice", "bob")


def failing_label(user):
    raise ZeroDivisionError("the actor's label cannot be made")


def test_actor_cannot_be_told(server, settings, rf, caplog):
    """A user whose label cannot be made writes as the fallback, and the log says why."""
    settings.AUDIT_FIELDS = {"ACTOR": "tests.carrying.test_faults.failing_label"}
    request = rf.get("/")
    request.user = User(pk=7, username="alice")

    def view(request):
        items.create(name="a")
        insert_by_sql("b")

    with caplog.at_level(logging.WARNING, "django_audit_fields"):
        AuditMiddleware(view)(request)
    assert caplog.records
    assert rows(server) == [("a", 0, "system", "system"), ("b", 0, "system", "system")]


@pytest.mark.parametrize("how", ["DISABLE TRIGGER ALL", "DISABLE TRIGGER {name}"])
def test_trigger_disabled_by_hand(server, how, capsys):
    """`check` finds it, the other layers stamp meanwhile, and `install` enables it again."""
    with server.connect() as connection:
        ((name, *_), *_) = connection.execute(
            "SELECT quote_ident(tgname) FROM pg_trigger"
            " WHERE tgrelid = 'testapp_item'::regclass AND NOT tgisinternal ORDER BY tgname DESC"
        ).fetchall()
        connection.execute(f"ALTER TABLE testapp_item {how.format(name=name)}")
    with pytest.raises(SystemExit) as stopped:
        call_command("audit_triggers", "check", database=ALIAS)
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert "testapp_item" in printed.out + printed.err
    assert "disabled" in printed.out + printed.err

    with acting_as("alice"):
        item = items.create(name="a")
        insert_by_sql("b")
    with acting_as("bob"):
        item.save()
    assert rows(server) == [("a", 0, "alice", "bob"), ("b", 0, "alice", "alice")]

    call_command("audit_triggers", "install", database=ALIAS)
    call_command("audit_triggers", "check", database=ALIAS)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("UPDATE testapp_item SET amount = 1 WHERE name = 'b'")
    assert rows(server)[1] == ("b", 1, "alice", "system")
