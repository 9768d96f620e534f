"""Half an hour of a daemon's life with everything going wrong at random: ``make soak``.

A real ``familiar run`` watches two synthetic cameras as fast as it can, while faults are thrown at it. Afterwards its
memory must be flat, its threads and file descriptors as many as before, and its state ok.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_runtime.control.client import ControlClient
from edge_runtime.errors import FamiliarError
from edge_runtime.pictures.folder import list_images
from edge_runtime.sources.synthetic import PORTRAITS
from tests.builders import RELEASED, ROOT

FPS = 25
"""Frames of one simulated second of one camera."""
FASTEST = 120
"""Frames a second that each camera of the long soak offers; the daemon takes what it can."""
_PATIENCE_S = 300.0


@dataclass
class Sample:
    """The daemon at one moment at which all is well.

    Attributes:
        frames: taken by all cameras so far.
        pss_mb: proportional set size of the daemon and its capture processes. Its share of the pages of libraries
            moves with every other program that uses them.
        own_mb: the part of it that is nobody else's, which a leak makes grow: anonymous and shared memory.
        captures_mb: the same by capture process.
        threads, descriptors: of the daemon, without those of a request that is just being answered.
    """

    frames: int
    pss_mb: float
    own_mb: float
    captures_mb: dict[int, float]
    threads: int
    descriptors: int


@dataclass
class Report:
    """What came of it."""

    frames: int = 0
    minutes: float = 0.0
    wall_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    events_lost: int = 0
    events: dict[str, int] = field(default_factory=dict)
    growth_mb_per_100k_frames: float = 0.0
    pss_growth_mb_per_100k_frames: float = 0.0
    most_threads: int = 0
    most_descriptors: int = 0
    state: str = ""

    def line(self) -> str:
        """One line for people."""
        first, last = self.samples[0], self.samples[-1]
        return (
            f"soak: {self.frames} frames ({self.minutes:.1f} simulated minutes) in {self.wall_s:.0f} s, "
            f"{sum(self.faults.values())} faults; memory {last.pss_mb:.1f} MB, of its own {last.own_mb:.1f} MB; "
            f"per 100,000 frames {self.pss_growth_mb_per_100k_frames:+.2f} and "
            f"{self.growth_mb_per_100k_frames:+.2f} MB; threads {first.threads} to {last.threads}, "
            f"descriptors {first.descriptors} to {last.descriptors}; ends {self.state}"
        )


class Patient:
    """The daemon under test, and what may be done to it."""

    def __init__(self, folder: Path, seed: int, fps: int) -> None:
        """Enrol two people and start the daemon, with cameras of ``fps`` frames a second."""
        self.folder, self.random = folder, random.Random(seed)
        config = folder / "familiar.toml"
        source = f"synthetic:realtime,loop,fps={fps},size=320x240,seed="
        config.write_text(
            f'[bundle]\npath = "{RELEASED}"\n'
            f'[gallery]\npath = "{folder}/state/gallery.db"\nkey_file = "{folder}/keys/device.key"\n'
            f'[control]\nsocket = "{folder}/control.sock"\n'
            f'[events]\npath = "{folder}/events.jsonl"\n'
            "[detect]\nevery = 2\n"
            + "".join(f'[camera.{name}]\nsource = "{source}{n}"\ndeadline_s = 8.0\n' for n, name in enumerate("ab"))
        )
        self._command = [sys.executable, "-m", "edge_runtime"]
        self._options = ["--config", str(config)]
        self._named = "One"
        for name, portrait in zip(("One", "Two"), list_images(PORTRAITS, print), strict=False):
            subprocess.run(
                [*self._command, "enroll", name, str(portrait), "--force", *self._options],
                check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self._log = (folder / "log.txt").open("wb")
        # As the unit sets it; else each thread's allocator adds noise that hides a leak.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
        command = [*self._command, "run", *self._options]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=self._log, env=environment)
        self.client = ControlClient(folder / "control.sock")

    def status(self) -> dict[str, Any]:
        """What the daemon says; waits until it says something."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self.client.call("status", {})
            except FamiliarError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def until(self, true: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait for a status."""
        deadline = time.monotonic() + _PATIENCE_S
        while not true(status := self.status()):
            if time.monotonic() > deadline:
                raise AssertionError(f"soak: still not {what}: {json.dumps(status)}")
            time.sleep(0.05)
        return status

    def well(self) -> dict[str, Any]:
        """Wait until all is well."""
        return self.until(
            lambda status: (
                status["state"] == "ok"
                and len(status["cameras"]) == 2
                and all(camera["state"] == "running" for camera in status["cameras"].values())
            ),
            "well",
        )

    def captures(self) -> list[int]:
        """Process ids of the capture processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def sample(self) -> Sample:
        """Measure."""
        proc = Path(f"/proc/{self.process.pid}")
        status = self.well()
        memory = {pid: memory_mb(pid) for pid in (self.process.pid, *self.captures())}
        pss, own = (sum(column) for column in zip(*memory.values(), strict=True))
        captures = {pid: of_its_own for pid, (_, of_its_own) in memory.items() if pid != self.process.pid}
        counted = []
        for _ in range(5):  # the least of several: a request may just be answered, a database file just be looked at
            time.sleep(0.2)
            counted.append((len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir()))))
        threads, descriptors = (min(column) for column in zip(*counted, strict=True))
        frames = sum(camera["frames"] for camera in status["cameras"].values())
        return Sample(frames, pss, own, captures, threads, descriptors)

    def end(self) -> str:
        """Stop it as systemd does; its log."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_PATIENCE_S)
        self._log.close()
        text = (self.folder / "log.txt").read_text()
        if code:
            raise AssertionError(f"soak: the daemon ended with {code}: {text[-2000:]}")
        return text

    # What goes wrong. Each ends with the fault fixed; the daemon has to notice by itself.

    def capture_killed(self) -> None:
        for pid in self.random.sample(self.captures(), 1):
            os.kill(pid, signal.SIGKILL)

    def capture_frozen(self) -> None:
        (pid,) = self.random.sample(self.captures(), 1)
        os.kill(pid, signal.SIGSTOP)
        self.until(lambda status: status["state"] != "ok", "a frozen camera in the status")

    def disk_full(self) -> None:
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        time.sleep(1.0)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def gallery_changed(self) -> None:
        new = "Uno" if self._named == "One" else "One"
        self.client.call("people.rename", {"old": self._named, "new": new})
        self._named = new

    def gallery_open_to_all(self) -> None:
        path = self.folder / "state/gallery.db"
        path.chmod(0o644)
        self.until(lambda status: status["state"] != "ok", "an open gallery in the status")
        path.chmod(0o600)

    def reload_signal(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def garbage(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.connect(str(self.client.path))
            connection.sendall(self.random.randbytes(self.random.randrange(300)))

    def looked_at(self) -> None:
        with contextlib.suppress(FamiliarError):  # lost at the moment
            self.client.call("live", {"camera": self.random.choice("ab")})
        with contextlib.suppress(FamiliarError):
            self.client.call("enroll.pose", {"camera": "a", "want": "any", "box": []})


FAULTS = (
    Patient.capture_killed,
    Patient.capture_frozen,
    Patient.disk_full,
    Patient.gallery_changed,
    Patient.gallery_open_to_all,
    Patient.reload_signal,
    Patient.garbage,
    Patient.looked_at,
)


def memory_mb(pid: int) -> tuple[float, float]:
    """(proportional set size, the part of it that no file backs) of a process; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines[1:])}
    return kib["Pss"] / 1024, (kib["Pss_Anon"] + kib["Pss_Shmem"]) / 1024


