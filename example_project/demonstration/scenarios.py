"""The four scenarios: each writes rows its own way and says what they must hold."""

from __future__ import annotations

import contextlib
import datetime
import io
import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.signals import pre_save
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from django_audit_fields import acting_as, bind_actor
from django_audit_fields.middleware import AuditMiddleware
from django_audit_fields.stamping import listener
from invoices.ledger_file import LEDGER_FILE, import_label
from invoices.management.commands.set_up_clinic import PASSWORD
from invoices.models import ARSubledger

from .browser import Browser
from .evidence import LEDGER, LEGACY
from .stage import Stage, say

#: How many entries each person adds, and how many each then edits.
ENTRIES = 20
#: What fills the names in Python: receivers for one instance, our manager for many rows at once.
LISTENER, MANAGER = "2 listener", "1 model"
ENTRY = {"patient_account": "PA-10003", "entry_date": datetime.date(2026, 7, 3), "debit": 75}


def import_a_file(stage: Stage) -> None:
    """Scenario 1 without a request: people, and a thousand entries from a file."""
    label = import_label(LEDGER_FILE)
    with LEDGER_FILE.open(encoding="utf-8") as file:
        lines = sum(1 for line in file) - 1
    scene = stage.scene()
    known = stage.archive.keys_where(LEDGER, "created_by = %s", [label])
    call_command("set_up_clinic", stdout=io.StringIO())
    if known:
        say("  the ledger was imported by an earlier run, and stays as it is")
    else:
        keys = stage.archive.keys_where(LEDGER, "created_by = %s", [label])
        stage.judge(
            scene, keys, "1 ORM", "CSV import in acting_as()", by=label, rows=lines, python=MANAGER
        )
    for user in get_user_model().objects.filter(username__in=["amara", "jonas", "admin"]):
        stage.meet(user)


def work_in_browsers(stage: Stage, address: str) -> list[str]:
    """Scenario 1: two people at once, and a third in the admin. Answers amara's entries."""
    people = ["amara", "jonas"]
    browsers = {username: Browser(address) for username in [*people, "admin"]}
    for username, browser in browsers.items():
        browser.log_in(username, PASSWORD)
    say("  amara, jonas and admin have logged in")

    def add(username: str) -> list[str]:
        keys = []
        for number in range(ENTRIES):
            page = browsers[username].send(
                "/entries/new/",
                patient_account=f"PA-{10200 + number}",
                entry_date="2026-07-01",
                description=f"Office visit, entered by {username}",
                debit="110.00",
                credit="0",
                status="open",
            )
            keys += re.findall(r"Entry (\d+) was added", page)
        return keys

    def edit(username: str, keys: Iterable[str]) -> None:
        for key in keys:
            browsers[username].send(f"/entries/{key}/", status="settled")

    with ThreadPoolExecutor() as pool:
        scene = stage.scene()
        entries = dict(zip(people, pool.map(add, people), strict=True))
        for username in people:
            stage.judge(
                scene,
                entries[username],
                "1 ORM, in a request",
                f"form: {username} adds, both at once",
                by=username,
                rows=ENTRIES,
                python=LISTENER,
            )
        scene = stage.scene(changes=entries["amara"] + entries["jonas"])
        list(pool.map(edit, people, [entries["jonas"], entries["amara"]]))
        for username, creator in [("amara", "jonas"), ("jonas", "amara")]:
            stage.judge(
                scene,
                entries[creator],
                "1 ORM, in a request",
                f"form: {username} edits {creator}'s, both at once",
                by=creator,
                changed_by=username,
                rows=ENTRIES,
                python=LISTENER,
            )

    [entry] = entries["amara"][:1]
    scene = stage.scene(changes=[entry])
    browsers["admin"].send(f"/admin/invoices/arsubledger/{entry}/change/", status="disputed")
    stage.judge(
        scene,
        [entry],
        "1 ORM, in a request",
        "Django admin: admin edits amara's",
        by="amara",
        changed_by="admin",
        python=LISTENER,
    )

    scene = stage.scene(LEGACY, changes=["OLD-31"])
    browsers["jonas"].send("/charges/OLD-31/", amount="99.50")
    stage.judge(
        scene,
        ["OLD-31"],
        "2 legacy table",
        "form, unmanaged model: jonas edits",
        by="night-batch",
        changed_by="jonas",
    )
    return entries["amara"]


def write_to_the_legacy_table(stage: Stage) -> None:
    """Scenario 2: no model at all."""
    insert = "INSERT INTO legacy_charge (charge_code, patient_account, amount)"
    with connection.cursor() as cursor:
        scene = stage.scene(LEGACY)
        new = stage.new_code()
        with acting_as(stage.person("amara")):
            cursor.execute(f"{insert} VALUES (%s, 'PA-10007', 70)", [new])
        stage.judge(scene, [new], "2 legacy table", "Django cursor in acting_as(amara)", by="amara")
    scene = stage.scene(LEGACY)
    new = stage.new_code()
    stage.psql(f"{insert} VALUES ('{new}', 'PA-10007', 70);")
    stage.judge(scene, [new], "2 legacy table", "psql INSERT, nobody named", by="system")

    # Its `entered_*` were never recorded, and nobody makes them up.
    scene = stage.scene(LEGACY, changes=["OLD-1"])
    stage.psql("UPDATE legacy_charge SET amount = amount + 1 WHERE charge_code = 'OLD-1';")
    stage.judge(
        scene,
        ["OLD-1"],
        "2 legacy table",
        "psql UPDATE, row without a past",
        by=None,
        changed_by="system",
    )


