"""The same device test here and emulated, and what differs between the two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_runtime.sources.synthetic import Scene, SceneOptions
from tests.arm.root import Emulated
from tests.builders import ROOT
from tests.mosquitto import PROGRAM, Broker, Reader

PEOPLE, PHOTOS = 2, 4


@dataclass(frozen=True)
class Bounds:
    """How far a device may differ.

    Attributes:
        output: an int8 output.
        score: scores of people.
        events: whether each event has to be the same, or only who is recognised.
    """

    output: int
    score: float
    events: bool = True


BOUNDS = {
    # The models compute the same to the bit (a half may be rounded to different sides), and so does the warp; but
    # OpenCV's ``resize`` rounds one byte in ten thousand to the other side on another processor, landmarks move by
    # less than 0.0001 px, and the int8 encoder makes a cosine of 0.998 of that.
    "litert": Bounds(output=1, score=0.02),
    # Another interpreter: on x86-64, too, its int8 outputs differ from LiteRT's by up to 11. And another OpenCV.
    "tflite": Bounds(output=12, score=0.02, events=False),
}
"""By the interpreter there; here it is LiteRT. The same templates give the same thresholds; what other templates do
to them is judged by how many strangers pass (see ``_thresholds``)."""
FPIR_FACTOR = 2.0
"""By how much the share of strangers who pass may change if a device had the thresholds of the machine here. A
threshold is where an extreme of many strangers' scores lies, so it moves with every template, and by how much in score
depends on the encoder; what the owner asked for is a rate. The interval of a calibration spans more than this."""
LEAST_FPIR = 1e-3
"""Of 1,000; below it rates say nothing."""
LATER_S = 1.0
"""How much later an event may come: a view that is just good enough here is not there, and the next one is waited
for, a re-check later (measured: 0.80 s on the real clip)."""


def write_photos(folder: Path) -> None:
    """Photos of people who do not exist: number 0 is to be recognised, the others to be enrolled."""
    folder.mkdir(parents=True)
    scene = Scene(SceneOptions())
    for person in scene.people[:PEOPLE]:
        for variant in range(PHOTOS):
            Image.fromarray(scene.photo(person, variant)).save(folder / f"{person.title()}-{variant}.png")


def run_device(python: Path, environment: Mapping[str, str], work: Path, place: str, clip: Path | None = None,
               quick: bool = False, broker: int = 0, page: bool = True) -> dict[str, Any]:  # fmt: skip
    """Run the device's test with that Python, in a state folder of its own; returns its document.

    Args:
        python: the device's.
        environment: of it.
        work: has the photos.
        place: name of its folder.
        clip: a film to watch, too.
        quick: neither doctor nor cameras, broker, page.
        broker: port of one on the loopback address; 0: there is none.
        page: whether the packages for the page are there.
    """
    own = work / place
    own.mkdir()
    folders = {
        "FAMILIAR_STATE": f"{own}/state", "XDG_CONFIG_HOME": f"{own}/config", "XDG_RUNTIME_DIR": str(own),
        "FAMILIAR_BUNDLE_PATH": str(ROOT / "models/released/default"), "QUICK": "yes" if quick else "",
        "BROKER_PORT": str(broker), "PAGE": "yes" if page else "",
    }  # fmt: skip
    words = [python, ROOT / "tests/arm/device.py", work, *([clip] if clip else [])]
    done = subprocess.run(words, env={**environment, **folders}, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{place}: the device's test ended with {done.returncode}"
    document: dict[str, Any] = json.loads(done.stdout)
    (work / f"{place}.json").write_text(done.stdout)
    return document


def golden_step(emulated: Emulated, chips: int) -> int:
    """How far an int8 output of the first golden chips differs between here and there, at most."""
    words = [str(ROOT / "tests/arm/device.py"), "--outputs", str(chips)]
    found = []
    for python, environment in (
        (sys.executable, {**os.environ, "PYTHONPATH": str(ROOT)}),
        (str(emulated.python), emulated.environment()),
    ):
        done = subprocess.run([python, *words], env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        found.append(json.loads(done.stdout))
    assert found[1]["machine"] == emulated.target.architecture
    return int(np.abs(np.array(found[0]["outputs"]) - np.array(found[1]["outputs"])).max())


def compare(emulated: Emulated, work: Path, clip: Path | None = None, quick: bool = False) -> Iterator[str]:
    """Run both; gives, line by line, what is the same and how far the rest differs.

    Raises:
        AssertionError: more differs than rounding explains.
    """
    write_photos(work / "photos")
    ours = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    with _listening(work / "broker") as reader:
        port = reader.port if reader else 0
        here = run_device(Path(sys.executable), ours, work, "here", clip, quick, port)
        there = run_device(
            emulated.python, emulated.environment(), work, "there", clip, quick, port, not emulated.lacks_page
        )
        heard = reader.named() if reader else {}
    bounds = BOUNDS[emulated.target.extra]
    assert (there["machine"], there["executable"]) == (emulated.target.architecture, str(emulated.python))
    steps = np.abs(np.array(here["outputs"]) - np.array(there["outputs"]))
    assert steps.max() <= bounds.output, f"golden outputs differ by {steps.max()}"
    yield (f"golden outputs: {(steps > 0).sum()} of {steps.size} int8 values differ, by {steps.max()} at most")
    yield f"self-test there: {there['self-test']}"
    yield _identified(here["identify"], there["identify"], bounds)
    yield _thresholds(here["calibration"], there["calibration"])
    for name in ("synthetic", "clip"):
        if name in here:
            yield f"{name}: {_events(here[name], there[name], bounds)}"
    if not quick:
        yield _served(here, there, heard, emulated.lacks_page) if reader else "MQTT, page: not run, needs mosquitto"
    for row in there.get("doctor", []):
        yield (f"doctor there: {row['check']:<16} {row['state']:<8} {row['found']}")
    spent = sum(there["seconds"].values()) / sum(here["seconds"].values())
    yield (f"emulated it took {sum(there['seconds'].values()):.0f} s, {spent:.0f} times as long as here")


def _identified(here: Any, there: Any, bounds: Bounds) -> str:
    ours, theirs = ([face["person"] for face in found] for found in (here, there))
    our_scores, their_scores = ([face["score"] for face in found] for found in (here, there))
    assert ours == theirs, f"identify: expected {ours}, found {theirs}"
    gap = float(np.abs(np.array(our_scores) - np.array(their_scores)).max())
    assert gap <= bounds.score, f"identify: scores differ by {gap}"
    return f"identify: the same names, {ours}; scores differ by {gap:.4f} at most"


def _thresholds(here: Any, there: Any) -> str:
    shared = np.abs(np.array(here["threshold"]) - np.array(there["threshold_of_shared_templates"])).max()
    assert shared < 1e-4, f"thresholds of the same templates differ by {shared}"
    own = np.abs(np.array(here["threshold"]) - np.array(there["threshold"])).max()
    pairs = np.maximum([there["fpir_at_first_thresholds"], there["fpir"]], LEAST_FPIR)
    factor = float(np.exp(np.abs(np.log(pairs[0] / pairs[1])).max()))
    assert factor <= FPIR_FACTOR, f"at the thresholds of here {factor:.2f} times as many or as few strangers pass there"
    low, high = there["fpir_interval"]
    return (
        f"thresholds of the same templates: {shared:.1e} apart; of the device's own templates (cosine to ours "
        f"{there['least_cosine_of_templates']:.5f} at least): {own:.4f} apart, which lets {factor:.2f} times as "
        f"many or as few strangers pass (the calibration's own interval is {low:.2f} to {high:.2f} of 1,000)"
    )


class _Listener(Reader):
    """Reads along at a broker."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port

    def named(self) -> dict[str, list[list[str]]]:
        """By first level of the topic: track and name of every event that names somebody."""
        self.settled()
        found: dict[str, list[list[str]]] = {}
        for topic, payload, _ in self.messages:
            place, _, leaf = topic.partition("/")
            event = json.loads(payload) if leaf == "events" else {}
            if event.get("kind") == "identified":
                found.setdefault(place, []).append([event["track_id"], event["person"]])
        return found


