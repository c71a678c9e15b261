"""The load test runs, and would tell of a wrong name, a lost row and one that nobody wanted."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.load.clients import WORK, Wanted, compare, events_of


def test_a_few_seconds_of_load():
    """20 users on both servers behind PgBouncer: every row is as its client's journal says."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.load.run", "--seconds", "5", "--users", "20"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


INSERTED, UPDATED = ("insert", "7"), ("update", "8")
WANTED = (INSERTED, UPDATED)


def test_rows_that_agree_with_the_journal():
    """Promised rows have to be there, undone ones not, and those in doubt may be or not."""
    journal = {
        "kept": Wanted(WANTED, "kept"),
        "gone": Wanted((), "gone"),
        "stored": Wanted(WANTED, "doubt"),
        "half done": Wanted(WANTED, "doubt"),
        "not stored": Wanted(WANTED, "doubt"),
    }
    rows = [("kept", "7", "8"), ("stored", "7", "8"), ("half done", "7", "7")]
    events = {"kept": WANTED, "stored": WANTED, "half done": (INSERTED,)}
    assert compare([journal], rows, events) == (3, 5, [], [], [])


@pytest.mark.parametrize(
    ("promise", "stored"),
    [("kept", ("7", "7")), ("kept", ("8", "8")), ("doubt", ("8", "8")), ("doubt", ("8", "7"))],
)
def test_a_wrong_name_is_told(promise, stored):
    """Also on a row whose request got no answer."""
    (line,) = compare([{"a": Wanted(WANTED, promise)}], [("a", *stored)], {"a": WANTED}).wrong
    assert line.startswith("a: ")


@pytest.mark.parametrize("promise", ["kept", "doubt"])
@pytest.mark.parametrize(
    "events",
    [
        (),
        (UPDATED,),
        (UPDATED, INSERTED),
        (INSERTED, ("update", "7")),
        (INSERTED, UPDATED, UPDATED),
    ],
    ids=["none", "the first is missing", "in another order", "another's", "one twice"],
)
def test_wrong_events_are_told(promise, events):
    """The row is right, and its trail is not."""
    verdict = compare([{"a": Wanted(WANTED, promise)}], [("a", "7", "8")], {"a": events})
    (line,) = verdict.wrong
    assert line.startswith("a: ")


def test_an_event_is_missing_from_a_promised_row():
    """Begun and not ended is for requests that nobody answered."""
    verdict = compare([{"a": Wanted(WANTED, "kept")}], [("a", "7", "7")], {"a": (INSERTED,)})
    assert len(verdict.wrong) == 1


def test_lost_and_unwanted_rows_are_told():
    """What was promised and is missing, what was undone, and what no journal names."""
    journal = {"a": Wanted(WANTED, "kept"), "b": Wanted((), "gone")}
    verdict = compare([journal], [("b", "7", "7"), ("c", "7", "7")], {"d": (INSERTED,)})
    assert (verdict.lost, verdict.unwanted) == (["a"], ["b", "c", "d"])


def test_events_without_their_row_are_told():
    """The trail has them, and the table has no row of theirs."""
    assert compare([{"a": Wanted(WANTED, "doubt")}], [], {"a": WANTED}).unwanted == ["a"]


@pytest.mark.parametrize("work", WORK)
def test_each_work_says_what_it_leaves_behind(work):
    """Only labels that its request could have."""
    stored, undone = events_of(work, "7", "8")
    assert {actor for events in stored.values() for _, actor in events} <= {
        *("7", "8", "import:8", "system")
    }
    assert not stored.keys() & set(undone)
