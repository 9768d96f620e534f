"""Frames a second of a daemon under load, as shares of its own when it is left alone.

python -m tests.benchmarks.load --out docs/daemon/load.md

The daemon is ``familiar run`` in a process of its own with the released bundle, two people enrolled and a live
synthetic camera of 25 frames a second. Each load is measured between two quiet times of the same length, and beside a
twin that is left alone at the same time: what else the machine does weighs on both, so the share of the twin says what
the load does inside the daemon, and the share of the quiet times what it costs in all. Medians of all turns.
"""

from __future__ import annotations

import argparse
import http.server
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from edge_runtime.control.client import ControlClient
from edge_runtime.control.protocol import MAX_PAYLOAD
from edge_runtime.errors import FamiliarError
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS, still
from tests.benchmarks.outputs import familiar, scene_people, write_config
from tests.mosquitto import free_port
from tests.waiting import wait_for

CAMERA = "synthetic:realtime,loop,fps=25,size=640x480"
FLOOR = 0.9
PHOTO_WH = (6000, 4000)
SILENT, LARGE = 500, 8
SETTLE_S = 1.0
"""Between the beginning of a load and its measurement."""


class Hanging:
    """A webhook's receiver that answers at once, or takes a request and says nothing while ``hangs`` is set."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                while receiver.hangs.is_set():
                    time.sleep(0.1)
                with suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hangs.clear()
        self._server.shutdown()
        self._server.server_close()


class Bench:
    """A daemon, and what can be done to it."""

    def __init__(self, stack: ExitStack, camera: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, self.folder)
        self.receiver = Hanging()
        stack.callback(self.receiver.close)
        outputs = f'[[sink]]\ntype = "jsonlines"\npath = "{self.folder}/events.jsonl"\n'
        outputs += f'[[sink]]\ntype = "webhook"\nurl = "{self.receiver.url}"\n'
        outputs += f'[camera.yard]\nsource = "rtsp://127.0.0.1:{free_port()}/live"\n'
        write_config(self.folder, camera, outputs)
        for name, photos in scene_people(self.folder).items():
            subprocess.run(familiar(self.folder, "enroll", name, *map(str, photos)), check=True, capture_output=True)
        log = stack.enter_context((self.folder / "log").open("w"))
        self.daemon = subprocess.Popen(familiar(self.folder, "run"), stdout=log, stderr=log)
        stack.callback(self.daemon.wait, 30)
        stack.callback(self.daemon.terminate)
        self.socket = self.folder / "control.sock"
        wait_for(self.socket.exists)
        self.client = ControlClient(self.socket)
        wait_for(lambda: self._front().get("frames", 0) > 0)
        self._switch(False)
        self._photos = 0

    def _front(self) -> dict[str, Any]:
        return dict(self.client.call("status", {})["cameras"].get("front", {}))

    def _switch(self, on: bool) -> None:
        self.client.call("camera.switch", {"camera": "yard", "on": on})

    def frames(self) -> int:
        """Of the live camera, so far."""
        return int(self._front()["frames"])

    @contextmanager
    def repeated(self, action: Callable[[], object], threads: int = 1) -> Iterator[None]:
        """Do something over and over on threads of this process; what the daemon refuses is part of it."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                with suppress(FamiliarError):
                    action()

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            over.set()
            for worker in workers:
                worker.join()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Connections that say nothing; whoever is sent away comes again."""
        peers: list[socket.socket] = []

        def connect() -> None:
            if len(peers) >= SILENT:
                peers.pop(0).close()
                time.sleep(0.05)
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            peer.settimeout(1)
            with suppress(OSError):
                peer.connect(str(self.socket))
            peers.append(peer)

        with self.repeated(connect):
            yield
        for peer in peers:
            peer.close()

    @contextmanager
    def large(self) -> Iterator[None]:
        """Messages of the largest size, which hold no picture."""
        payload = bytes(MAX_PAYLOAD)
        with self.repeated(lambda: self.client.call("recognize", {}, payload), LARGE):
            yield

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        self._switch(True)
        try:
            yield
        finally:
            self._switch(False)

    @contextmanager
    def enrolling(self) -> Iterator[None]:
        """``familiar enroll`` of one 24-megapixel photo after the other, each another file."""
        portrait = still(read_image(sorted(PORTRAITS.glob("*.png"))[3]))
        canvas = cv2.resize(portrait, PHOTO_WH, interpolation=cv2.INTER_CUBIC)
        noise = np.random.default_rng(0).integers(-20, 20, canvas.shape, np.int16)
        done, data = cv2.imencode(".jpg", np.clip(canvas[:, :, ::-1] + noise, 0, 255).astype(np.uint8))
        assert done

        def enrol() -> None:
            self._photos += 1
            photo = self.folder / f"large{self._photos}.jpg"
            photo.write_bytes(bytes(data) + str(self._photos).encode())
            subprocess.run(familiar(self.folder, "enroll", f"Kim {self._photos}", str(photo)), capture_output=True)
            photo.unlink()

        with self.repeated(enrol):
            yield

    @contextmanager
    def hanging(self) -> Iterator[None]:
        self.receiver.hangs.set()
        try:
            yield
        finally:
            self.receiver.hangs.clear()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """``familiar events`` over and over, and requests of the same kind in between."""
        words = familiar(self.folder, "events", "--raw")
        with (
            self.repeated(lambda: subprocess.run(words, capture_output=True)),
            self.repeated(lambda: self.client.call("events.list", {})),
        ):
            yield


class Turn(NamedTuple):
    """One measurement of a load."""

    of_quiet: float
    """Share of the rate just before and after."""
    of_twin: float
    """Share of the rate of a daemon that is left alone at the same time."""
    quiet: float


LOADS: dict[str, Callable[[Bench], Any]] = {
    "nothing (what the measurement itself varies)": lambda bench: nullcontext(),
    f"{SILENT} control connections that say nothing": Bench.silent,
    f"{LARGE} control messages of {MAX_PAYLOAD >> 20} MiB at a time": Bench.large,
    "a second camera that cannot be reached": Bench.unreachable,
    "photos of 24 megapixels being enrolled": Bench.enrolling,
    "a webhook whose receiver never answers": Bench.hanging,
    "events being read": Bench.reading,
}


def rates(benches: list[Bench], seconds: float) -> list[float]:
    """Frames a second of each live camera, in the same seconds."""
    time.sleep(SETTLE_S)
    first = [(bench.frames(), time.monotonic()) for bench in benches]
    time.sleep(seconds)
    last = [(bench.frames(), time.monotonic()) for bench in benches]
    return [(end[0] - start[0]) / (end[1] - start[1]) for start, end in zip(first, last, strict=True)]


def measure(bench: Bench, twin: Bench, seconds: float, turns: int, chosen: list[str]) -> dict[str, list[Turn]]:
    """What each load does, a turn each."""
    found: dict[str, list[Turn]] = {name: [] for name in chosen}
    for _ in range(turns):
        before, _ = rates([bench, twin], seconds)
        for name in chosen:
            with LOADS[name](bench):
                loaded, beside = rates([bench, twin], seconds)
            after, _ = rates([bench, twin], seconds)
            quiet = (before + after) / 2
            found[name].append(Turn(loaded / quiet, loaded / beside, quiet))
            print(f"{name}: {loaded:.1f}, quiet {quiet:.1f}, beside it {beside:.1f} frames a second", flush=True)
            before = after
    return found


def main() -> None:
    """Measure every load, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--camera", default=CAMERA)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="", help="loads whose name has this in it")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    chosen = [name for name in LOADS if args.only in name]
    with ExitStack() as stack:
        found = measure(Bench(stack, args.camera), Bench(stack, args.camera), args.seconds, args.turns, chosen)
    rows = ["| load | share of quiet | share of a twin left alone | quiet, frames a second |", "|---|---|---|---|"]
    for name, turns in found.items():
        of_quiet, of_twin, quiet = map(statistics.median, zip(*turns, strict=True))
        mark = "" if of_twin >= FLOOR else f" (below {FLOOR:g})"
        spread = f"{min(turn.of_twin for turn in turns):.2f} to {max(turn.of_twin for turn in turns):.2f}"
        rows.append(f"| {name} | {of_quiet:.2f} | {of_twin:.2f}, {spread}{mark} | {quiet:.1f} |")
    text = (
        "# Frames a second under load\n\nMade by `python -m tests.benchmarks.load`: a live synthetic camera of 25 "
        f"frames a second, {args.turns} turns of {args.seconds:g} s on {os.cpu_count()} processors, each between two "
        f"quiet times and beside a twin that is left alone; medians. Load of the machine at the end: "
        f"{os.getloadavg()[0]:.0f}.\n\n" + "\n".join(rows) + "\n"
    )
    print(text)
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
