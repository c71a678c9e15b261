"""The users: each keeps a journal of what it asked for, and of what it was promised."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Wanted(NamedTuple):
    created_by: str
    updated_by: str
    #: "kept": answered, has to be there. "gone": undone, must not be. "doubt": nobody answered.
    promise: str


Journal = dict[str, Wanted]
Rows = dict[str, tuple[str, str]]


def rows_of(work: str, own: str, other: str) -> tuple[Rows, str]:
    """Parts that are stored with who created and changed them last; and those undone."""
    label = f"import:{other}"
    match work:
        case "orm" | "sql":
            return {"a": (own, own)}, ""
        case "bulk":
            return dict.fromkeys("abc", (own, own)), ""
        case "in_transaction":
            return {"a": (own, label), "b": (own, own), "c": (label, own)}, ""
        case "impersonate":
            return {"a": (other, other), "b": (other, own)}, ""
        case "nobody":
            return dict.fromkeys("ab", ("system", "system")), ""
        case "rolled_back":
            return {}, "ab"
        case "to_savepoint":
            return {"a": (own, own), "c": (own, own)}, "b"
        case "failing":
            return {"a": (own, own)}, "b"
        case "stream":
            return dict.fromkeys("abc", (own, own)), ""
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
        stored, undone = rows_of(work, self.key, other)
        for part, (created_by, updated_by) in stored.items():
            self.journal[f"{mark} {part}"] = Wanted(created_by, updated_by, promise)
        for part in undone:
            self.journal[f"{mark} {part}"] = Wanted("", "", "gone")


class Verdict(NamedTuple):
    rows: int
    wrong: list[str]
    lost: list[str]
    unwanted: list[str]


def compare(journals: list[Journal], rows: list[tuple[str, str, str]]) -> Verdict:
    """Every row with the journal, and every entry of the journal with the rows.

    A row whose request was abandoned may have been created and not yet changed by the other actor
    of its work; each name that it carries has to be one of those.
    """
    wanted: Journal = {}
    for journal in journals:
        wanted.update(journal)
    wrong, unwanted, seen = [], [], set()
    for mark, created_by, updated_by in rows:
        seen.add(mark)
        entry = wanted.get(mark)
        if entry is None or entry.promise == "gone":
            unwanted.append(mark)
        elif entry.promise == "doubt" and (created_by, updated_by) == (created_by,) * 2:
            if created_by != entry.created_by:
                wrong.append(f"{mark}: {(created_by, updated_by)}, wanted {entry}")
        elif (created_by, updated_by) != entry[:2]:
            wrong.append(f"{mark}: {(created_by, updated_by)}, wanted {entry}")
    lost = [mark for mark, entry in wanted.items() if entry.promise == "kept" and mark not in seen]
    return Verdict(len(rows), wrong, lost, unwanted)
