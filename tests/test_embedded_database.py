"""The embedded server: shared by all who ask for it, and gone with the last of them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

MODULE = Path(__file__).parent.parent / "example_project" / "embedded_database.py"
#: Prints where the server is, then waits to be told to end.
USER = """
import sys
import embedded_database
print(embedded_database.database_settings("mine")["HOST"], flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it needs Linux or macOS")


class Checkout:
    """A copy of the module, as if in a checkout of its own."""

    def __init__(self, folder):
        (folder / "example_project").mkdir(parents=True)
        shutil.copy(MODULE, folder / "example_project")
        self.folder = folder
        self.users = []

    def start_user(self, **environment):
        given = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        process = subprocess.Popen(
            [sys.executable, "-c", USER],
            cwd="/",
            env={**given, "PYTHONPATH": str(self.folder / "example_project"), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.users.append(process)
        socket = Path(process.stdout.readline().strip()) / ".s.PGSQL.5432"
        return process, socket


def end(user):
    user.stdin.close()
    user.wait(30)
    user.stdout.close()


@pytest.fixture
def folder():
    """A folder that everybody can enter, unlike pytest's own: root's server is not run by root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def checkout(folder):
    checkout = Checkout(folder / "a checkout's (földer)")
    yield checkout
    for user in checkout.users:
        if user.returncode is None:
            end(user)


def test_server_is_shared_and_ends_with_its_last_user(checkout):
    """The second process finds the first one's server, and keeps it after the first has gone."""
    first, socket = checkout.start_user()
    second, same = checkout.start_user()
    assert same == socket
    end(first)
    assert socket.exists()
    end(second)
    assert not socket.exists()


def test_termination_stops_the_server(checkout):
    """What a terminal or a build server sends to end a process ends the server as well."""
    user, socket = checkout.start_user()
    user.send_signal(signal.SIGTERM)
    end(user)
    assert user.returncode == 128 + signal.SIGTERM
    assert not socket.exists()


def test_killed_user_does_not_keep_the_server_for_ever(checkout):
    """Whoever comes next finds it running, and stops it."""
    killed, socket = checkout.start_user()
    killed.kill()
    end(killed)
    assert socket.exists()
    heir, same = checkout.start_user()
    assert same == socket
    end(heir)
    assert not socket.exists()


def test_deep_folder_gets_a_shorter_place_for_its_socket(folder):
    """A socket's address holds some 100 bytes, a folder's name many more."""
    checkout = Checkout(folder / ("deep" * 30) / ("deeper" * 20))
    user, socket = checkout.start_user()
    assert socket.exists()
    end(user)
    assert not socket.exists()
    socket.parent.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that its server cannot enter")
def test_private_folder_stays_private(folder):
    """The server moves out of it; nobody's way into it is opened."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    user, socket = Checkout(home / "checkout").start_user()
    assert socket.exists()
    assert home not in socket.parents
    end(user)
    assert home.stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(home / "checkout")) == ["example_project"]
    shutil.rmtree(socket.parent.parent)


def test_database_url_wins(checkout):
    """With it set nothing is started, and its parts are taken apart."""
    program = "import embedded_database; print(embedded_database.database_settings('mine'))"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": str(checkout.folder / "example_project"),
            "DATABASE_URL": "postgres://ann:s%40f%2Fe@db.example:5999/clinic%20one",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    for part in ("'ann'", "'s@f/e'", "'db.example'", "5999", "'clinic one'"):
        assert part in finished.stdout
    assert list(checkout.folder.iterdir()) == [checkout.folder / "example_project"]
