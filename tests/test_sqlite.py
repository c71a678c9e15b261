"""Layers 1 and 2 without PostgreSQL: the tests of every write path and of the admin, on SQLite."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_write_path_stamps_and_the_admin_works_on_sqlite():
    """What needs the trigger is skipped there by name, and nothing else is."""
    paths = [
        str(path) for path in [*sorted(TESTS.glob("test_write_*.py")), TESTS / "test_admin.py"]
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "--ds=tests.settings_sqlite", *paths],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
