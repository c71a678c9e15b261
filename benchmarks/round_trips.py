"""How often a write waits for the server, counted between the two."""

from __future__ import annotations

import json
import selectors
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import django
from django.db import connection, transaction


class Relay(threading.Thread):
    """Stands before the server's socket; a round trip begins when the client speaks anew."""

    def __init__(self, target: str, folder: str) -> None:
        super().__init__(daemon=True)
        self.target, self.trips = target, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(Path(folder, ".s.PGSQL.5432")))
        self.listener.listen()

    def run(self) -> None:
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.target)
        selector = selectors.DefaultSelector()
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        spoke_last = server
        while True:
            for key, _ in selector.select():
                if not (data := key.fileobj.recv(65536)):
                    return
                if key.fileobj is client and spoke_last is server:
                    self.trips += 1
                spoke_last = key.fileobj
                key.data.sendall(data)


def main() -> None:
    django.setup()
    from django.contrib.auth.models import User

    from benchmarks.worker import lane_of_this_process

    lane = lane_of_this_process()
    with tempfile.TemporaryDirectory() as folder:
        settings = connection.settings_dict
        relay = Relay(str(Path(settings["HOST"], ".s.PGSQL.5432")), folder)
        relay.start()
        settings["HOST"] = folder
        lane.user = User.objects.get(username="benchmarks")
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(lane.tables())} CASCADE")
        order = lane.build(1)

        def counted(work: Callable[[], object]) -> int:
            before = relay.trips
            work()
            return relay.trips - before

        with lane.acting():
            found = {"save() of a new row, autocommit": counted(lambda: lane.create(order))}
            lane.change_all([order])
            found["save() of a loaded row, autocommit"] = counted(lambda: lane.save(order))
            found["save() in a transaction of its own"] = counted(
                transaction.atomic(lambda: lane.create(lane.build(2)))
            )
            orders = [lane.build(number) for number in range(10)]

            @transaction.atomic
            def save_all() -> None:
                for order in orders:
                    lane.create(order)

            found["ten times save() in a transaction"] = counted(save_all)
            found["update()"] = counted(lane.update)
        connection.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
