"""What clips, MQTT, figures and snapshots cost a daemon: pairs at the same time, one of which has them.

python -m tests.benchmarks.outputs --out docs/outputs/cost.md

Each daemon is ``familiar run`` in a process of its own with the released bundle, two people enrolled and a live
synthetic camera; with outputs it has a real broker, a reader of everything, a picture with each event, and a scrape of
its figures every few seconds. What else the machine does weighs on both daemons of a pair, so each window of time gives
a share of the same seconds. A pair of which neither has anything says what that itself varies.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge_runtime.control.client import ControlClient
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS, still
from tests.builders import RELEASED
from tests.mosquitto import Broker, Reader, free_port
from tests.waiting import wait_for

CAMERAS = ("synthetic:realtime,loop,fps=25,size=640x480", "synthetic:realtime,loop,fps=25,size=1280x720")
VARIANTS = {"nothing": "nothing, as the first", "clips": "clips", "outputs": "MQTT, figures and snapshots"}
_SETTLE_S = 10.0


def familiar(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "edge_runtime", *words, "--config", str(folder / "familiar.toml")]


def write_config(folder: Path, camera: str, outputs: str) -> None:
    (folder / "state").mkdir(mode=0o700)
    (folder / "keys").mkdir(mode=0o700)
    (folder / "familiar.toml").write_text(
        f'[bundle]\npath = "{RELEASED}"\n'
        f'[camera.front]\nsource = "{camera}"\n'
        f'[gallery]\npath = "{folder}/state/gallery.db"\nkey_file = "{folder}/keys/device.key"\n'
        f'[control]\nsocket = "{folder}/control.sock"\n{outputs}'
    )


def scene_people(folder: Path) -> dict[str, list[Path]]:
    """Three stills of each of the first two people of the synthetic scene."""
    found: dict[str, list[Path]] = {}
    for portrait in sorted(PORTRAITS.glob("*.png"))[:2]:
        for variant in range(3):
            path = folder / f"{portrait.stem}{variant}.png"
            cv2.imwrite(str(path), np.ascontiguousarray(still(read_image(portrait), variant)[:, :, ::-1]))
            found.setdefault(portrait.stem.capitalize(), []).append(path)
    return found


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith(" kB")}
    return found["Rss"] / 1024, found["Pss"] / 1024


def cpu_ms(pid: int) -> tuple[float, float]:
    """CPU time of a process's first thread, which runs the frame loop, and of all others that live."""
    first = others = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            spent = int((task / "schedstat").read_text().split()[0]) / 1e6
            first, others = (spent, others) if task.name == str(pid) else (first, others + spent)
    return first, others


class Count(NamedTuple):
    """Of one daemon, so far."""

    at_s: float
    frames: int
    loop_ms: float
    other_ms: float


class Window(NamedTuple):
    """A stretch of time of a pair: what the second daemon did, and as shares of the first."""

    fps: float
    of_fps: float
    loop_ms: float
    of_loop: float
    other_ms: float
    more_other_ms: float


class Running:
    """A daemon, with ``nothing``, ``clips`` or ``outputs``; it ends with its stack."""

    def __init__(
        self, stack: ExitStack, camera: str, variant: str, people: dict[str, list[Path]] | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, self.folder)
        self.reader: Reader | None = None
        self._metrics = free_port()
        outputs = f'[[sink]]\ntype = "jsonlines"\npath = "{self.folder}/events.jsonl"\n'
        if variant == "outputs":
            broker = Broker(self.folder / "broker")
            stack.callback(broker.kill)
            self.reader = Reader(broker.port)
            stack.callback(self.reader.close)
            outputs += f'[[sink]]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\nclient_id = "familiar-pi"\n'
            outputs += f'image = "snapshot"\n[metrics]\nlisten = "127.0.0.1:{self._metrics}"\n'
        keep = {"nothing": "none", "clips": "clips", "outputs": "snapshots"}[variant]
        write_config(self.folder, camera, f'[events]\nkeep = "{keep}"\n{outputs}')
        for name, photos in (people or scene_people(self.folder)).items():
            subprocess.run(familiar(self.folder, "enroll", name, *map(str, photos)), check=True, capture_output=True)
        log = stack.enter_context((self.folder / "log").open("w"))
        self._daemon = subprocess.Popen(familiar(self.folder, "run"), stdout=log, stderr=log)
        stack.callback(self.end)
        wait_for((self.folder / "control.sock").exists)
        self._client = ControlClient(self.folder / "control.sock")
        wait_for(lambda: self._frames() > 0)

    def _frames(self) -> int:
        return int(self._client.call("status", {})["cameras"].get("front", {}).get("frames", 0))

    def count(self) -> Count:
        if self.reader is not None:
            urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10).read()
        return Count(time.monotonic(), self._frames(), *cpu_ms(self._daemon.pid))

    @property
    def rss_mb(self) -> float:
        return memory_mb(self._daemon.pid)[0]

    @property
    def events(self) -> int:
        return len((self.folder / "events.jsonl").read_text().splitlines())

    @property
    def clip_bytes(self) -> list[int]:
        return [path.stat().st_size for path in self.folder.glob("state/events-pictures/*.clip")]

    def end(self) -> None:
        """May be called again."""
        self._daemon.terminate()
        self._daemon.wait(30)