def faults_in_turn(seed: int) -> Iterator[Callable[[Patient], None]]:
    """Every fault once in each round, in an order of its own."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(FAULTS, len(FAULTS))


def soak(
    frames: int,
    folder: Path,
    seed: int = 0,
    rounds: int = 40,
    warm_up: float = 0.25,
    limit_s: float = float("inf"),
    fps: int = FASTEST,
) -> Report:
    """Let a daemon take that many frames while faults happen.

    Args:
        frames: of both cameras together.
        folder: for its files.
        seed: of the faults.
        rounds: faults over the whole time.
        warm_up: share of the frames after which memory is to be flat.
        limit_s: ends after the round in which this time is over, with the frames there are.
        fps: frames a second of each camera.
    """
    started_s, report = time.monotonic(), Report()
    patient, faults, happened = Patient(folder, seed, fps), faults_in_turn(seed), Counter[str]()
    try:
        # What is opened at first use is opened before anything is counted.
        patient.well()
        patient.looked_at()
        for number in range(rounds):
            wanted = frames * (number + 1) // rounds
            fault = next(faults)
            fault(patient)
            happened[fault.__name__] += 1
            patient.until(
                lambda status: sum(one["frames"] for one in status["cameras"].values()) >= wanted,  # noqa: B023
                f"{wanted} frames",
            )
            report.samples.append(patient.sample())
            if time.monotonic() - started_s > limit_s:
                break
        status = patient.well()
        log = patient.end()
    except BaseException:
        patient.process.kill()
        patient.process.wait()
        raise
    assert "housekeeping failed" not in log and "Traceback" not in log, log
    assert "One" not in log.replace(str(folder), "") and "Uno" not in log, "a name is in the log"
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text().splitlines() if line[:1] == "{"]
    report.frames = report.samples[-1].frames
    report.minutes = report.frames / FPS / 60
    report.wall_s = time.monotonic() - started_s
    report.faults, report.events, report.state = dict(happened), dict(Counter(kinds)), status["state"]
    report.events_lost = status["events"]["lost"]
    warm = [one for one in report.samples if one.frames >= warm_up * report.frames]
    report.growth_mb_per_100k_frames = 100_000 * growth(warm)
    report.pss_growth_mb_per_100k_frames = 100_000 * slope([[(one.frames, one.pss_mb) for one in warm]])
    report.most_threads = max(one.threads for one in warm)
    report.most_descriptors = max(one.descriptors for one in warm)
    return report


def growth(samples: list[Sample]) -> float:
    """MB a frame by which memory of its own grows: the daemon's, and that of capture processes while they live.

    Two capture processes in a row are not compared: faults end them, and a young one has less.
    """
    lives: dict[int, list[tuple[float, float]]] = {}
    for one in samples:
        for pid, held in one.captures_mb.items():
            lives.setdefault(pid, []).append((one.frames, held))
    daemon = [(one.frames, one.own_mb - sum(one.captures_mb.values())) for one in samples]
    return slope([daemon]) + 2 * slope(list(lives.values()))  # two cameras


def slope(series: list[list[tuple[float, float]]]) -> float:
    """The median slope between any two points of one series (Theil-Sen), which outliers do not move; 0 without any."""
    pairs = [(a, b) for points in series for n, a in enumerate(points) for b in points[n + 1 :] if b[0] != a[0]]
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs) if pairs else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="simulated minutes of 25 frames a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=60, help="faults in all")
    parser.add_argument("--limit-s", type=float, default=float("inf"), help="end sooner, with the frames there are")
    parser.add_argument("--out", type=Path, help="report as JSON")
    args = parser.parse_args()
    with TemporaryDirectory(prefix="familiar-soak-") as folder:
        report = soak(round(args.minutes * 60 * FPS), Path(folder), args.seed, args.rounds, limit_s=args.limit_s)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(asdict(report), indent=2) + "\n")
    print(report.line())
    first, last = report.samples[0], report.samples[-1]
    flat = report.growth_mb_per_100k_frames <= 1.0
    constant = abs(last.threads - first.threads) <= 1 and abs(last.descriptors - first.descriptors) <= 1
    if not (flat and constant and report.state == "ok"):
        print("soak: expected flat memory, constant threads and descriptors, and the state ok at the end")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
