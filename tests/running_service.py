"""A daemon of a test's own, in this process."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.config import Config, parse_config
from edge_runtime.daemon.service import Service
from tests.event_lines import EventLines

LIVE = "synthetic:fps=10,size=320x240,realtime,loop"


def make_config(folder: Path, bundle: Path, **cameras: str) -> Config:
    """A configuration with everything in one folder, and the cameras given."""
    document = {
        "bundle": {"path": str(bundle)},
        "camera": {name: {"source": spec} for name, spec in cameras.items()},
        "gallery": {"path": str(folder / "state/gallery.db"), "key_file": str(folder / "keys/device.key")},
        "control": {"socket": str(folder / "control.sock")},
        "events": {"path": str(folder / "events.jsonl")},
    }
    return parse_config(document)


def until(true: Callable[[], bool], what: str, patience_s: float = 120.0) -> None:
    """Wait for something that happens soon on any machine."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.02)


class RunningService:
    """A service on a thread, whose events are read as they come."""

    def __init__(self, config: Config, **arguments: Any) -> None:
        self._read, write = os.pipe()
        events = dataclasses.replace(config.events, path=f"/proc/self/fd/{write}")
        self.service = Service(dataclasses.replace(config, events=events), **arguments)
        os.close(write)
        self._events = EventLines(self._read)
        self._thread = threading.Thread(target=self.service.run)

    def __enter__(self) -> RunningService:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.service.stop()
        self._thread.join(20)
        self.service.close()
        os.close(self._read)

    def next_event(self, kind: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait for the next event of this kind; others before it are passed over."""
        return self._events.next_event((kind,), timeout_s)
