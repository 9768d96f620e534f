"""What a device computes and decides, as one JSON document; run by its own Python, with edge_runtime alone.

``python device.py WORK [CLIP]``; WORK has ``photos/NAME-1.png`` … and, once another machine has been here, its
``templates.npz``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = {"deadline_s": 300, "first_frame_s": 600}
"""Of a camera: emulated, its process alone takes half a minute to start."""
SERVES_WITHIN_S = 900
"""From the start of a daemon until it has named somebody and a broker knows it."""
BUNDLE = Path(os.environ.get("FAMILIAR_BUNDLE_PATH") or Path(__file__).parents[2] / "models/released/default")


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
        "fpir": rates(mine, mine),
        "fpir_at_first_thresholds": rates(mine, shared),
        "fpir_interval": [*(mine.alike_interval or mine.interval)],
        "least_cosine_of_templates": float((here * there).sum(1).min()) if here.shape == there.shape else None,
    }


def rates(gallery: Any, thresholds: Any) -> list[float]:
    """Strangers of 1,000 who pass: those alike each of a gallery, or all, at another calibration's thresholds."""
    from dataclasses import replace

    moved = replace(gallery, threshold=thresholds.threshold, thresholds=thresholds.thresholds)
    alike = moved.alike_by_person
    return [gallery.rate_per_1000(moved.threshold)] if alike is None else [float(rate) for rate in alike]


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


def served(work: Path, broker: int, page: bool) -> dict[str, Any]:
    """What a daemon's page tells once a broker has an event with a name.

    Args:
        work: for its configuration.
        broker: port of the broker on the loopback address.
        page: whether there are the packages for one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    patience = "".join(f"{key} = {value}\n" for key, value in PATIENCE.items())
    configuration = work / f"{os.uname().machine}.toml"
    configuration.write_text(
        f'[[sink]]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker}\ntopic_prefix = "{os.uname().machine}"\n'
        f'[camera.front]\nsource = "synthetic:fps=5,realtime,loop"\n{patience}'
    )
    words = [sys.executable, "-m", "edge_runtime", "run", "--config", str(configuration)]
    serving = [*words, "--set", f"web.listen={listen}"]
    told: dict[str, Any] = {}
    if not page:
        told["refused"] = subprocess.run(serving, capture_output=True, text=True).stderr.strip()
    daemon = subprocess.Popen(serving if page else words, stdout=subprocess.DEVNULL)
    try:
        await_delivery(daemon)
        if page:
            events = json.loads(asked(listen, "/api/events?kind=identified"))["events"]
            told["page"] = asked(listen, "/").partition(b"\n")[0].decode()
            told["health"] = json.loads(asked(listen, "/api/health"))["state"]
            told["named"] = [[event["track_id"], event["person"]] for event in events]
        daemon.send_signal(signal.SIGTERM)
        return {**told, "ended": daemon.wait(120)}
    finally:
        daemon.kill()
        daemon.wait()


def await_delivery(daemon: subprocess.Popen[bytes]) -> None:
    """Wait until somebody has been named and every sink has had everything."""
    deadline = time.monotonic() + SERVES_WITHIN_S
    words = [sys.executable, "-m", "edge_runtime", "status", "--json"]
    while daemon.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
        told = subprocess.run(words, capture_output=True).stdout
        status = json.loads(told) if told.startswith(b"{") else {}
        sinks = status.get("events", {}).get("sinks", {}).values()
        identified = sum(camera.get("identified", 0) for camera in status.get("cameras", {}).values())
        if identified and sinks and all(sink["delivered"] and not sink["behind"] for sink in sinks):
            return
    sys.exit(f"familiar run with a broker: no name told within {SERVES_WITHIN_S} s; exit code {daemon.poll()}")


def asked(listen: str, path: str) -> bytes:
    """An answer of the daemon's API, or the page."""
    with urllib.request.urlopen(f"http://{listen}{path}", timeout=120) as answer:
        return bytes(answer.read())


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
        if broker := int(os.environ["BROKER_PORT"]):
            timed("served", lambda: served(work, broker, bool(os.environ["PAGE"])))
    print(json.dumps(document))


if __name__ == "__main__":
    main()