def windows(without: Running, other: Running, number: int, seconds: float) -> list[Window]:
    """Measure a pair in the same seconds, again and again."""
    found = []
    begun = without.count(), other.count()
    for _ in range(number):
        time.sleep(seconds)
        ended = without.count(), other.count()
        fps, loop, rest = [], [], []
        for first, last in zip(begun, ended, strict=True):
            frames = max(last.frames - first.frames, 1)
            fps.append(frames / (last.at_s - first.at_s))
            loop.append((last.loop_ms - first.loop_ms) / frames)
            rest.append((last.other_ms - first.other_ms) / frames)
        found.append(Window(fps[1], fps[1] / fps[0], loop[1], loop[1] / loop[0], rest[1], rest[1] - rest[0]))
        begun = ended
    return found


def row(size: str, variant: str, found: list[Window], rss: list[tuple[float, float]], clips: list[int]) -> str:
    """A line of the table: medians, and the middle half of the shares."""
    middle = Window(*(statistics.median(values) for values in zip(*found, strict=True)))
    (low, _, high), (least, _, most) = (
        statistics.quantiles([getattr(window, name) for window in found], n=4) for name in ("of_fps", "of_loop")
    )
    before, after = (max(each) for each in zip(*rss, strict=True))
    size_of_clips = f"{len(clips)} of {statistics.median(clips) / 1e6:.2f} MB" if clips else ""
    return (
        f"| {size}, {VARIANTS[variant]} | {middle.fps:.1f} | {middle.of_fps:.3f} ({low:.3f} to {high:.3f}) "
        f"| {middle.loop_ms:.2f} | {middle.of_loop:.3f} ({least:.3f} to {most:.3f}) "
        f"| {middle.more_other_ms:+.2f} | {before:.1f}, {after:.1f} | {size_of_clips} |"
    )


def measure(camera: str, variant: str, pairs: int, number: int, seconds: float) -> str:
    """A line of the table, from pairs that take turns in which daemon starts first."""
    found: list[Window] = []
    rss: list[tuple[float, float]] = []
    clips: list[int] = []
    for pair in range(pairs):
        with ExitStack() as stack:
            order = ("nothing", variant) if pair % 2 == 0 else (variant, "nothing")
            begun = [Running(stack, camera, each) for each in order]
            without, other = begun if pair % 2 == 0 else begun[::-1]
            time.sleep(_SETTLE_S)
            found += windows(without, other, number, seconds)
            rss.append((without.rss_mb, other.rss_mb))
            clips += other.clip_bytes
            print(camera, variant, pair, f"{without.events} and {other.events} events", flush=True)
        print(*found[-number:], sep="\n", flush=True)
    return row(camera.rpartition("=")[2], variant, found, rss, clips)


def main() -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8, help="of one window")
    parser.add_argument("--windows", type=int, default=8, help="of one pair")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--cameras", nargs="+", default=CAMERAS)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--priority", type=int, default=0, help="niceness, below 0 where the machine is busy")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    os.nice(args.priority)
    lines = [
        "| the second daemon has | frames a second | share of the first's | CPU of the frame loop a frame, ms "
        "| share of the first's | CPU of other threads a frame, ms | highest memory (RSS) of each, MB | clips |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for camera in args.cameras:
        for variant in args.variants:
            lines.append(measure(camera, variant, args.pairs, args.windows, args.seconds))
            print(lines[-1], flush=True)
    head = (
        f"`python -m tests.benchmarks.outputs`: for each line {args.pairs} pairs of daemons with "
        f"{args.windows} windows of {args.seconds:g} s each; live cameras; medians, and the middle "
        "half of the shares:\n\n"
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("# What outputs cost\n\n" + head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
