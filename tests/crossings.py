"""Scenes in which people pass, hide and come back, played through the pipeline and judged by who was really there.

``python -m tests.crossings --scenes 200 --out docs/daemon/crossings.md`` (``make crossing``).
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import parse_config
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.detectors import DetectorOptions
from edge_runtime.faces.chain import FaceChain, central_face
from edge_runtime.gallery.templates import Templates
from edge_runtime.pipeline import Pipeline
from edge_runtime.sources.synthetic import Scene, SceneOptions, Showing
from edge_runtime.types import Event, Floats, Frame
from tests.builders import RELEASED

FPS = 15.0
PHOTOS = 4
SWAPPED_AFTER_S = 2.0
"""A name told that stays on somebody else's face for so long is a swapped one; doubts take a second and a half."""
_SEEN_S = 1.0
"""Somebody who was wholly in view for so long should have been seen."""


@dataclass
class Tally:
    """What came of scenes.

    Attributes:
        people: who came into view for long enough to be seen; known: of these the enrolled ones.
        swapped: names that stayed on somebody else's face after two had met.
        false_names: names given to somebody else, whether or not it was soon put right.
        mistaken: moments at which the daemon, asked then, gave a face somebody else's name.
        doubles: moments at which two faces in view bore one name.
        named: enrolled people who got their name; missed: those who did not.
        strangers_named: people who are not enrolled and got a name.
        tracks: announced; identified: names told; exchanged, joined: tracks set right by their codes.
    """

    people: int = 0
    known: int = 0
    swapped: int = 0
    false_names: int = 0
    mistaken: int = 0
    doubles: int = 0
    named: int = 0
    missed: int = 0
    strangers_named: int = 0
    tracks: int = 0
    identified: int = 0
    exchanged: int = 0
    joined: int = 0
    bad_seeds: list[int] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


def enrolled(scene: Scene, chain: FaceChain, people: tuple[str, ...]) -> Matcher:
    """A matcher with these people of the scene, from their stills, calibrated as on a device."""
    codes = []
    for person in people:
        for variant in range(PHOTOS):
            still = scene.photo(person, variant)
            faces = chain.detector.detect(still)
            best = central_face(faces, still.shape[1::-1])
            codes.append(chain.encode(still, faces.landmarks[[best]])[0][0])
    count = len(codes)
    index = np.repeat(np.arange(len(people), dtype=np.int64), PHOTOS)
    templates = Templates(people, index, np.stack(codes), np.ones(count, np.float32), np.arange(count, dtype=np.int64))
    return make_matcher(templates, chain.bundle, parse_config({}).decide)


def play(seed: int, chain: FaceChain, options: SceneOptions | None = None) -> Tally:
    """One scene; two of those in it are enrolled, and somebody who does not come."""
    scene = Scene(options or SceneOptions(seed=seed, crossing=True))
    present = [visit.person for visit in scene.visits]
    absent = next(person for person in scene.people if person not in present)
    known = tuple(present[:2])
    pipeline = Pipeline(chain, enrolled(scene, chain, (*known, absent)), parse_config({}), "door")
    judge = _Judge(known)
    for seq in range(round(scene.length_s * FPS)):
        at_s = seq / FPS
        events = pipeline.step(Frame(scene.render(at_s), "door", seq, at_s, at_s))
        judge.look(at_s, events, dict(pipeline.tracks), scene.showing(at_s))
        judge.ask([(box, name) for box, name, _ in pipeline.sightings() if name], scene.showing(at_s))
    judge.look(scene.length_s, pipeline.finish(scene.length_s, scene.length_s), {}, [])
    tally = judge.tally()
    for name in ("tracks", "identified", "exchanged", "joined"):
        setattr(tally, name, pipeline.counts[name])
    if tally.swapped or tally.false_names or tally.mistaken or tally.doubles:
        tally.bad_seeds.append(seed)
    return tally