@contextmanager
def _listening(folder: Path) -> Iterator[_Listener | None]:
    """A broker and somebody who reads along; None: no broker is installed here."""
    if PROGRAM is None:
        yield None
        return
    broker = Broker(folder)
    try:
        reader = _Listener(broker.port)
        yield reader
        reader.close()
    finally:
        broker.kill()


def _served(here: Any, there: Any, heard: Mapping[str, list[list[str]]], lacks_page: str) -> str:
    told = {}
    for document in (here, there):
        served, names = document["served"], heard.get(document["machine"], [])
        told[document["machine"]] = sorted({name for _, name in names})
        assert names, f"{document['machine']}: the broker heard no name"
        assert served["ended"] == 0, f"{document['machine']}: the daemon ended with {served['ended']}"
        if "refused" in served:
            assert lacks_page in served["refused"], f"expected a word on {lacks_page}, found {served['refused']!r}"
            continue
        # Emulated, fewer searches a second are made than are due, which a daemon calls degraded.
        assert served["page"] == "<!doctype html>" and served["health"] in ("ok", "degraded"), served
        # The log has events of the runs before, too, and more came while it was asked.
        assert names[0] in served["named"], f"{document['machine']}: expected {names[0]} in {served['named']}"
    enrolled = {face["person"] for face in here["identify"]}
    assert all(set(names) <= enrolled for names in told.values()), f"expected {enrolled}, the broker heard {told}"
    page = (
        f"no page: {there['served']['refused']}"
        if lacks_page
        else "page and API answer, and know the event that the broker heard first"
    )
    return f"MQTT: the broker heard {told}; {page}"


