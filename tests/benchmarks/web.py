"""What API and page cost a daemon: frames a second while both are used, memory of all its processes, time to start.

``python -m tests.benchmarks.web`` runs the released bundle on a clip of drawn people at a camera's pace, once quiet and
once while a browser shows the page and schemathesis sends requests, in turn; both clients run under nice, as they would
run on another machine. Memory is the proportional set size (PSS) of the daemon and of every process below it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from edge_runtime.sources.synthetic import Scene, SceneOptions
from tests.clips import write_clip
from tests.e2e.test_api import CHANGING
from tests.mosquitto import Broker
from tests.page_tour import REMEMBERING, chromium
from tests.web_client import Served, serving

_FPS = 15
SCENE = f"fps={_FPS},size=640x480,seed=3,people=4"
_LOOKS = 10
_CLIENT = (
    "import sys, time\n"
    "from playwright.sync_api import sync_playwright\n"
    "url, seconds, program = sys.argv[1], float(sys.argv[2]), sys.argv[3]\n"
    "with sync_playwright() as p:\n"
    "    page = p.chromium.launch(executable_path=program, args=['--no-sandbox']).new_page()\n"
    "    page.goto(url)\n"
    "    until = time.monotonic() + seconds\n"
    "    for place in ('now', 'visits', 'people', 'strictness', 'device') * 1000:\n"
    "        if time.monotonic() > until: break\n"
    "        page.goto(url + '/#' + place)\n"
    "        page.wait_for_timeout(8000 if place == 'now' else 2000)\n"
)


@dataclasses.dataclass(frozen=True)
class Rates:
    """Frames a second taken and searched, and the share of one processor that the daemon's own process took."""

    taken: float
    searched: float
    processor: float


def watch(served: Served, seconds: float) -> Rates:
    """What the daemon does for so long."""
    before, ticks, began = _counts(served), _ticks(served), time.monotonic()
    time.sleep(seconds)
    after, span = _counts(served), time.monotonic() - began
    taken, searched = ((after[name] - before[name]) / span for name in ("frames", "searched"))
    return Rates(taken, searched, (_ticks(served) - ticks) / 100 / span)


def _counts(served: Served) -> dict[str, float]:
    return dict(served.client.get("/api/stats").json()["cameras"]["front"])


def _ticks(served: Served) -> int:
    """Hundredths of seconds of the daemon's own process."""
    fields = Path(f"/proc/{served.daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def used(served: Served, seconds: float) -> Iterator[None]:
    """Somebody looks at the page and a program sends requests, sound and unsound, for so long."""
    nice = ("nice", "-n", "19")
    browser = [*nice, sys.executable, "-c", _CLIENT, served.url, str(seconds), chromium() or "chromium"]
    fuzz = (
        *(*nice, sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/api/openapi.json", "--no-color"),
        *("--exclude-operation-id-regex", f"session|post .*({CHANGING})", "--max-examples", "1000", "--seed", "1"),
        *("--phases", "fuzzing", "--checks", "not_a_server_error"),
    )
    with ExitStack() as stack:
        for command in (browser, fuzz):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        time.sleep(8)  # until both are under way
        yield


def memory_mb(pid: int) -> dict[str, float]:
    """PSS in MB of a process and of all below it, by what they do."""
    found: dict[str, float] = {}
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            line = Path(f"/proc/{one}/cmdline").read_bytes()
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:  # one that decoded a picture has ended
            continue
        name = next(
            (name for name in ("web", "capture") if f"edge_runtime.{name}".encode() in line),
            "daemon" if one == pid else "other",
        )
        pss_kb = next(int(row.split()[1]) for row in rollup.splitlines() if row.startswith("Pss:"))
        found[name] = round(found.get(name, 0.0) + pss_kb / 1024, 1)
    return found


def _memory_soon(served: Served) -> float:
    """PSS in MB of all processes, a second later."""
    time.sleep(1)
    return round(sum(memory_mb(served.daemon.process.pid).values()), 1)


def camera(folder: Path) -> str:
    """A camera of a kind that people have: drawing the scene anew would take more than decoding it."""
    scene = Scene(SceneOptions.parse(SCENE))
    frames = (scene.render(number / _FPS) for number in range(int(scene.length_s * _FPS)))
    return f"front=file:{write_clip(folder / 'scene.avi', frames, _FPS)}?realtime&loop"


def start_s(folder: Path, watched: str, *arguments: str) -> float:
    """Seconds from the start to the first frame taken, as the daemon says."""
    from tests.builders import RELEASED
    from tests.e2e.test_run import starting

    (folder / "run").mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with starting(folder, "--set", f"bundle.path={RELEASED}", "--camera", watched, *arguments) as start:
        daemon = start()
        daemon.next_line("watching ")
        return time.monotonic() - began


def measure(seconds: float, turns: int) -> dict[str, Any]:
    """Everything, JSON-ready."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        watched = camera(folder)
        broker = Broker(folder / "broker")
        stack.callback(broker.kill)
        config = folder / "familiar.toml"
        config.write_text(f'[[sink]]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\ncommands = true\n')
        quiet, busy, loads = [], [], []
        with serving(folder / "home", *REMEMBERING, "--config", str(config), "--camera", watched) as served:
            for name in served.people[:3]:
                served.enrol(name)
            time.sleep(5)
            rest = memory_mb(served.daemon.process.pid)
            for _ in range(turns):
                quiet.append(watch(served, seconds))
                with used(served, seconds + 20):
                    busy.append(watch(served, seconds))
                    loads += [_memory_soon(served) for _ in range(_LOOKS)]
        plain, all_on = [], []
        for turn in range(3):
            plain.append(start_s(folder / f"plain{turn}", watched))
            extra = ("--config", str(config), "--set", "web.listen=127.0.0.1:0")
            all_on.append(start_s(folder / f"all{turn}", watched, *extra))
    taken = median(one.taken for one in busy) / median(one.taken for one in quiet)
    searched = median(one.searched for one in busy) / median(one.searched for one in quiet)
    return {
        "quiet": [dataclasses.asdict(one) for one in quiet],
        "busy": [dataclasses.asdict(one) for one in busy],
        "taken_ratio": round(taken, 3),
        "searched_ratio": round(searched, 3),
        "pss_mb_before": rest | {"all": round(sum(rest.values()), 1)},
        "pss_mb_under_load": {"median": median(loads), "most": max(loads)},
        "start_s": {"plain": plain, "with_web_and_mqtt": all_on, "ratio": round(median(all_on) / median(plain), 3)},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args(arguments)
    os.environ["MALLOC_ARENA_MAX"] = "2"  # as the unit of deploy/familiar.service does
    print(json.dumps(measure(given.seconds, given.turns), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
