"""Writes under a tracing tool, in a process of its own: each of them patches psycopg for good.

`python -m tests.mixes.traced_writes TOOL DATABASE` prints, as JSON, the cursor's class, the round
trips of each write and who stamped its row.
"""

import json
import os
import sys


def trace_with(tool, databases):
    """Switch `tool` on, as its manual says, before Django is set up."""
    if tool == "opentelemetry":
        from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

        PsycopgInstrumentor().instrument(enable_commenter=True)
    elif tool == "prometheus":
        databases["default"]["ENGINE"] = "django_prometheus.db.backends.postgresql"
    elif tool == "ddtrace":
        os.environ |= {
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_TRACE_STARTUP_LOGS": "false",
        }
        import ddtrace

        ddtrace.patch(psycopg=True, django=True)
    elif tool == "newrelic":
        os.environ |= {"NEW_RELIC_DEVELOPER_MODE": "true", "NEW_RELIC_LOG": "/dev/null"}
        import newrelic.agent

        newrelic.agent.initialize()
    elif tool == "elastic":
        import elasticapm

        elasticapm.instrument()
    else:
        assert tool == "none"


def main(tool, name):
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.mixes.settings"
    from django.conf import settings

    databases = settings.DATABASES
    databases["default"]["NAME"] = name
    trace_with(tool, databases)

    import django

    django.setup()
    from django.db import connection, transaction

    from django_audit_fields import acting_as
    from tests.carrying.round_trips import traced
    from tests.mixes.models import Book

    def by_sql():
        connection.cursor().execute(
            "INSERT INTO mixes_book (isbn, name, pages) VALUES (%s, '', 0)", ["traced by SQL"]
        )

    def save():
        Book.objects.create(isbn="traced saved")

    def save_in_block():
        with transaction.atomic():
            Book.objects.create(isbn="traced in a block")

    def save_many():
        connection.cursor().executemany(
            "INSERT INTO mixes_book (isbn, name, pages) VALUES (%s, '', 0)", [["traced many"]]
        )

    with connection.cursor() as cursor:
        cursor_class = type(cursor.cursor)
    found = {"class": f"{cursor_class.__module__}.{cursor_class.__qualname__}"}
    with acting_as("tracer"):
        for write in (by_sql, save, save_in_block, save_many):
            with traced() as round_trips:
                write()
            found[write.__name__] = len(round_trips)
    rows = Book.objects.filter(isbn__startswith="traced ")
    found["stamps"] = list(rows.values_list("created_by", flat=True))
    rows.delete()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
