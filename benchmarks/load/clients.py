"""The users: each keeps a journal of what it asked for, and of what it was promised."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

#: What happens to a row, in order: the action, and who is to have done it.
Events = tuple[tuple[str, str], ...]


class Wanted(NamedTuple):
    events: Events
    #: "kept": answered, has to be there. "gone": undone, must not be. "doubt": nobody answered.
    promise: str

    @property
    def created_by(self) -> str:
        return self.events[0][1]

    @property
    def updated_by(self) -> str:
        return self.events[-1][1]


Journal = dict[str, Wanted]


def events_of(work: str, own: str, other: str) -> tuple[dict[str, Events], str]:
    """The parts that are stored, with all that happens to each; and the parts that are undone."""
    label = f"import:{other}"
    inserted, updated = ("insert", own), ("update", own)
    match work:
        case "orm" | "sql":
            return {"a": (inserted, updated)}, ""
        case "bulk":
            return dict.fromkeys("abc", (inserted, updated, updated)), ""
        case "in_transaction":
            return {
                "a": (inserted, ("update", label)),
                "b": (inserted,),
                "c": (("insert", label), updated),
            }, ""
        case "impersonate":
            return {"a": (("insert", other),), "b": (("insert", other), updated)}, ""
        case "nobody":
            return dict.fromkeys("ab", (("insert", "system"),)), ""
        case "rolled_back":
            return {}, "ab"
        case "to_savepoint":
            return {"a": (inserted,), "c": (inserted,)}, "b"
        case "failing":
            return {"a": (inserted,)}, "b"
        case "stream":
            return dict.fromkeys("abc", (inserted,)), ""
    raise ValueError(f"No such work: {work!r}.")


WORK = (
    *("orm", "bulk", "sql", "in_transaction", "impersonate", "nobody"),
    *("rolled_back", "to_savepoint", "failing", "stream"),
)
#: One request in so many is left by its client before the answer.
ABANDONED = 25


@dataclass
class Client:
    """One user, who sends one request after another to each of the servers in turn."""

    key: str
    cookie: str
    ports: list[int]
    others: list[str]
    #: Seconds between two requests.
    pause: float = 0.02
    journal: Journal = field(default_factory=dict)
    requests: int = 0
    abandoned: int = 0
    unexpected: list[str] = field(default_factory=list)

    def run(self, is_over: Callable[[], bool], wait: threading.Event) -> None:
        chance = random.Random(self.key)  # noqa: S311 - an order, not a secret
        connections = {port: self.connect(port) for port in self.ports}
        while not is_over():
            self.requests += 1
            port = self.ports[self.requests % len(self.ports)]
            work, other = chance.choice(WORK), chance.choice(self.others)
            view = "stream" if work == "stream" else chance.choice(["write", "awrite"])
            mark = f"{self.key}/{self.requests}"
            path = f"/{view}/?work={work}&mark={mark}&other={other}"
            if chance.randrange(ABANDONED) == 0:
                self.abandon(port, path, chance)
                self.note(mark, work, other, "doubt")
            else:
                try:
                    promise = self.send(connections[port], path, work)
                except (OSError, http.client.HTTPException) as error:
                    self.unexpected.append(f"{path}: {error!r}")
                    promise = "doubt"
                    connections[port] = self.connect(port)
                self.note(mark, work, other, promise)
            wait.wait(self.pause)
        for connection in connections.values():
            connection.close()

    def connect(self, port: int) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, connection: http.client.HTTPConnection, path: str, work: str) -> str:
        connection.request("GET", path, headers={"Cookie": self.cookie})
        response = connection.getresponse()
        response.read()
        if response.status != (500 if work == "failing" else 200):
            self.unexpected.append(f"{path}: status {response.status}")
            return "doubt"
        return "kept"

    def abandon(self, port: int, path: str, chance: random.Random) -> None:
        """Send the request and leave, at once or after the first bytes of the answer."""
        self.abandoned += 1
        connection = self.connect(port)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        if chance.random() < 0.5:
            connection.sock.recv(100)
        connection.close()

    def note(self, mark: str, work: str, other: str, promise: str) -> None:
        stored, undone = events_of(work, self.key, other)
        for part, events in stored.items():
            self.journal[f"{mark} {part}"] = Wanted(events, promise)
        for part in undone:
            self.journal[f"{mark} {part}"] = Wanted((), "gone")


class Verdict(NamedTuple):
    rows: int
    events: int
    wrong: list[str]
    lost: list[str]
    unwanted: list[str]


def compare(
    journals: list[Journal], rows: list[tuple[str, str, str]], events: dict[str, Events]
) -> Verdict:
    """Every row and its events with the journal, and every entry of the journal with them.

    A row whose request was abandoned may have been created and not yet changed again: its events
    are the first of those that were wanted, and it carries the names of these.
    """
    wanted: Journal = {}
    for journal in journals:
        wanted.update(journal)
    wrong, seen = [], {mark for mark, *_ in rows}
    known = {mark for mark, entry in wanted.items() if entry.promise != "gone"}
    for mark, created_by, updated_by in rows:
        found = events.get(mark, ())
        if mark not in known:
            continue
        entry = wanted[mark]
        is_whole = found == entry.events
        is_begun = entry.promise == "doubt" and found == entry.events[: len(found)]
        if not found or not (is_whole or is_begun):
            wrong.append(f"{mark}: {found}, wanted {entry}")
        elif (created_by, updated_by) != (found[0][1], found[-1][1]):
            wrong.append(f"{mark}: {(created_by, updated_by)}, its events are {found}")
    lost = [mark for mark in known if wanted[mark].promise == "kept" and mark not in seen]
    unwanted = sorted({*seen, *events} - known) + sorted(events.keys() & known - seen)
    return Verdict(len(rows), sum(map(len, events.values())), wrong, lost, unwanted)
