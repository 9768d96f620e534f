"""Events stored one after the other, each acknowledged on standard output when it is durable.

    python -m tests.event_workload store FOLDER FIRST COUNT    by the file's own writer, in groups
    python -m tests.event_workload log FOLDER FIRST COUNT      by the daemon's log, with a sink to FOLDER/seen.jsonl
    python -m tests.event_workload clock FOLDER CLOCK          while the wall clock jumps, as the file CLOCK says

The event of number N has ``captured_s`` N - 1. The last prints how many events are kept after each jump.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path

import numpy as np

from edge_runtime.events.log import EventLog
from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore
from edge_runtime.gallery.directory import Directory
from edge_runtime.sinks import open_sink, read_sink
from tests.builders import make_event

NOBODY = Directory()


def acknowledge(number: int) -> None:
    os.write(1, f"{number}\n".encode())


def open_log(folder: Path, prune_every_s: float = 60.0, keep_days: float = 30.0) -> EventLog:
    return EventLog(
        folder / "events.db", NOBODY, keep_days, 100.0, lambda reason: None, lambda line: None,
        prune_every_s=prune_every_s,
    )  # fmt: skip


def store(folder: Path, first: int, count: int) -> None:
    rng = np.random.default_rng(first)
    with EventStore(folder / "events.db") as opened:
        acknowledge(opened.newest)
        number = first
        while number < first + count:
            group = range(number, min(number + int(rng.integers(1, 8)), first + count))
            events = [(make_event(item - 1, crop=None), NOBODY) for item in group]
            opened.commit(events, NOBODY.forgotten, (float(number), None), {}, 0)
            number = group.stop
            acknowledge(number - 1)


def log(folder: Path, first: int, count: int) -> None:
    rng = np.random.default_rng(first)
    opened = open_log(folder)
    sink = read_sink({"type": "jsonlines", "path": str(folder / "seen.jsonl")}, "workload")
    opened.attach(sink.name, open_sink(sink), lambda delivery, error: None)
    acknowledge(first - 1)
    for number in range(first, first + count):
        opened.append(make_event(number - 1))
        if rng.random() < 0.2 and opened.flush(60.0):
            acknowledge(number)
    if opened.drain(60.0):
        acknowledge(first + count - 1)


def clock(folder: Path, jumps: Path) -> None:
    def kept() -> int:
        with EventReader(folder / "events.db") as reader:
            return len(reader.after(0, 10_000))

    counts, walls = [], []
    opened = open_log(folder, prune_every_s=0.01)
    for jump in ("+0", "+20000d", "+0", "-15000d", "+20000d", "-15000d", "+30000d", "+0"):
        jumps.write_text(f"{jump}\n")
        for number in range(10):
            opened.append(make_event(number))
        opened.flush(60.0)
        for _ in range(5):  # looks for what is old
            select.select([], [], [], 0.02)  # libfaketime spoils time.sleep
            opened.flush(60.0)
        counts.append(kept())
        walls.append(time.time())
    opened.close()
    jumps.write_text("-15000d\n")
    opened = open_log(folder, prune_every_s=0.01, keep_days=1e-7)
    while kept():
        opened.flush(60.0)
    opened.close()
    print(json.dumps({"counts": counts, "walls": walls}))


def main() -> None:
    folder = Path(sys.argv[2])
    if sys.argv[1] == "clock":
        clock(folder, Path(sys.argv[3]))
    else:
        {"store": store, "log": log}[sys.argv[1]](folder, int(sys.argv[3]), int(sys.argv[4]))


if __name__ == "__main__":
    main()
