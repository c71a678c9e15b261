"""Side by side with its neighbours: `make bench`.

Rounds are interleaved: each kind of work runs once in every lane before the next round begins. A
ratio is that of two medians; the spread is the middle half of the rounds' own ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from . import report, sql
from .server import SETTINGS, measured_server
from .settings import FURTHER

ROOT = Path(__file__).parent.parent
LANES = list(FURTHER)


class Worker:
    def __init__(self, lane: str, database: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **surroundings(lane, database),
        )
        self.unseen = json.loads(self.process.stdout.readline())["unseen"]

    def time(self, work: str) -> tuple[float, float, float]:
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(f"The process that measures {work} has ended.")
        return json.loads(answer)

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


def command(*arguments: str, module: str = "benchmarks.worker") -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def count_round_trips(database: dict[str, Any]) -> dict[str, dict[str, int]]:
    found = {}
    for lane in LANES:
        finished = subprocess.run(
            command(module="benchmarks.round_trips"),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            **surroundings(lane, database),
        )
        found[lane] = json.loads(finished.stdout)
    return found


def surroundings(lane: str, database: dict[str, Any]) -> dict[str, Any]:
    return {
        "cwd": ROOT,
        "env": {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "BENCH_LANE": lane,
            "BENCH_DATABASE": json.dumps(database),
        },
    }


def lanes_of(work: str, lanes: list[str]) -> list[str]:
    """Those to compare, in an order of chance."""
    compared = lanes
    if work.endswith(report.BESIDE):
        compared = ["package"]
    elif work in report.ALONE:
        compared = [report.ALONE[work]]
    return random.sample(compared, len(compared))


def measure_lanes(
    database: dict[str, Any],
    works: list[str],
    rounds: int,
    generations: int,
    lanes: list[str] = LANES,
) -> tuple[report.Times, dict[str, list[str]]]:
    """Seconds for each (lane, kind of work), round by round."""
    times: report.Times = {}
    unseen: dict[str, list[str]] = {}
    for lane in lanes:
        subprocess.run(command("prepare"), check=True, **surroundings(lane, database))
    for generation in range(generations):
        # Processes anew: how memory came to be laid out is chance, and would otherwise stay.
        workers = {lane: Worker(lane, database) for lane in lanes}
        try:
            for work in works:  # the first run compiles queries and fills caches
                for lane in lanes_of(work, lanes):
                    workers[lane].time(work)
            for number in range(rounds):
                for work in works:
                    for lane in lanes_of(work, lanes):
                        taken = workers[lane].time(work)
                        for name, seconds in zip((lane, *report.SIDES), taken, strict=True):
                            if seconds:
                                times.setdefault((name, work), []).append(seconds)
                print(f"lanes: {generation * rounds + number + 1} rounds", file=sys.stderr)
        finally:
            for lane, worker in workers.items():
                unseen[lane] = worker.unseen
                worker.stop()
    return times, unseen


def main() -> None:

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="in each generation of processes")
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--sql-rounds", type=int, default=11)
    parser.add_argument("--sql-rows", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=report.NAMES, help="kinds of work")
    parser.add_argument("--write", type=Path, help="put the tables into this file")
    options = parser.parse_args()
    start = monotonic()
    with measured_server() as server:
        database = server.django_settings()
        times, unseen = measure_lanes(
            database, options.only or report.NAMES, options.rounds, options.generations
        )
        trips = count_round_trips(database)
        by_sql = {}
        if options.sql_rounds:
            by_sql = sql.measure(server, options.sql_rounds, options.sql_rows)
        with server.connect() as connection:
            version = connection.info.parameter_status("server_version")
    text = report.speed(
        times,
        unseen,
        trips,
        by_sql,
        rounds=options.rounds * options.generations,
        sql_rounds=options.sql_rounds,
        sql_rows=options.sql_rows,
        server=version,
        settings=SETTINGS,
        elapsed=monotonic() - start,
    )
    print(text)
    if options.write:
        report.replace(options.write, "speed", text)


if __name__ == "__main__":
    main()
