"""Shows the three layers at work on a real server; ends with 1 when any row has a wrong stamp."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

import django
from django.core.management import call_command
from django.db import connection
from psycopg import sql
from psycopg.conninfo import make_conninfo

from embedded_database import connect, database_url, embedded_server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--without-triggers",
        action="store_true",
        help="disable the third layer first, to see that the table then says FAIL",
    )
    options = parser.parse_args()
    # As an exception, a termination passes through every block that stops something.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    start = time.monotonic()
    with database():
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        django.setup()
        # Models can be imported only now.
        from demonstration import evidence, history, report, scenarios
        from demonstration.stage import Stage, say
        from demonstration.web_server import web_server

        say("Migrating …")
        call_command("migrate", verbosity=0)
        parameters = connection.get_connection_params()
        password = parameters.pop("password", None)
        dsn = make_conninfo(**{k: v for k, v in parameters.items() if k in CONNECTION_KEYWORDS})
        with contextlib.ExitStack() as stack:
            archive = evidence.Archive(dsn, password)
            stack.callback(archive.close)
            stack.callback(connection.close)
            if options.without_triggers:
                archive.disable_triggers()
                stack.callback(archive.enable_triggers)
            archive.install_witness()
            stack.callback(archive.remove_witness)
            stage = Stage(archive, dsn, password)
            # Also when a scenario breaks off: what was seen until then tells why.
            stack.callback(lambda: say(f"\n{report.table(stage.outcomes, stage.names())}\n"))
            say("Importing the ledger …")
            scenarios.import_a_file(stage)
            say("Starting the web server …")
            with web_server(os.environ["DATABASE_URL"]) as site:
                say(f"  it answers at {site.address}")
                entry = scenarios.work_in_browsers(stage, site.address)[0]
                say("Following one entry through its life …")
                faults = history.tell_a_history(stage, site.address)
            say("Writing past the models …")
            scenarios.write_to_the_legacy_table(stage)
            scenarios.write_sql(stage, entry)
            say("Breaking the listener …")
            scenarios.break_the_listener(stage)
    wrong = sum(not outcome.passed for outcome in stage.outcomes)
    rows = sum(outcome.expected.rows for outcome in stage.outcomes)
    say(
        f"{len(stage.outcomes) - wrong} of {len(stage.outcomes)} ways of writing are right, "
        f"{rows} rows in {time.monotonic() - start:.0f} s."
    )
    say("The trail is right." if not faults else "The trail is wrong.")
    return 1 if wrong or faults else 0


#: What of Django's parameters libpq understands as well.
CONNECTION_KEYWORDS = {
    *("host", "hostaddr", "port", "user", "dbname", "service", "passfile", "options"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"),
}


@contextlib.contextmanager
def database() -> Iterator[None]:
    """A database of its own on the embedded server, or the one that DATABASE_URL names."""
    if os.environ.get("DATABASE_URL"):
        yield
        return
    name = f"demo_{os.getpid()}"
    host = str(embedded_server())
    os.environ["DATABASE_URL"] = database_url(name)
    try:
        yield
    finally:
        del os.environ["DATABASE_URL"]
        with connect(host) as server:
            server.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped.")
