"""`audit_trail seal`, `verify` and `prune`, as they are run."""

import datetime
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import override_settings

from django_audit_fields.management.evidence import ProgressBar
from django_audit_fields.trail import maintain, seal
from tests.trail.evidence.trail import broken, one, sealed_invoices, tampering
from tests.trail.recorded import execute
from tests.trail.trailapp.models import Invoice

pytestmark = pytest.mark.usefixtures("trail")


@pytest.fixture
def run(capsys):
    """Answers the exit code and what was printed."""

    def run(*arguments):
        code = 0
        try:
            call_command("audit_trail", *arguments)
        except SystemExit as error:
            code = error.code
        except CommandError as error:
            return error.returncode, str(error)
        return code, capsys.readouterr().out

    return run


def test_seal_prints_its_anchor_and_exports_it(run, tmp_path):
    file = tmp_path / "seals"
    Invoice.objects.create()
    code, printed = run("seal", "--export", str(file))
    line = json.loads(file.read_text())
    assert (code, printed) == (0, f"seal {line['anchor']}  1 events\n")
    code, printed = run("seal", "--json", "--export", str(file))
    assert json.loads(printed) == json.loads(file.read_text().splitlines()[1])


def test_a_seal_that_cannot_be_exported_says_so(run, tmp_path):
    code, printed = run("seal", "--export", str(tmp_path / "no" / "seals"))
    assert code == 1
    assert printed.startswith("Seal 1:")


def test_verify_is_silent_code_0_and_a_finding_is_1(run):
    first, _ = sealed_invoices(2, 3)
    Invoice.objects.create()
    assert run("verify", "--anchor", first.anchor, "--tables") == (
        0,
        "2 seals, 0 findings; 1 events are not sealed yet\n",
    )
    with tampering():
        execute("UPDATE audit_trail.event SET actor = '8' WHERE actor <> '8'")
    code, printed = run("verify")
    assert code == 1
    assert [line.split(":")[0] for line in printed.splitlines()[:2]] == ["seal 1", "seal 2"]
    code, printed = run("verify", "--json")
    assert code == 1
    assert [finding["seal"] for finding in json.loads(printed)["findings"]] == [1, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--anchor", "7"),
        ("prune", "--before", "2020-01-01", "--reason", " "),
        ("prune", "--before", "2020-01-01", "--reason", "old"),
    ],
)
def test_wrong_use_is_code_2(run, arguments):
    code, _ = run(*arguments)
    assert code == 2


def test_a_day_is_an_iso_date(run):
    code, printed = run("prune", "--before", "yesterday", "--reason", "old")
    assert code in (1, 2)  # 2 from the command line: Django's parser raises here
    assert "2026-01-31" in printed


def old_events(year, count=3):
    """Events of a year gone by, as if recorded then."""
    execute(
        f"CREATE TABLE IF NOT EXISTS audit_trail.event_{year} PARTITION OF audit_trail.event"
        f" FOR VALUES FROM ('{year}-01-01 00:00+00') TO ('{year + 1}-01-01 00:00+00')"
    )
    with tampering():
        for _ in range(count):
            execute(
                "INSERT INTO audit_trail.event (recorded_at, action, table_schema, table_name,"
                " row_key, actor, db_role, transaction_id)"
                " VALUES (%s, 'delete', 'public', 'gone', '1', '7', 'r',"
                " pg_current_xact_id()::text::bigint)",
                [datetime.datetime(year, 6, 1, tzinfo=datetime.UTC)],
            )


@pytest.fixture
def old_years(trail):
    yield
    for year in (2015, 2016):
        execute(f"DROP TABLE IF EXISTS audit_trail.event_{year}")


