"""Who came and went, as ``events`` and ``run`` tell it to people."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.drawing.contact_sheet import GREEN
from edge_runtime.events.record import Record
from edge_runtime.events.visits import Visit, visits
from edge_runtime.gallery.directory import Directory
from edge_runtime.types import Event
from tests.builders import make_event
from tests.edge_runtime.commands.test_wrong import home, named, watch  # noqa: F401
from tests.edge_runtime.conftest import Familiar


def records(*events: dict[str, object]) -> list[Record]:
    found = []
    for number, given in enumerate(events, 1):
        fields = {"kind": "appeared", "camera": "door", "track_id": "t1", "wall_time": 100.0 + number, **given}
        event = make_event(number, **fields)
        body = {
            name: getattr(event, name) for name in ("score", "reason", "first_seen", "stranger", "visits", "captured_s")
        }
        plain = {"kind": event.kind, "camera": event.camera, "track_id": event.track_id, "at_s": event.wall_time}
        people = {"person_id": event.person, "candidate_id": None, "runner_up_id": None}
        values = {**plain, **people, "template_id": None, "clock_s": 0.0, "body": json.dumps(body)}
        found.append(Record(number, values))
    return found


DIRECTORY = Directory({"a": "Ann", "b": "Bob"})


def test_no_event_is_no_visit() -> None:
    assert list(visits([], DIRECTORY)) == []


def test_events_of_a_track_are_one_visit_with_the_last_decision() -> None:
    found = list(
        visits(
            records(
                {"first_seen": 99.0},
                {"track_id": "t2", "first_seen": 98.0},
                {"kind": "unknown", "score": 0.2},
                {"kind": "identified", "person": "a", "score": 0.7},
                {"kind": "camera_lost", "track_id": None, "reason": "gone"},
                {"kind": "identified", "person": "b", "score": 0.8},
                {"kind": "left", "person": "b"},
            ),
            DIRECTORY,
        )
    )
    assert [one.track_id if isinstance(one, Visit) else one.kind for one in found] == ["t2", "t1", "camera_lost"]
    visit = found[1]
    assert isinstance(visit, Visit)
    assert (visit.person, visit.earlier, visit.decision and visit.decision.score, visit.event_id) == (
        "Bob",
        ("Ann",),
        0.8,
        6,
    )
    assert (visit.first_s, visit.last_s, visit.left) == (99.0, 107.0, True)
    assert isinstance(found[0], Visit) and not found[0].left and found[0].state == "appeared"


def test_of_a_long_log_the_latest_visits_are_told_as_of_a_short_one() -> None:
    """However much is passed over on the way: somebody who stays through all of it is told whole at the end."""
    told: list[dict[str, object]] = [{"track_id": "stays", "first_seen": 1.0}]
    for number in range(3000):
        came = {"track_id": f"t{number}", "first_seen": 10.0 + number}
        told += [
            {**came, "kind": "identified", "person": "ab"[number % 2], "score": 0.7},
            {**came, "kind": "left", "person": "ab"[number % 2]},
        ]
    told.append({"track_id": "stays", "first_seen": 1.0, "kind": "identified", "person": "a", "score": 0.9})

    def of_ann(one: Visit | Event) -> bool:
        return isinstance(one, Visit) and one.person == "Ann"

    whole = [one for one in visits(records(*told), DIRECTORY) if of_ann(one)]
    bounded = visits(records(*told), DIRECTORY, of_ann, most=10)
    assert len(whole) == 1501 and bounded[-10:] == whole[-10:] and 10 < len(bounded) < 100
    assert bounded[0] == whole[0] and isinstance(bounded[0], Visit) and bounded[0].track_id == "stays"


def test_a_visit_is_a_line_and_can_be_asked_for(home: Familiar, visit_clip: str) -> None:  # noqa: F811
    events = watch(visit_clip)
    number = next(event["event_id"] for event in events if event["kind"] == "identified")
    code, out, err = home("events")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()
    assert re.fullmatch(rf" +{number}  Ann  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d–\d\d:\d\d:\d\d  door  \d\.\d\d", line)
    assert home("events", "--person", "ann")[1] == out and home("events", "--since", "today")[1] == out
    assert home("events", "--person", "Bob")[1] == "" == home("events", "--unknown")[1]
    code, _, err = home("events", "--person", "An")
    assert code == 4 and "did you mean 'Ann'?" in err
    assert len(home("events", "--raw")[1].splitlines()) == len(events)
    assert [json.loads(line)["kind"] for line in home("events", "--person", "Ann", "--json")[1].splitlines()] == [
        "identified",
        "left",
    ]
    code, out, _ = home("events", "--present")
    assert code == 0 and out.startswith("here now: not known, as no daemon runs\nfirst today: Ann, ")
    assert out.endswith(", 1 visit\n")
    assert "last seen " + time.strftime("%Y-%m-%d") in home("people")[1].splitlines()[0]


def test_on_a_terminal_events_are_sentences_and_the_video_shows_the_name(
    home: Familiar,  # noqa: F811
    visit_clip: str,
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "edge_runtime", "run", "--camera", f"door={visit_clip}", "--save", "out.mp4"]
    ours, theirs = pty.openpty()
    running = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # a terminal whose other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert running.wait(60) == 0
    lines = shown.decode().splitlines()
    told = [re.fullmatch(r"\d\d:\d\d:\d\d  door +1  (.+?)(   score .*)?", line) for line in lines]
    assert [line and line[1] for line in told] == ["came into view", "is Ann", "left (Ann)"]
    assert Path("out.mp4").stat().st_mode & 0o077 == 0
    video = cv2.VideoCapture("out.mp4")
    pictures = []
    while (read := video.read())[0]:
        pictures.append(read[1].astype(int))
    assert 95 <= len(pictures) <= 110 and pictures[0].shape == (240, 240, 3)
    # The label above the face; blue, green, red, as OpenCV reads them.
    green = [float((np.abs(picture[42:60, 80:112] - GREEN[::-1]).max(2) < 40).mean()) for picture in pictures]
    assert green[2] < 0.2 and green[30] > 0.4 and green[-2] < 0.2, "a name while somebody is in view"


@pytest.mark.parametrize("name", ["out.gif", "nowhere/out.mp4"])
def test_a_video_that_cannot_be_written_is_said_first(home: Familiar, name: str, visit_clip: str) -> None:  # noqa: F811
    code, out, err = home("run", "--camera", f"door={visit_clip}", "--save", name)
    assert code == 4 and out == "" and "expected a " in err
