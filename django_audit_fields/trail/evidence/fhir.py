"""An event as an AuditEvent resource of HL7 FHIR R5 (https://hl7.org/fhir/R5/auditevent.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .report import ReportedEvent

#: AuditEvent.action and, where FHIR has one, the interaction that it is like.
ACTIONS: Final = {
    "insert": ("C", "create"),
    "update": ("U", "update"),
    "delete": ("D", "delete"),
    "truncate": ("D", None),
    "baseline": ("E", None),
}


def audit_event(event: ReportedEvent, context: Mapping[str, Any]) -> dict[str, Any]:
    action, interaction = ACTIONS[event.action]
    code: dict[str, Any] = {"text": event.action}
    if interaction:
        code["coding"] = [
            {"system": "http://hl7.org/fhir/restful-interaction", "code": interaction}
        ]
    agents = [
        agent(event.actor, requestor=True)
        | ({"networkString": event.client_addr} if event.client_addr else {})
    ]
    if on_behalf_of := context.get("on_behalf_of"):
        agents.append(
            {"type": {"text": "on behalf of"}} | agent(str(on_behalf_of), requestor=False)
        )
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(event.id),
        "code": code,
        "action": action,
        "recorded": event.recorded_at.isoformat().replace("+00:00", "Z"),
        # What was rolled back is not recorded.
        "outcome": {"code": {"system": "http://hl7.org/fhir/issue-severity", "code": "success"}},
        "agent": agents,
        "source": {"observer": {"display": stated(event.application_name or event.db_role)}},
        "entity": [entity(event, context)],
    }
    if reason := context.get("reason"):
        resource["authorization"] = [{"text": stated(str(reason))}]
    return resource


def agent(label: str, *, requestor: bool) -> dict[str, Any]:
    return {"who": {"identifier": {"value": stated(label)}}, "requestor": requestor}


def entity(event: ReportedEvent, context: Mapping[str, Any]) -> dict[str, Any]:
    place = f"{event.table_schema}.{event.table_name}"
    what = place if event.row_key is None else f"{place}/{event.row_key}"
    details = [
        ("before", event.before),
        ("after", event.after),
        ("database role", event.db_role),
        ("transaction", str(event.transaction_id)),
        *((name, str(context[name])) for name in ("source", "request_id") if context.get(name)),
    ]
    return {
        "what": {"identifier": {"value": stated(what)}},
        "detail": [
            {"type": {"text": name}, "valueString": stated(value)}
            for name, value in details
            if value
        ],
    }


def stated(text: str) -> str:
    """FHIR has no text without a character that shows, and no control characters."""
    shown = "".join(
        character if character.isprintable() or character in "\t\r\n" else "\ufffd"
        for character in text
    )
    return shown if shown.strip() else "(blank)"