@pytest.mark.usefixtures("old_years")
class TestPrune:
    def test_drops_whole_years_and_says_so_in_the_chain(self, run):
        for year in (2015, 2016):
            old_events(year)
        Invoice.objects.create()
        seal(connection)
        with override_settings(AUDIT_FIELDS={"TRAIL_KEEP": 365}):
            code, printed = run(
                "prune", "--before", "2016-12-31", "--reason", "seven years", "--json"
            )
        assert code == 0
        made = json.loads(printed)
        assert (made["kind"], made["events"]) == ("prune", 0)
        assert made["detail"] == {
            "before": "2016-12-31",
            "reason": "seven years",
            "dropped": {"event_2015": 3},
        }
        assert one("SELECT to_regclass('audit_trail.event_2015')") is None
        assert one("SELECT count(*) FROM audit_trail.event_2016") == 3
        assert broken() == []
        sealed_invoices(2)
        assert run("verify")[0] == 0

    def test_what_was_tampered_with_does_not_vanish(self, run):
        old_events(2015)
        seal(connection)
        with tampering():
            execute(
                "DELETE FROM audit_trail.event_2015"
                " WHERE id = (SELECT min(id) FROM audit_trail.event_2015)"
            )
        with override_settings(AUDIT_FIELDS={"TRAIL_KEEP": 365}):
            code, printed = run("prune", "--before", "2016-01-01", "--reason", "old")
        assert (code, printed) == (1, "Nothing is pruned as long as verify finds something.")
        assert one("SELECT count(*) FROM audit_trail.event_2015") == 2

    def test_a_year_that_comes_back_is_found(self, run):
        old_events(2015)
        with override_settings(AUDIT_FIELDS={"TRAIL_KEEP": 365}):
            run("prune", "--before", "2016-01-01", "--reason", "old")
        old_events(2015)
        assert broken() == []  # not in a closed range: the next seal has it
        with tampering():
            execute("UPDATE audit_trail.event SET transaction_id = 5")
        [(number, problem)] = broken()
        assert (number, "inserted" in problem) == (1, True)

    def test_what_is_not_sealed_is_not_pruned(self):
        old_events(2015)
        with pytest.raises(DatabaseError, match="not sealed"), transaction.atomic():
            execute("SELECT audit_trail.prune('2016-01-01', 'old')")
        assert one("SELECT count(*) FROM audit_trail.event_2015") == 3

    def test_days_that_stay(self, run):
        old_events(2015)
        with override_settings(AUDIT_FIELDS={"TRAIL_KEEP": 40_000}):
            code, printed = run("prune", "--before", "2016-01-01", "--reason", "old")
        assert code == 2
        assert "keeps 40000 days" in printed
        with override_settings(AUDIT_FIELDS={"TRAIL_KEEP": None}):
            code, printed = run("prune", "--before", "2016-01-01", "--reason", "old")
        assert (code, "kept for ever" in printed) == (2, True)
        assert one("SELECT count(*) FROM audit_trail.event_2015") == 3

    def test_nothing_to_drop(self, run):
        with override_settings(AUDIT_FIELDS={"TRAIL_KEEP": 365}):
            code, printed = run("prune", "--before", "2016-01-01", "--reason", "old")
        assert (code, printed) == (0, "no partition is wholly before 2016-01-01\n")
        assert one("SELECT count(*) FROM audit_trail.seal WHERE kind = 'prune'") == 0


@pytest.mark.usefixtures("old_years")
def test_what_waited_in_the_default_partition_is_as_it_was():
    """`maintain` gives it a partition of its own; the seals that have it hold."""
    old_events(2015)
    execute("ALTER TABLE audit_trail.event DETACH PARTITION audit_trail.event_2015")
    execute(
        "INSERT INTO audit_trail.event OVERRIDING SYSTEM VALUE SELECT * FROM audit_trail.event_2015"
    )
    execute("DROP TABLE audit_trail.event_2015")
    assert seal(connection).partitions["event_2015"][0] == 3
    maintain(connection)
    assert one("SELECT count(*) FROM audit_trail.event_2015") == 3
    assert broken() == []


class Terminal:
    def __init__(self, is_terminal):
        self.written = ""
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    def write(self, text, ending="\n"):
        self.written += text + ending

    def flush(self):
        pass


def test_progress_is_for_terminals():
    for is_terminal in (True, False):
        terminal = Terminal(is_terminal)
        bar = ProgressBar(terminal, "verifying")
        bar(1, 2)
        bar(2, 2)
        bar.end()
        assert (" 50% of 2" in terminal.written) is is_terminal
        assert terminal.written.endswith("100% of 2\n") is is_terminal
