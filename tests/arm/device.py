"""What a device computes and decides, as one JSON document; run by its own Python, with edge_runtime alone.

``python device.py WORK [CLIP]``; WORK has ``photos/NAME-1.png`` … and, once another machine has been here, its
``templates.npz``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = {"deadline_s": 300, "first_frame_s": 600}
"""Of a camera: emulated, its process alone takes half a minute to start."""
BUNDLE = Path(__file__).parents[2] / "models/released/default"


def familiar(*words: str | Path, may_end: tuple[int, ...] = (0,)) -> str:
    """One command of the device, in a process of its own; what it printed."""
    done = subprocess.run([sys.executable, "-m", "edge_runtime", *map(str, words)], capture_output=True, text=True)
    if done.returncode not in may_end:
        sys.exit(f"familiar {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def outputs(most: int | None = None) -> list[list[int]]:
    """The encoder's own output, int8, for each golden chip, or the first few."""
    from edge_runtime.bundle.folder import Bundle
    from edge_runtime.faces.encoder import open_encoder

    bundle = Bundle(BUNDLE)
    encoder = open_encoder(bundle)
    chips, _ = bundle.golden()
    return [encoder.interpreter.run(encoder.tensor(chip[None]))[0][0].astype(int).tolist() for chip in chips[:most]]


def calibrated(exchanged: Path) -> dict[str, Any]:
    """The thresholds of the gallery here, and those of the templates of the machine that was here first."""
    import numpy as np

    from edge_runtime.bundle.folder import Bundle
    from edge_runtime.config import load_config
    from edge_runtime.decision.matcher import make_matcher
    from edge_runtime.faces.chain import open_chain
    from edge_runtime.gallery.opening import open_gallery
    from edge_runtime.gallery.templates import Templates

    config = load_config()
    with open_chain(config) as chain, open_gallery(config, chain, create=False) as gallery:
        own = gallery.templates()
    bundle = Bundle(BUNDLE)
    if not exchanged.exists():
        np.savez(exchanged, **{name: np.asarray(getattr(own, name)) for name in own.__dataclass_fields__})
    with np.load(exchanged) as file:
        first = Templates(**{**file, "names": tuple(file["names"].tolist())})
    shared = make_matcher(first, bundle, config.decide, tracks=True).calibration
    mine = make_matcher(own, bundle, config.decide, tracks=True).calibration
    here, there = own.embeddings, first.embeddings
    assert mine.thresholds is not None and shared.thresholds is not None
    return {
        "threshold": [mine.threshold, *mine.thresholds.tolist()],
        "threshold_of_shared_templates": [shared.threshold, *shared.thresholds.tolist()],
        "least_cosine_of_templates": float((here * there).sum(1).min()) if here.shape == there.shape else None,
    }


def front(camera: str) -> list[str]:
    """The words of a command that make this the one camera."""
    settings = {"source": camera, **PATIENCE}
    return [word for key, value in settings.items() for word in ("--set", f"camera.front.{key}={value}")]


def watched(camera: str) -> list[dict[str, Any]]:
    """The events of one camera, every second frame searched, so that the machine's speed decides nothing."""
    told = familiar("run", *front(camera), "--set", "detect.every=2", "--set", "log.level=error")
    keys = ("kind", "captured_s", "person", "score", "threshold", "reason")
    events = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    first = min((event["captured_s"] for event in events), default=0.0)
    return [{**{key: event[key] for key in keys}, "captured_s": event["captured_s"] - first} for event in events]


def main() -> None:
    """Print the document; with ``--outputs N`` in place of WORK the first outputs alone."""
    if sys.argv[1] == "--outputs":
        print(json.dumps({"outputs": outputs(int(sys.argv[2])), "machine": os.uname().machine}))
        return
    work = Path(sys.argv[1])
    clip = sys.argv[2] if len(sys.argv) > 2 else ""
    quick = os.environ.get("QUICK")
    document: dict[str, Any] = {"seconds": {}, "executable": sys.executable, "machine": os.uname().machine}

    def timed(name: str, action: Any) -> None:
        started = time.monotonic()
        document[name] = action()
        document["seconds"][name] = round(time.monotonic() - started, 1)
        print(f"{document['seconds'][name]:7.1f} s  {name}", file=sys.stderr)

    timed("outputs", outputs)
    timed("self-test", lambda: familiar("run", "--self-test").strip())
    photos = sorted((work / "photos").iterdir())
    for name in sorted({photo.stem.partition("-")[0] for photo in photos}):
        own = [photo for photo in photos if photo.stem.startswith(name) and not photo.stem.endswith("-0")]
        timed(f"enrol {name}", lambda name=name, own=own: familiar("enroll", name, *own, "--json"))
    strange = [photo for photo in photos if photo.stem.endswith("-0")]
    timed("identify", lambda: list(map(json.loads, familiar("identify", *strange, "--json").splitlines())))
    timed("calibration", lambda: calibrated(work / "templates.npz"))
    if not quick:
        # What a folder that stands for a device lacks, as systemd, is a failure of the doctor's and not of ours.
        timed("doctor", lambda: json.loads(familiar("doctor", "--json", *front("synthetic:"), may_end=(0, 1)))["rows"])
        timed("synthetic", lambda: watched("synthetic:fps=10"))
        if clip:
            timed("clip", lambda: watched(f"file:{clip}"))
    print(json.dumps(document))


if __name__ == "__main__":
    main()
