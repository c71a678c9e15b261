"""The example behind gunicorn, on a free port of this machine only."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

EXAMPLE_PROJECT = Path(__file__).resolve().parent.parent


class WebServerError(RuntimeError):
    """gunicorn ended, or does not answer; the message holds its log."""


@dataclasses.dataclass(frozen=True)
class Site:
    address: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def web_server(database_url: str, *, port: int = 0) -> Iterator[Site]:
    """Serve the example; port 0 takes a free one."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        # The socket is opened here and handed over, so nobody can take the port in between.
        listener = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn"],
                *["--bind", f"fd://{listener.fileno()}", "config.wsgi"],
            ],
            cwd=EXAMPLE_PROJECT,
            env={**os.environ, "DATABASE_URL": database_url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            # Ctrl-C is for whoever started it, and that one stops it in order.
            start_new_session=True,
        )
        stack.callback(stop, process)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.close()
        try:
            with urllib.request.urlopen(f"{address}/login/", timeout=60) as response:  # noqa: S310
                response.read()
        except (OSError, urllib.error.URLError) as error:
            log.seek(0)
            raise WebServerError(
                f"gunicorn does not serve {address}: {error}\n{log.read()}"
            ) from error
        yield Site(address, process)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port(wish: int) -> int:
    """The port that is wished for, or 0 for any when somebody else has it."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", wish)):
        return wish
    return 0