class _Judge:
    """Keeps what the events say of each track, as a reader of them would, and compares it with what is shown."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known
        self._names: dict[str, str | None] = {}
        self._wrong_since: dict[str, float] = {}
        self._swapped: set[tuple[str, str]] = set()
        self._shown: Counter[str] = Counter()
        self._right: set[str] = set()
        self._false: list[tuple[str, str]] = []
        self._doubles = self._mistaken = 0
        self._last_s = 0.0

    def look(self, at_s: float, events: list[Event], boxes: dict[str, Floats], faces: list[Showing]) -> None:
        elapsed_s, self._last_s = at_s - self._last_s, at_s
        for face in faces:
            self._shown[face.person] += round(1000 * elapsed_s) if face.hidden < 0.3 else 0
        for event in events:
            assert event.track_id is not None
            if event.kind in ("identified", "unknown"):
                self._names[event.track_id] = event.person
                truth = _whose(np.asarray(event.xyxy, np.float32), faces)
                if event.person is not None and truth is not None:
                    if event.person == truth:
                        self._right.add(truth)
                    else:
                        self._false.append((event.person, truth))
            elif event.kind == "left":
                self._names.pop(event.track_id, None)
        self._compare(at_s, boxes, faces)

    def ask(self, named: list[tuple[Floats, str]], faces: list[Showing]) -> None:
        """What the daemon says at this moment."""
        self._mistaken += sum(_whose(box, faces) not in (None, name) for box, name in named)

    def _compare(self, at_s: float, boxes: dict[str, Floats], faces: list[Showing]) -> None:
        bearing: Counter[str] = Counter()
        for track_id, name in self._names.items():
            truth = _whose(boxes[track_id], faces) if name and track_id in boxes else None
            if truth is None:
                self._wrong_since.pop(track_id, None)
                continue
            bearing[name] += 1
            if truth == name:
                self._wrong_since.pop(track_id, None)
            elif at_s - self._wrong_since.setdefault(track_id, at_s) >= SWAPPED_AFTER_S:
                self._swapped.add((track_id, truth))
        self._doubles += any(count > 1 for count in bearing.values())

    def tally(self) -> Tally:
        seen = [person for person, shown_ms in self._shown.items() if shown_ms >= 1000 * _SEEN_S]
        known = [person for person in seen if person in self._known]
        return Tally(
            people=len(seen),
            known=len(known),
            swapped=len(self._swapped),
            false_names=len(self._false),
            mistaken=self._mistaken,
            doubles=self._doubles,
            named=sum(person in self._right for person in known),
            missed=sum(person not in self._right for person in known),
            strangers_named=len({truth for _, truth in self._false if truth not in self._known}),
        )


def _whose(box: Floats, faces: list[Showing]) -> str | None:
    """Whose face lies under a box, if it is clear to see and no other's is there as well."""
    centre, width = (box[:2] + box[2:]) / 2, box[2] - box[0]
    under = []
    for face in faces:
        left, top, right, bottom = face.xyxy
        away = float(np.hypot((left + right) / 2 - centre[0], (top + bottom) / 2 - centre[1]))
        if away < 0.5 * max(width, right - left):
            under.append(face)
    return under[0].person if len(under) == 1 and under[0].hidden < 0.3 else None


def run(seeds: range, bundle: Path = RELEASED) -> Tally:
    total = Tally()
    with FaceChain.open(Bundle(bundle), options=DetectorOptions(min_face_px=20)) as chain:
        for seed in tqdm(seeds, unit="scene", delay=2, leave=False, disable=None):
            total.add(play(seed, chain))
    return total


def table(total: Tally, scenes: int, bundle: str) -> str:
    rows = [
        ("scenes", f"{scenes}"),
        ("people in view for a second or more", f"{total.people}, {total.known} of them enrolled"),
        ("**swapped names**", f"**{total.swapped}**"),
        ("false names, put right or not", f"{total.false_names} of {total.identified} told"),
        ("strangers who got a name", f"{total.strangers_named} of {total.people - total.known}"),
        ("faces in a frame with somebody else's name, asked then", f"{total.mistaken}"),
        ("frames with one name on two faces", f"{total.doubles}"),
        ("enrolled people named", f"{total.named} of {total.known} ({total.missed} missed)"),
        ("tracks announced", f"{total.tracks}"),
        ("tracks exchanged / joined by their codes", f"{total.exchanged} / {total.joined}"),
    ]
    lines = [f"Bundle `{bundle}`, {FPS:g} frames a second, 640x360.", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--bundle", type=Path, default=RELEASED)
    parser.add_argument("--out", type=Path, help="Markdown file")
    args = parser.parse_args()
    total = run(range(args.first, args.first + args.scenes), args.bundle)
    text = table(total, args.scenes, Bundle(args.bundle).manifest.name)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)
    print(text + (f"seeds to look at: {total.bad_seeds}" if total.bad_seeds else ""))


if __name__ == "__main__":
    main()
