"""A machine that is too slow for its camera: the daemon looks for faces less often, says so, and recovers."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.builders import make_bundle
from tests.e2e.test_run import familiar, starting

CAMERA = "synthetic:fps=15,size=640x480,realtime,loop"
"""Slow enough that a machine busy with other tests is not overloaded from the start."""
STOPPED_S, RUNNING_S = 0.19, 0.01


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """The process runs for one twentieth of the time, as on a machine of that speed; its camera goes on."""
    over = threading.Event()

    def pulse() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(STOPPED_S)
            os.kill(pid, signal.SIGCONT)
            over.wait(RUNNING_S)

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rates(folder: Path, seconds: float = 4.0) -> dict[str, float]:
    """Frames and searches a second, by ``status``, over a few seconds."""

    def look() -> tuple[float, dict[str, Any]]:
        done = familiar(folder, "status", "--json")
        return time.monotonic(), json.loads(done.stdout)["cameras"]["door"]

    (began_s, before), _ = look(), time.sleep(seconds)
    ended_s, after = look()
    return {name: (after[name] - before[name]) / (ended_s - began_s) for name in ("frames", "searched")}


def test_overload_makes_it_look_less_often_and_say_so(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    (tmp_path / "run").mkdir()
    with starting(tmp_path, "--camera", f"door={CAMERA}", "--set", "detect.every=1") as start:
        daemon = start()
        daemon.next_event("appeared")
        quiet = rates(tmp_path)
        with slowed(daemon.process.pid):
            degraded = daemon.next_event("degraded")
        assert "pace door" in json.dumps(degraded) or "faces are looked for" in degraded["reason"]
        assert "instead of" in degraded["reason"]
        recovered = daemon.next_event("recovered")
        assert recovered["wall_time"] >= degraded["wall_time"]
        again = rates(tmp_path)
        assert again["searched"] > 0.5 * quiet["searched"], (quiet, again)
        daemon.end()
