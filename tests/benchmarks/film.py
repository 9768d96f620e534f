"""What clips cost the frame loop: two daemons at the same time, one of which keeps clips, in many short windows.

python -m tests.benchmarks.film --out docs/outputs/clips.md

Each daemon is ``familiar run`` in a process of its own with the released bundle, two people enrolled and a live
synthetic camera of 25 frames a second. What else the machine does weighs on both, so each window gives a share of the
same seconds; pairs take turns in which daemon started first, and a pair without clips says what that itself varies.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from edge_runtime.control.client import ControlClient
from tests.benchmarks.outputs import cpu_s, familiar, memory_mb, scene_people, write_config
from tests.waiting import wait_for

CAMERAS = ("synthetic:realtime,loop,fps=25,size=640x480", "synthetic:realtime,loop,fps=25,size=1280x720")
SETTLE_S = 10.0


class Count(NamedTuple):
    """Of one daemon, so far."""

    at_s: float
    frames: int
    cpu_s: float


class Window(NamedTuple):
    """One stretch of time of a pair: of the second daemon, and as a share of the first."""

    fps: float
    cpu_ms: float
    of_fps: float
    of_cpu: float


class Running:
    """A daemon."""

    def __init__(self, stack: ExitStack, camera: str, keep: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, self.folder)
        sink = f'[[sink]]\ntype = "jsonlines"\npath = "{self.folder}/events.jsonl"\n'
        write_config(self.folder, camera, f'[events]\nkeep = "{keep}"\n{sink}')
        for name, photos in scene_people(self.folder).items():
            subprocess.run(familiar(self.folder, "enroll", name, *map(str, photos)), check=True, capture_output=True)
        log = stack.enter_context((self.folder / "log").open("w"))
        self._daemon = subprocess.Popen(familiar(self.folder, "run"), stdout=log, stderr=log)
        stack.callback(self._daemon.wait, 30)
        stack.callback(self._daemon.terminate)
        wait_for((self.folder / "control.sock").exists)
        self._client = ControlClient(self.folder / "control.sock")
        wait_for(lambda: self._frames() > 0)

    def _frames(self) -> int:
        return int(self._client.call("status", {})["cameras"].get("front", {}).get("frames", 0))

    def count(self) -> Count:
        return Count(time.monotonic(), self._frames(), cpu_s(self._daemon.pid))

    @property
    def rss_mb(self) -> float:
        return memory_mb(self._daemon.pid)[0]

    @property
    def clip_bytes(self) -> list[int]:
        return [path.stat().st_size for path in self.folder.glob("state/events-pictures/*.clip")]


def windows(without: Running, other: Running, number: int, seconds: float) -> list[Window]:
    """Measure a pair in the same seconds, again and again."""
    found = []
    begun = without.count(), other.count()
    for _ in range(number):
        time.sleep(seconds)
        ended = without.count(), other.count()
        fps, cpu_ms = [], []
        for first, last in zip(begun, ended, strict=True):
            frames = max(last.frames - first.frames, 1)
            fps.append(frames / (last.at_s - first.at_s))
            cpu_ms.append(1000 * (last.cpu_s - first.cpu_s) / frames)
        found.append(Window(fps[1], cpu_ms[1], fps[1] / fps[0], cpu_ms[1] / cpu_ms[0]))
        begun = ended
    return found


def row(what: str, found: list[Window], more: str) -> str:
    """A line of the table: medians, and the middle half of the shares of frames."""
    low, _, high = statistics.quantiles([window.of_fps for window in found], n=4)
    middle = [statistics.median(values) for values in zip(*found, strict=True)]
    return (
        f"| {what} | {len(found)} | {middle[0]:.1f} | {middle[2]:.3f} ({low:.3f} to {high:.3f}) "
        f"| {middle[1]:.2f} | {middle[3]:.3f} | {more} |"
    )


def main() -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, help="of one window")
    parser.add_argument("--windows", type=int, default=6, help="of one pair")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lines = [
        "| second daemon | windows | frames a second | share of the first's (middle half) | CPU a frame, ms "
        "| share of the first's | memory (RSS), clips |",
        "|---|---|---|---|---|---|---|",
    ]
    for camera in CAMERAS:
        size = camera.rpartition("=")[2]
        for keep in ("none", "clips"):
            found: list[Window] = []
            rss: list[tuple[float, float]] = []
            clips: list[int] = []
            for pair in range(args.pairs):
                with ExitStack() as stack:
                    order = ("none", keep) if pair % 2 == 0 else (keep, "none")
                    begun = [Running(stack, camera, each) for each in order]
                    without, other = begun if pair % 2 == 0 else begun[::-1]
                    time.sleep(SETTLE_S)
                    found += windows(without, other, args.windows, args.seconds)
                    rss.append((without.rss_mb, other.rss_mb))
                    clips += other.clip_bytes
                print(camera, keep, pair, *found[-args.windows :], sep="\n  ", flush=True)
            one, two = (statistics.median(each) for each in zip(*rss, strict=True))
            more = f"{one:.1f} to {two:.1f} MB" if keep == "clips" else f"{one:.1f} and {two:.1f} MB"
            more += f", {len(clips)} of {statistics.median(clips) / 1e6:.2f} MB" if clips else ""
            lines.append(row(f"{size}, {'clips' if keep == 'clips' else 'the same'}", found, more))
            print(lines[-1], flush=True)
    head = (
        f"`python -m tests.benchmarks.film`: {args.pairs} pairs of daemons, {args.windows} windows of "
        f"{args.seconds:g} s each, medians:\n\n"
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
