"""What happened to one entry: five writes, each by another way, and the trail of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction

from django_audit_fields import acting_as, audit_context, bind_actor
from django_audit_fields.models import AuditEvent
from django_audit_fields.people import names_of
from django_audit_fields.trail import trail_of
from invoices.management.commands.set_up_clinic import PASSWORD
from invoices.models import ARSubledger, LegacyCharge

from .browser import Browser
from .evidence import LEDGER
from .stage import Stage, say

REASON = "amount confirmed by phone"
#: Left out where changes are shown: they say what the event itself says.
STAMPS = ("created_at", "updated_at", "created_by", "updated_by")


@dataclasses.dataclass(frozen=True)
class Told:
    actor: str
    action: str
    reason: str | None
    changed: Mapping[str, tuple[Any, Any]]


def tell_a_history(stage: Stage, address: str) -> list[str]:
    """Write, and read the trail back; answers what is wrong with it."""
    entry = enter_by_a_form(address)
    upsert_a_copied_line(entry)
    change_by_sql(stage, entry)
    change_in_the_admin(address, entry)
    delete(stage, entry)
    say(f"What the trail tells of entry {entry}, newest first:\n")
    events = list(AuditEvent.objects.of(ARSubledger).filter(row_key=str(entry)).order_by("-id"))
    show(events)
    faults = compare(stage, events)
    faults += legacy_faults(stage)
    for fault in faults:
        say(f"  FAIL  {fault}")
    return faults


def enter_by_a_form(address: str) -> int:
    amara = Browser(address)
    amara.log_in("amara", PASSWORD)
    page = amara.send(
        "/entries/new/",
        patient_account="PA-10950",
        entry_date="2026-07-06",
        description="Office visit",
        debit="80.00",
        credit="0",
        status="open",
    )
    found = re.search(r"Entry (\d+) was added", page)
    assert found is not None
    return int(found[1])


def upsert_a_copied_line(entry: int) -> None:
    """COPY into a table for the moment, and from there an upsert."""
    with (
        acting_as("import:remittances"),
        audit_context(reason="remittance of July", on_behalf_of="insurer:3"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TEMPORARY TABLE line (number bigint, debit numeric) ON COMMIT DROP")
        bind_actor()
        with cursor.copy("COPY line FROM STDIN") as stream:
            stream.write_row((entry, "85.00"))
        cursor.execute(
            f"INSERT INTO {LEDGER} (entry_number, patient_account, entry_date, description, debit,"
            " credit, status) SELECT number, 'PA-10950', '2026-07-06', 'Office visit', debit, 0,"
            " 'open' FROM line ON CONFLICT (entry_number) DO UPDATE SET debit = EXCLUDED.debit"
        )


def change_by_sql(stage: Stage, entry: int) -> None:
    stage.psql(
        f"""BEGIN; SET LOCAL app."current_user" TO 'dba:vera';
        SELECT set_config('app.audit_context', '{{"reason": "{REASON}"}}', true);
        UPDATE {LEDGER} SET debit = 90 WHERE entry_number = {entry}; COMMIT;"""
    )


def change_in_the_admin(address: str, entry: int) -> None:
    admin = Browser(address)
    admin.log_in("admin", PASSWORD)
    admin.send(f"/admin/invoices/arsubledger/{entry}/change/", status="disputed")


def delete(stage: Stage, entry: int) -> None:
    with acting_as(stage.person("jonas")), audit_context(reason="entered twice"):
        ARSubledger.objects.get(pk=entry).delete()


def show(events: list[AuditEvent]) -> None:
    names = names_of([event.actor for event in events])
    for event in events:
        when = event.recorded_at.strftime("%H:%M:%S.%f")[:-3]
        why = f"  because: {event.reason}" if event.reason else ""
        where = f"  ({event.source})" if event.source else ""
        say(f"  {when}  {names[event.actor]:<20} {event.action:<7}{why}{where}")
        for change in event.changes():
            if change.field not in STAMPS:
                before, after = (
                    change.before_display or "nothing",
                    change.after_display or "nothing",
                )
                say(f"                {change.verbose_name}: {before} → {after}")
    say("")


def compare(stage: Stage, events: list[AuditEvent]) -> list[str]:
    def key(username: str) -> str:
        return str(stage.person(username).pk)

    wanted = [
        Told(key("jonas"), "delete", "entered twice", {}),
        Told(key("admin"), "update", None, {"status": ("open", "disputed")}),
        Told("dba:vera", "update", REASON, {"debit": (85, 90)}),
        Told("import:remittances", "update", "remittance of July", {"debit": (80, 85)}),
        Told(key("amara"), "insert", None, {}),
    ]
    found = [
        Told(
            event.actor,
            event.action,
            event.reason,
            {
                change.field: (change.before, change.after)
                for change in event.changes()
                if event.action == "update" and change.field not in STAMPS
            },
        )
        for event in events
    ]
    return [] if found == wanted else [f"the trail tells {found}, and it was {wanted}"]


def legacy_faults(stage: Stage) -> list[str]:
    """A table without a model of Django's has a trail as well."""
    new = stage.new_code()
    stage.psql(
        f"INSERT INTO legacy_charge (charge_code, patient_account, amount)"
        f" VALUES ('{new}', 'PA-10950', 70);"
        f" DELETE FROM legacy_charge WHERE charge_code = '{new}';"
    )
    told = [event.action for event in trail_of(LegacyCharge).filter(row_key=new).order_by("id")]
    return [] if told == ["insert", "delete"] else [f"the trail of charge {new} tells {told}"]
