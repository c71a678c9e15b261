"""A process that serves one lane: reads the name of a kind of work, answers what it took.

Each lane has a process to itself, so that no package's signals and wrappers weigh on another.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys

import django
from django.conf import settings


@functools.cache
def lane_of_this_process():
    return importlib.import_module(f"benchmarks.lanes.{settings.LANE}.models").lane


def main() -> None:
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from . import works

    lane = lane_of_this_process()
    if sys.argv[1:] == ["prepare"]:
        call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)
        lane.prepare()
        User.objects.get_or_create(username="benchmarks")
        return
    lane.user = User.objects.get(username="benchmarks")
    print(json.dumps({"unseen": sorted(lane.unseen)}), flush=True)
    for line in sys.stdin:
        work, number = works.WORKS[line.strip()]
        clock = works.Clock()
        work(lane, clock)
        times = [clock.elapsed, clock.installed, clock.beside]
        print(json.dumps([seconds / number for seconds in times]), flush=True)


if __name__ == "__main__":
    # Also what `benchmarks.urls` imports, under its own name.
    from benchmarks.worker import main

    main()
