"""The Grafana dashboard as a picture, without Grafana: each panel's queries to a real Prometheus, drawn in its place.

python -m tests.benchmarks.dashboard --out dashboard.png

A daemon with two live synthetic cameras, a third that is lost, and a sink whose receiver is away is read every second.
Grafana's own drawing (units, heat map, colours of states) is not judged by this.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tests.benchmarks.outputs import familiar, scene_people, write_config
from tests.mosquitto import free_port
from tests.prometheus import Panel, Prometheus, panels
from tests.waiting import wait_for

CAMERA = "synthetic:realtime,loop,fps=10,size=640x480"
_COLUMNS = 24


def legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], "?"), pattern)


def draw(panel: Panel, axes: Axes, prometheus: Prometheus, first_s: float) -> None:
    """One panel: a number each for stat and gauge, else lines over time."""
    axes.set_title(panel.title, fontsize=8)
    axes.tick_params(labelsize=6)
    answers: list[tuple[str, dict[str, Any]]] = []
    for query in panel.queries:
        found = prometheus.between(query.expr, first_s, time.time(), 5)
        answers += [(legend(query.legend, one["metric"]), one) for one in found]
    if not answers:
        axes.text(0.5, 0.5, "no data", ha="center", color="red")
    elif panel.kind in ("stat", "gauge"):
        axes.axis("off")
        text = "\n".join(f"{name}: {one['values'][-1][1]}" for name, one in answers)
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=8)
    else:
        for name, one in answers:
            seconds = [at_s - first_s for at_s, _ in one["values"]]
            axes.plot(seconds, [float(value) for _, value in one["values"]], label=name, linewidth=1)
        axes.legend(fontsize=5, ncols=2)
        axes.set_ylabel(panel.unit, fontsize=6)


def main() -> None:
    """Run everything, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, folder)
        port, nobody = free_port(), free_port()
        outputs = f'[camera.yard]\nsource = "{CAMERA}"\n[camera.gone]\nsource = "rtsp://127.0.0.1:{nobody}/live"\n'
        outputs += f'[[sink]]\ntype = "jsonlines"\npath = "{folder}/events.jsonl"\nname = "archive"\n'
        outputs += f'[[sink]]\ntype = "webhook"\nurl = "http://127.0.0.1:{nobody}/"\nname = "away"\n'
        write_config(folder, CAMERA, f'{outputs}[metrics]\nlisten = "127.0.0.1:{port}"\n')
        for name, photos in scene_people(folder).items():
            subprocess.run(familiar(folder, "enroll", name, *map(str, photos)), check=True, capture_output=True)
        log = stack.enter_context((folder / "log").open("w"))
        daemon = subprocess.Popen(familiar(folder, "run"), stdout=log, stderr=log)
        stack.callback(daemon.wait, 30)
        stack.callback(daemon.terminate)
        prometheus = Prometheus(folder / "prometheus", port)
        stack.callback(prometheus.close)
        wait_for(lambda: prometheus.now("familiar_camera_frames_total > 0"))
        first_s = time.time()
        time.sleep(args.seconds)
        print("alerts:", prometheus.alerts())
        shown = panels()
        rows = max(panel.place["y"] + panel.place["h"] for panel in shown)
        figure = plt.figure(figsize=(16, rows * 0.5))
        for panel in shown:
            place = panel.place
            box = (place["x"] / _COLUMNS + 0.02, 1 - (place["y"] + place["h"]) / rows + 0.03,
                   place["w"] / _COLUMNS - 0.035, place["h"] / rows - 0.06)  # fmt: skip
            draw(panel, figure.add_axes(box), prometheus, first_s)
        figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