def write_sql(stage: Stage, entry: str) -> None:
    """Scenario 3: psql, a plain connection, COPY."""
    columns = "patient_account, entry_date, description, debit, credit, status"
    values = "'PA-10001', '2026-07-01', 'Flat fee', 50, 0, 'open'"
    insert = f"INSERT INTO {LEDGER} ({columns}) VALUES ({values})"
    returning = "RETURNING entry_number"

    scene = stage.scene()
    keys = stage.psql(f"{insert} {returning};")
    stage.judge(scene, keys, "3 direct SQL", "psql INSERT, nobody named", by="system")

    scene = stage.scene()
    keys = stage.psql(
        f"""BEGIN; SET LOCAL app."current_user" TO 'dba:vera'; {insert} {returning}; COMMIT;"""
    )
    stage.judge(scene, keys, "3 direct SQL", "psql INSERT as dba:vera", by="dba:vera")

    scene = stage.scene()
    keys = stage.psql(
        f"INSERT INTO {LEDGER} ({columns}, created_at, updated_at, created_by, updated_by)"
        f" VALUES ({values}, NULL, NULL, NULL, '') {returning};"
    )
    stage.judge(scene, keys, "3 direct SQL", "psql INSERT of NULLs and ''", by="system")

    scene = stage.scene(changes=[entry])
    stage.psql(f"UPDATE {LEDGER} SET status = 'open' WHERE entry_number = {entry};")
    stage.judge(
        scene,
        [entry],
        "3 direct SQL",
        "psql UPDATE of amara's",
        by="amara",
        changed_by="system",
    )

    scene = stage.scene(changes=[entry])
    stage.psql(
        f"""UPDATE {LEDGER} SET status = 'settled', created_by = 'mallory', created_at = now()
        - interval '9 years', updated_at = now() - interval '9 years'
        WHERE entry_number = {entry};"""
    )
    stage.judge(
        scene,
        [entry],
        "3 direct SQL",
        "psql UPDATE that forges created_*",
        by="amara",
        changed_by="system",
    )

    copy = f"COPY {LEDGER} ({columns}) FROM STDIN"
    lines = [("PA-10002", "2026-07-02", "Copied", "12.00", "0", "open")] * 100
    scene = stage.scene()
    mark = stage.newest_entry()
    with (
        stage.plain_connection() as plain,
        plain.cursor() as cursor,
        cursor.copy(copy) as stream,  # type: ignore[arg-type]
    ):
        for line in lines:
            stream.write_row(line)
    stage.judge(
        scene,
        stage.entries_after(mark),
        "3 direct SQL",
        "COPY, plain psycopg",
        by="system",
        rows=100,
    )

    scene = stage.scene()
    mark = stage.newest_entry()
    with acting_as("import:remittances"), transaction.atomic(), connection.cursor() as cursor:
        bind_actor()
        with cursor.copy(copy) as stream:
            for line in lines:
                stream.write_row(line)
    stage.judge(
        scene,
        stage.entries_after(mark),
        "3 direct SQL",
        "COPY after bind_actor()",
        by="import:remittances",
        rows=100,
    )


def break_the_listener(stage: Stage) -> None:
    """Scenario 4: layer 2 raises, is disconnected, or does not know the user. The write goes on."""
    scenario = "4 broken listener"
    amara = stage.person("amara")

    def save() -> list[str]:
        """One new entry, saved inside a request of amara's."""
        entries = []

        def view(request: HttpRequest) -> HttpResponse:
            entries.append(ARSubledger.objects.create(**ENTRY, description="While it was broken"))
            return HttpResponse()

        request = HttpRequest()
        request.user = amara
        with stage.attempt():
            AuditMiddleware(view)(request)
        return [str(entry.pk) for entry in entries]

    with logged() as messages:
        scene = stage.scene()
        with mock.patch.object(listener, "current_actor", side_effect=RuntimeError("out of order")):
            keys = save()
        stage.judge(
            scene, keys, scenario, "listener raises, amara's request", by="amara", python=LISTENER
        )

        scene = stage.scene()
        with disconnected_listener():
            keys = save()
        stage.judge(
            scene,
            keys,
            scenario,
            "listener disconnected, amara's request",
            by="amara",
            python=LISTENER,
        )

        scene = stage.scene(changes=keys)
        with disconnected_listener(), acting_as(stage.person("jonas")):
            ARSubledger.objects.filter(pk__in=keys).update(status="disputed")
        stage.judge(
            scene,
            keys,
            scenario,
            "listener disconnected, update() by jonas",
            by="amara",
            changed_by="jonas",
            python=MANAGER,
        )

        scene = stage.scene()
        with override_settings(AUDIT_FIELDS={"ACTOR": unknown_user}):
            keys = save()
        stage.judge(
            scene, keys, scenario, "ACTOR raises, amara's request", by="system", python=LISTENER
        )
    for message in messages:
        say(f"        logged: {message}")


def unknown_user(user: Any) -> str:
    raise LookupError("the directory does not answer")


@contextlib.contextmanager
def disconnected_listener() -> Iterator[None]:
    uid = "django_audit_fields.stamp_actor"
    if not pre_save.disconnect(dispatch_uid=uid):
        raise RuntimeError("The listener was not connected.")
    try:
        yield
    finally:
        pre_save.connect(listener.stamp_actor, dispatch_uid=uid)


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """What the package's logger says meanwhile, instead of on the terminal."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("django_audit_fields")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield messages
    finally:
        logger.propagate = True
        logger.removeHandler(handler)