def _events(here: list[dict[str, Any]], there: list[dict[str, Any]], bounds: Bounds) -> str:
    here, there = (
        sorted(events, key=lambda e: (e["kind"], e["person"] or "", e["captured_s"])) for events in (here, there)
    )
    kinds = [[(event["kind"], event["person"]) for event in events] for events in (here, there)]
    if not bounds.events and kinds[0] != kinds[1]:
        ours, theirs = ({person for kind, person in told if kind == "identified"} for told in kinds)
        assert ours == theirs, f"expected {ours} to be recognised, found {theirs}"
        return f"{len(kinds[0])} events here, {len(kinds[1])} there; recognised on both: {sorted(ours) or 'nobody'}"
    assert kinds[0] == kinds[1], f"expected {kinds[0]}, found {kinds[1]}"
    later = max((abs(a["captured_s"] - b["captured_s"]) for a, b in zip(here, there, strict=True)), default=0.0)
    assert later <= LATER_S, f"an event came {later:.2f} s later or earlier"
    pairs = list(zip(here, there, strict=True))
    named = max((abs(a["score"] - b["score"]) for a, b in pairs if a["kind"] == "identified"), default=0.0)
    assert named <= bounds.score, f"scores of people named differ by {named}"
    # Whom an unknown resembles most, and so which person's threshold is told, may be another one.
    others = max((_gap(a, b) for a, b in pairs if a["kind"] == "unknown"), default=0.0)
    return (
        f"the same {len(here)} events; {later:.2f} s apart at most; scores of people named {named:.4f}, "
        f"scores or thresholds of unknowns {others:.4f} apart at most"
    )


def _gap(one: dict[str, Any], other: dict[str, Any]) -> float:
    values = [(one[key], other[key]) for key in ("score", "threshold")]
    return max((abs(a - b) for a, b in values if a is not None and b is not None), default=0.0)
