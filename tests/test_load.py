"""The load test runs, and would tell of a wrong name, a lost row and one that nobody wanted."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.load.clients import WORK, Wanted, compare, rows_of


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


def test_rows_that_agree_with_the_journal():
    """Promised rows have to be there, undone ones not, and those in doubt may be or not."""
    journal = {
        "kept": Wanted("7", "8", "kept"),
        "gone": Wanted("", "", "gone"),
        "stored": Wanted("7", "8", "doubt"),
        "half done": Wanted("7", "8", "doubt"),
        "not stored": Wanted("7", "8", "doubt"),
    }
    rows = [("kept", "7", "8"), ("stored", "7", "8"), ("half done", "7", "7")]
    assert compare([journal], rows) == (3, [], [], [])


@pytest.mark.parametrize(
    ("promise", "stored"),
    [("kept", ("7", "7")), ("kept", ("8", "8")), ("doubt", ("8", "8")), ("doubt", ("8", "7"))],
)
def test_a_wrong_name_is_told(promise, stored):
    """Also on a row whose request got no answer."""
    (line,) = compare([{"a": Wanted("7", "8", promise)}], [("a", *stored)]).wrong
    assert line.startswith("a: ")


def test_lost_and_unwanted_rows_are_told():
    """What was promised and is missing, what was undone, and what no journal names."""
    journal = {"a": Wanted("7", "7", "kept"), "b": Wanted("", "", "gone")}
    verdict = compare([journal], [("b", "7", "7"), ("c", "7", "7")])
    assert (verdict.lost, verdict.unwanted) == (["a"], ["b", "c"])


@pytest.mark.parametrize("work", WORK)
def test_each_work_says_what_it_leaves_behind(work):
    """Only labels that its request could have."""
    stored, undone = rows_of(work, "7", "8")
    assert {label for labels in stored.values() for label in labels} <= {
        *("7", "8", "import:8", "system")
    }
    assert not stored.keys() & set(undone)
