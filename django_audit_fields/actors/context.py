"""Why, from where and for whom: what is told of the changes inside a block, for the trail."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from typing import Any, Final

from ..conf import audit_settings
from .claims import RequestClaim
from .scopes import Scope
from .situation import Situation, situation, standing

logger = logging.getLogger("django_audit_fields")

#: The longest text that is sent, in bytes.
MAX_CONTEXT_BYTES: Final = 8_192
#: The longest `source` that a request gives, in characters.
MAX_SOURCE: Final = 500
NAMED: Final = ("reason", "on_behalf_of", "source", "request_id")
#: What follows work into the background.
HANDED_ON: Final = ("reason", "on_behalf_of")


class Told:
    """What a block tells, the blocks around it included."""

    __slots__ = ("text", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.text = text_of(values)


class audit_context(Scope):  # noqa: N801 - a context manager, named for its state
    """Inside it, what is changed is recorded with this: why, for whom, from where.

    Context manager, async context manager and decorator, like `acting_as`. Nests and merges: inner
    values win. It is sent to PostgreSQL's `app.audit_context` where a model has a trail.

    Raises TypeError for what is no text (`reason`, `on_behalf_of`, `source`, `request_id`) or, of
    further values, for what JSON cannot hold; ValueError for a blank text, for characters that
    PostgreSQL cannot store, and for more than 8,192 bytes of JSON.
    """

    __slots__ = ("_given",)
    _kind = "context"

    def __init__(
        self,
        *,
        reason: str | None = None,
        on_behalf_of: str | None = None,
        source: str | None = None,
        request_id: str | None = None,
        **more: Any,
    ) -> None:
        named = dict(zip(NAMED, (reason, on_behalf_of, source, request_id), strict=True))
        self._given = {
            **{name: checked_text(name, text) for name, text in named.items() if text is not None},
            **{name: checked_value(name, value) for name, value in more.items()},
        }
        text_of(self._given)  # more than fits is refused here, before anything is written

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"audit_context({given})"

    def _held(self) -> Told:
        outer = standing(situation().context)
        return Told({**(outer.held.values if outer else {}), **self._given})


def checked_text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"audit_context's {name} is text, not {text!r}.")
    if not text.strip():
        raise ValueError(f"audit_context's {name} is blank: {text!r}.")
    return str(checked_value(name, str.__str__(text)))


def checked_value(name: str, value: Any) -> Any:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"audit_context's {name} is no JSON value: {value!r} ({error}).") from error
    # An escaped backslash before `u0000` is text that only looks like a NUL.
    holds_nul = "\\u0000" in text.replace("\\\\", "")
    if holds_nul or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(
            f"audit_context's {name} holds a NUL character or a lone surrogate, which PostgreSQL "
            f"cannot store: {value!r}."
        )
    return json.loads(text)  # a copy: the caller may change its own later


def text_of(values: Mapping[str, Any]) -> str:
    """The JSON object to send; empty where there is nothing to tell."""
    if not values:
        return ""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    size = len(text.encode())
    if size > MAX_CONTEXT_BYTES:
        raise ValueError(
            f"audit_context holds {size} bytes of JSON, at most {MAX_CONTEXT_BYTES} are sent: "
            "tell less, or a reference to what you mean."
        )
    return text


def context_text() -> str:
    """What is told of a change now, as a JSON object; empty where nothing is.

    Nothing of a request is read before it is needed.
    """
    said = situation()
    entry = standing(said.context)
    if said.requesting is None:
        text: str = entry.held.text if entry else ""
        return text
    return requested_text(said, said.requesting, entry.held if entry else None)


def requested_text(said: Situation, claim: RequestClaim, told: Told | None) -> str:
    known = claim.told
    if known is not None and known[0] is told:
        return str(known[1])
    of_request = told_by_request(claim.request) if known is None else known[2]
    text = text_within(of_request, {} if told is None else told.values)
    claim.told = told, text, of_request
    return text


def text_within(of_request: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    try:
        return text_of({**of_request, **values})
    except ValueError:
        # The block's values fit alone, and not beside the request's: no write is lost to that.
        return text_of(values)


def told_by_request(request: Any) -> dict[str, str]:
    """Where the change came from: method and path without the query, and an id to find it by."""
    told = {"request_id": request_id(request)}
    method, path = getattr(request, "method", None), getattr(request, "path", None)
    if isinstance(method, str) and isinstance(path, str):
        told["source"] = source_text(f"{method} {path}")
    if audit_settings().trail_client_ip:
        address = getattr(request, "META", {}).get("REMOTE_ADDR")
        if isinstance(address, str) and address:
            told["client_ip"] = address
    return told


def request_id(request: Any) -> str:
    """`X-Request-ID` when it is 1 to 64 printable ASCII characters, else one of our own."""
    given = getattr(request, "META", {}).get("HTTP_X_REQUEST_ID", "")
    if isinstance(given, str) and 1 <= len(given) <= 64 and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex


def source_text(source: str) -> str:
    """`source` as it can be sent, cut to its length."""
    return source[:MAX_SOURCE].replace("\0", "").encode(errors="replace").decode()


def handed_on() -> dict[str, str]:
    """The reason, and for whom, for work that goes on in the background."""
    entry = standing(situation().context)
    values = entry.held.values if entry else {}
    return {name: values[name] for name in HANDED_ON if name in values}


def told_by_task(source: str, handed: Any) -> Told:
    """What is told of background work: where it runs, and what was handed on to it.

    Never raises: what cannot be told is logged, and the work goes on in its sender's name.
    """
    given = handed if isinstance(handed, Mapping) else {}
    try:
        known = Told({name: checked_text(name, given[name]) for name in HANDED_ON if name in given})
    except (TypeError, ValueError) as error:
        logger.warning("%s goes on without what was handed on to it: %s", source, error)
        known = Told({})
    try:
        return Told({"source": source_text(source), **known.values})
    except ValueError:
        return known  # the reason fits alone, and not beside the source
