"""Leaves the example running to click through, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time

import django
from django.core.management import call_command

from embedded_database import database_url


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    os.environ["DATABASE_URL"] = database_url("clinic")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    # Models can be imported only now.
    from demonstration.stage import say
    from demonstration.web_server import free_port, web_server
    from invoices.management.commands.set_up_clinic import PASSWORD, PEOPLE

    say("Preparing the database …")
    call_command("migrate", verbosity=0)
    call_command("set_up_clinic")
    port = int(os.environ.get("PORT") or free_port(8000))
    with web_server(os.environ["DATABASE_URL"], port=port) as site:
        say(
            f"\n  {site.address}/\n\n"
            f"  Log in as {', '.join(PEOPLE)}; the password is {PASSWORD}. Ctrl-C stops it.\n"
        )
        while site.process.poll() is None:
            time.sleep(0.5)
    say("The web server ended.")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Stopped.")
