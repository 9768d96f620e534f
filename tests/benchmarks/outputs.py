"""What MQTT and figures, or clips, cost a daemon: memory and frames, with and without, in turn.

python -m tests.benchmarks.outputs --out docs/outputs/cost.md
python -m tests.benchmarks.outputs --of clips --out docs/outputs/clips.md

The daemon is ``familiar run`` in a process of its own with the released bundle, two people enrolled and a live
synthetic camera; with outputs it has a real broker, a reader of everything, and a scrape every five seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.control.client import ControlClient
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS, still
from tests.builders import RELEASED
from tests.mosquitto import Broker, Reader, free_port
from tests.waiting import wait_for

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """One life of a daemon."""

    rss_mb: float
    pss_mb: float
    all_pss_mb: float
    frames_per_s: float
    cpu_ms_a_frame: float
    events: int


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


def cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def children(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def measure(
    camera: str,
    with_outputs: bool,
    seconds: float,
    people: dict[str, list[Path]] | None = None,
    say: Callable[[list[tuple[str, bytes, bool]]], None] | None = None,
    keep: str = "none",
) -> Run:
    """Run a daemon for so long, from its first frame on.

    Args:
        camera: its source.
        with_outputs: with MQTT and figures.
        seconds: how long.
        people: photos by name; None: of the synthetic scene.
        say: gets everything the broker was told.
        keep: pictures kept beside events.
    """
    folder = Path(tempfile.mkdtemp())
    broker = reader = None
    port = free_port()
    outputs = f'[[sink]]\ntype = "jsonlines"\npath = "{folder}/events.jsonl"\n'
    if with_outputs:
        broker = Broker(folder / "broker")
        reader = Reader(broker.port)
        outputs += f'[[sink]]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\nclient_id = "familiar-pi"\n'
        outputs += f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    write_config(folder, camera, f'[events]\nkeep = "{keep}"\n' + outputs)
    for name, photos in (people or scene_people(folder)).items():
        subprocess.run(familiar(folder, "enroll", name, *map(str, photos)), check=True, capture_output=True)
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(familiar(folder, "run"), stdout=log, stderr=log)
    try:
        wait_for((folder / "control.sock").exists)
        client = ControlClient.connect(folder / "control.sock")
        assert client is not None
        wait_for(lambda: client.call("status", {})["cameras"].get("front", {}).get("frames", 0) > 0)
        time.sleep(3)
        first, first_cpu_s, began_s = (
            client.call("status", {})["cameras"]["front"]["frames"],
            cpu_s(daemon.pid),
            time.monotonic(),
        )
        worst = (0.0, 0.0, 0.0)
        while time.monotonic() - began_s < seconds:
            time.sleep(5)
            if with_outputs:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
            rss, pss = memory_mb(daemon.pid)
            worst = tuple(map(max, worst, (rss, pss, pss + sum(memory_mb(child)[1] for child in children(daemon.pid)))))
        frames = client.call("status", {})["cameras"]["front"]["frames"] - first
        spent_s, took_s = cpu_s(daemon.pid) - first_cpu_s, time.monotonic() - began_s
    finally:
        daemon.terminate()
        daemon.wait(30)
    if reader is not None and broker is not None:
        reader.settled()
        if say is not None:
            say(reader.messages)
        reader.close()
        broker.kill()
    events = len((folder / "events.jsonl").read_text().splitlines())
    shutil.rmtree(folder)
    return Run(*worst, frames / took_s, 1000 * spent_s / frames, events)


def run_once(camera: str, extra: str, seconds: float) -> Run:
    """One run with ``outputs``, with ``clips``, or with neither."""
    return measure(camera, extra == "outputs", seconds, keep="clips" if extra == "clips" else "none")


def main() -> None:
    """Measure in turn, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--camera", default="synthetic:realtime,loop,fps=15,size=640x480")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--together", action="store_true", help="both at a time, so that other work slows both")
    parser.add_argument("--of", choices=("outputs", "clips"), default="outputs")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for turn in range(args.turns):
        with ThreadPoolExecutor(2 if args.together else 1) as pool:
            order = (turn % 2 == 0, turn % 2 == 1)
            found = pool.map(lambda wanted: run_once(args.camera, args.of if wanted else "", args.seconds), order)
            for wanted, run in zip(order, found, strict=True):
                runs[wanted].append(run)
                print(wanted, json.dumps(run.__dict__), flush=True)
    rows = [
        ("memory of the daemon, RSS, MB (highest)", "rss_mb", max),
        ("memory of the daemon, PSS, MB (highest)", "pss_mb", max),
        ("... with its capture process, PSS, MB (highest)", "all_pss_mb", max),
        ("frames a second (median)", "frames_per_s", statistics.median),
        ("CPU a frame, ms (median)", "cpu_ms_a_frame", statistics.median),
        ("events (median)", "events", statistics.median),
    ]
    lines = [
        f"| | without | with {'MQTT and figures' if args.of == 'outputs' else args.of} | difference |",
        "|---|---|---|---|",
    ]
    for told, field, of in rows:
        one, other = (of([getattr(run, field) for run in runs[each]]) for each in (False, True))
        lines.append(f"| {told} | {one:.4g} | {other:.4g} | {100 * (other - one) / one:+.1f} % |")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    command = f"python -m tests.benchmarks.outputs --of {args.of}{' --together' * args.together}"
    head = f"`{command}`: {args.turns} turns of {args.seconds:g} s, camera `{args.camera}`:\n\n"
    args.out.write_text(head + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
