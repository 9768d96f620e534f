"""The daemon on a synthetic camera: enrol two people who do not exist, show the rest, and count what it got right."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_runtime.app.people import open_people
from edge_runtime.config import CameraConfig, Config
from edge_runtime.daemon.service import Service
from edge_runtime.daemon.summary import frames_per_s, stage_ms
from edge_runtime.drawing.contact_sheet import GREEN, GREY, RED, Tile, draw_sheet, save_sheet
from edge_runtime.errors import EnrolmentError
from edge_runtime.sources.synthetic import Scene, SceneOptions, Visit
from edge_runtime.text.address import Address
from edge_runtime.text.sentences import event_sentence

ENROLLED = 2
PHOTOS = 4
_CAMERA = "front"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What the daemon made of one visit.

    Attributes:
        visit: who came, and when.
        kind: ``identified``, ``unknown``, ``rejected``, or ``not seen``.
        event: the event that decided, as JSON; empty where nothing was decided.
        right: whether that is what a person would say.
    """

    visit: Visit
    kind: str
    event: dict[str, Any]
    right: bool


@dataclass(frozen=True)
class DemoResult:
    """Everything the demo found out; the picture lies at ``sheet``."""

    outcomes: list[Outcome]
    enrolled: tuple[str, ...]
    frames_per_s: float
    stage_ms: dict[str, float]
    sheet: Path


def run_demo(config: Config, options: SceneOptions, out: Path, say: Say = print) -> DemoResult:
    """Enrol, watch, and draw the contact sheet into ``out``.

    The gallery lives in a temporary folder; nothing of the user's is touched.

    Args:
        config: bundle, detector and decision are used as they are.
        options: of the synthetic camera.
        out: folder, made if missing.
        say: gets one line at a time.

    Raises:
        FamiliarError: bundle, interpreter or enrolment fails.
        KeyboardInterrupt: Ctrl-C or SIGTERM before the film's end.
    """
    out.mkdir(parents=True, exist_ok=True)
    scene = Scene(options)
    enrolled = scene.people[:ENROLLED]
    with tempfile.TemporaryDirectory(prefix="familiar-demo-") as folder:
        private = _private(config, Path(folder), options)
        _enrol(private, scene, enrolled, Path(folder), say)
        say("")
        say(f"watching {len(scene.visits)} visits of {len(scene.people)} people, {scene.length_s:.0f} s of film:")
        events, fps, stages = _watch(private, say)
    outcomes = [_judge(scene, visit, events, enrolled) for visit in scene.visits]
    sheet = out / "contact-sheet.png"
    save_sheet(_draw(scene, outcomes, enrolled), sheet)
    return DemoResult(outcomes, enrolled, fps, stages, sheet)


def table(result: DemoResult) -> list[str]:
    """The demo's last lines: seen, named right, strangers called unknown, milliseconds by stage."""
    known = [o for o in result.outcomes if o.visit.person in result.enrolled]
    strangers = [o for o in result.outcomes if o.visit.person not in result.enrolled]
    seen = sum(o.kind != "not seen" for o in result.outcomes)
    rows = [
        ("visits seen", f"{seen} of {len(result.outcomes)}"),
        ("enrolled people named right", f"{sum(o.right for o in known)} of {len(known)}"),
        ("strangers called unknown", f"{sum(o.right for o in strangers)} of {len(strangers)}"),
        ("strangers given a name", f"{sum(o.kind == 'identified' for o in strangers)}"),
        ("frames a second", f"{result.frames_per_s:.0f}"),
    ]
    rows += [(f"{stage}, ms a run", f"{ms:.1f}") for stage, ms in result.stage_ms.items()]
    return [f"  {name:<30} {value:>10}" for name, value in rows]


def _private(config: Config, folder: Path, options: SceneOptions) -> Config:
    words = [
        f"{item.name}={getattr(options, item.name)}" for item in dataclasses.fields(options) if item.type != "bool"
    ]
    camera = CameraConfig(source=Address(f"synthetic:{','.join(words)}"))
    return dataclasses.replace(
        config,
        camera={_CAMERA: camera},
        gallery=dataclasses.replace(
            config.gallery, path=str(folder / "gallery.db"), key_file=str(folder / "key" / "device.key")
        ),
        control=dataclasses.replace(config.control, socket=str(folder / "control.sock")),
    )


