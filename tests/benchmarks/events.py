"""What storing events costs the frame loop, and how long they take to a sink, on this disk and on slower ones.

    python -m tests.benchmarks.events [--folder DIR]

A slower disk is this one under strace, which holds up every sync; the figures under it hold for the sync's share.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from edge_runtime.events.log import EventLog
from edge_runtime.gallery.directory import Directory
from edge_runtime.types import Event
from tests.builders import make_event

_SLOW_MS = (0, 20, 100, 500)
_RUNS = ((2.0, 30), (50.0, 500), (5000.0, 5000))
"""(events a second, events): a quiet house, a crowd, and a clip at full speed."""


class _Clocked:
    """Notes when each event arrives."""

    lasting = False
    pictures, refused = False, 0

    def __init__(self, count: int) -> None:
        self.at_s = np.full(count, np.nan)
        self.done = threading.Event()

    def emit(self, event: Event) -> None:
        self.at_s[int(event.captured_s)] = time.perf_counter()
        if event.captured_s == len(self.at_s) - 1:
            self.done.set()

    def flush(self) -> None: ...

    def close(self) -> None: ...


def measure(folder: Path, rate: float, count: int) -> str:
    log = EventLog(folder / "events.db", Directory(), 30, 100, print, print)
    sink = _Clocked(count)
    log.attach("clocked", sink, print)
    log.flush(60)
    began, took = np.zeros(count), np.zeros(count)
    start = time.perf_counter()
    for number in range(count):
        time.sleep(max(start + number / rate - time.perf_counter(), 0))
        event = make_event(number, track_id=f"door-1-{number}", quality={"face_px": 90.0, "turn": 0.1})
        began[number] = time.perf_counter()
        log.append(event)
        took[number] = time.perf_counter() - began[number]
    assert sink.done.wait(300)
    waits = 1e3 * (sink.at_s - began)
    log.close()
    return (
        f"{rate:7.1f} {count:6d}   {1e6 * np.median(took):6.0f} {1e3 * np.quantile(took, 0.99):7.2f}"
        f"   {np.median(waits):8.1f} {np.quantile(waits, 0.99):8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--sync-ms", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sync_ms is not None:
        for rate, count in _RUNS:
            with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                print(f"{args.sync_ms:7d} {measure(Path(folder), rate, count)}", flush=True)
        return
    print("sync +ms   events/s  count   append µs median, ms p99   ms to the sink median, p99")
    for slow_ms in _SLOW_MS if shutil.which("strace") else _SLOW_MS[:1]:
        command = [sys.executable, "-m", "tests.benchmarks.events", "--folder", str(args.folder), "--sync-ms"]
        slow = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e"]
        slow += [f"inject=fdatasync,fsync:delay_enter={1000 * slow_ms}"]
        subprocess.run([*(slow if slow_ms else []), *command, str(slow_ms)], check=True)


if __name__ == "__main__":
    main()