def _enrol(config: Config, scene: Scene, people: tuple[str, ...], folder: Path, say: Say) -> None:
    with open_people(config, enrolling=True) as access:
        for person in people:
            taken, reasons = 0, set()
            for variant in range(PHOTOS):
                photo = folder / f"{person}-{variant}.png"
                Image.fromarray(scene.photo(person, variant)).save(photo)
                answer = access.call("enroll", {"name": person.title(), "source": photo.name}, photo.read_bytes())
                taken += bool(answer["accepted"])
                reasons.add(answer["reason"])
            if not taken:
                raise EnrolmentError(
                    f"{person.title()}: expected a usable face in the generated photos, found none "
                    f"({', '.join(sorted(filter(None, reasons)))}); use the bundle this version came with"
                )
            say(f"enrolled {person.title()} from {taken} of {PHOTOS} photos")


def _watch(config: Config, say: Say) -> tuple[list[dict[str, Any]], float, dict[str, float]]:
    """Run the daemon to the film's end; its events come through the sink every user has, a pipe here."""
    events: list[dict[str, Any]] = []
    read_end, write_end = os.pipe()

    def listen() -> None:
        with os.fdopen(read_end) as lines:
            for line in lines:
                event = json.loads(line)
                events.append(event)
                say(_sentence(event))

    listener = threading.Thread(target=listen, name="events")
    listener.start()
    try:
        events_config = dataclasses.replace(config.events, path=f"/dev/fd/{write_end}")
        with Service(dataclasses.replace(config, events=events_config)) as service:
            os.close(write_end)
            write_end = -1
            service.run()
            camera = service.cameras[_CAMERA]
            if camera.state != "ended":
                # The daemon takes Ctrl-C for a request to stop; half a film judged would look like a failed demo.
                raise KeyboardInterrupt
            return events, frames_per_s(camera), stage_ms(camera)
    finally:
        if write_end >= 0:
            os.close(write_end)
        listener.join()


def _sentence(event: dict[str, Any]) -> str:
    number = (event["track_id"] or "").rpartition("-")[2]
    return f"  {event['captured_s']:6.2f} s  {number:>3}  {event_sentence(event)}"


def _judge(scene: Scene, visit: Visit, events: list[dict[str, Any]], enrolled: tuple[str, ...]) -> Outcome:
    """The last decision about this visit, by where its face was at the time."""
    own = [event for event in events if _shows(scene, visit, event)]
    decided = [event for event in own if event["kind"] in ("identified", "unknown")]
    final = (decided or [event for event in own if event["kind"] == "rejected"] or own or [{}])[-1]
    kind = str(final.get("kind", "not seen")) if decided or final.get("kind") == "rejected" else "not seen"
    names = {event["person"] for event in decided if event["kind"] == "identified"}
    expected = {visit.person.title()} if visit.person in enrolled else set()
    return Outcome(visit, kind, final, bool(decided) and names == expected)


def _shows(scene: Scene, visit: Visit, event: dict[str, Any]) -> bool:
    if event["kind"] == "left" or event["xyxy"] is None:
        return False
    left, top, right, bottom = event["xyxy"]
    for face in scene.showing(event["captured_s"]):
        x0, y0, x1, y1 = face.xyxy
        if face.person == visit.person and x0 < (left + right) / 2 < x1 and y0 < (top + bottom) / 2 < y1:
            return bool(visit.start_s <= event["captured_s"] < visit.end_s)
    return False


def _draw(scene: Scene, outcomes: list[Outcome], enrolled: tuple[str, ...]) -> Any:
    tiles = []
    for outcome in outcomes:
        visit, event = outcome.visit, outcome.event
        at_s = event.get("captured_s", (visit.start_s + visit.end_s) / 2)
        label = event.get("person") or {"unknown": "unknown"}.get(outcome.kind, outcome.kind)
        colour = (GREEN if outcome.kind == "identified" else GREY) if outcome.right else RED
        boxes = ((tuple(event["xyxy"]), label, colour),) if event.get("xyxy") else ()
        truth = f"{visit.person.title()}, {'enrolled' if visit.person in enrolled else 'a stranger'}"
        figures = f"at {at_s:.1f} s"
        if event.get("score") is not None:
            figures += f", score {event['score']:.2f}, threshold {event['threshold']:.2f}"
        tiles.append(Tile(scene.render(at_s), boxes, truth, figures))
    right = sum(outcome.right for outcome in outcomes)
    names = " and ".join(person.title() for person in enrolled)
    heading = f"{right} of {len(outcomes)} visits judged right"
    return np.asarray(draw_sheet(tiles, heading, f"{names} are enrolled; nobody here exists"), np.uint8)
