"""``wrong``: a name that was not right does not come again, and can be taken back; through the command line."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.builders import ROOT, draw_face
from tests.edge_runtime.conftest import Familiar


def watch(clip: str, *options: str) -> list[dict[str, Any]]:
    """The events of a run over a clip, in a process of its own."""
    command = [sys.executable, "-m", "edge_runtime", "run", "--camera", f"door={clip}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def named(events: list[dict[str, Any]]) -> list[str]:
    return [event["person"] for event in events if event["kind"] == "identified"]


@pytest.fixture
def home(familiar: Familiar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Familiar:
    """Ann is enrolled from the face that the clip shows, and Bob from another one."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, person in (("Ann", 0), ("Bob", 6)):
        for number in range(3):
            Image.fromarray(draw_face(person, 120 + 10 * number, number)).save(tmp_path / f"{name}{number}.png")
        assert familiar("enroll", name, *(f"{name}{number}.png" for number in range(3)))[0] == 0
    return familiar


def test_a_wrong_name_does_not_come_again_until_it_is_taken_back(home: Familiar, visit_clip: str) -> None:
    events = watch(visit_clip)
    assert named(events) == ["Ann"]
    assert all("embedding" not in event and "encoder" not in event for event in events)
    number = next(event["event_id"] for event in events if event["kind"] == "identified")
    code, out, err = home("wrong", str(number))
    assert (code, err) == (0, "")
    assert f"event {number} was not Ann (score " in out and "nearer to Ann than to this one" in out
    assert "of Ann's 3 photos would not get the name any more" in out or "all of Ann's photos (3)" in out
    again = watch(visit_clip)
    assert named(again) == []
    (unknown,) = (event for event in again if event["kind"] == "unknown")
    assert unknown["reason"] == "as near to a visit that was marked as not this person's"
    assert "marked as not" in home("explain", str(unknown["event_id"]))[1]
    shown = home("people", "show", "Ann")[1]
    assert f"not Ann: event {number}, camera door" in shown
    assert len(json.loads(home("people", "show", "Ann", "--json")[1])["negatives"]) == 1
    assert home("wrong", str(number))[0] == 0, "twice is once"
    assert len(json.loads(home("people", "show", "Ann", "--json")[1])["negatives"]) == 1
    assert home("wrong", str(number), "--undo")[:2] == (0, f"event {number}: taken back for Ann\n")
    assert named(watch(visit_clip)) == ["Ann"]
    code, _, err = home("wrong", str(number), "--undo")
    assert code == 4 and "expected one that was corrected" in err


def test_who_it_was_is_enrolled_from_the_view(home: Familiar, visit_clip: str) -> None:
    number = next(event["event_id"] for event in watch(visit_clip) if event["kind"] == "identified")
    code, out, _ = home("wrong", str(number), "--was", "Cleo", "--force", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["effect"]["enrolled"]["accepted"]
    assert named(watch(visit_clip)) == ["Cleo"]
    assert f"event {number}, camera door" in home("people", "show", "Cleo")[1]
    code, out, err = home("wrong", str(number), "--undo")
    assert code == 0 and "taken back for Ann" in out and "Cleo has no other photo" in err
    code, _, err = home("wrong", str(number), "--was", "ann")
    assert code == 4 and "somebody else than the name that was wrong" in err


def test_a_view_of_somebody_merged_is_no_longer_the_wrong_one(home: Familiar, visit_clip: str) -> None:
    number = next(event["event_id"] for event in watch(visit_clip) if event["kind"] == "identified")
    assert home("wrong", str(number), "--was", "Cleo", "--force")[0] == 0
    assert named(watch(visit_clip)) == ["Cleo"]
    assert home("people", "merge", "Cleo", "Ann")[0] == 0
    assert named(watch(visit_clip)) == ["Ann"], "it was Ann after all, by another name"
    before = home("people", "show", "Ann", "--json")[1]
    later = [event["event_id"] for event in watch(visit_clip) if event["kind"] == "identified"][-1]
    code, _, err = home("wrong", str(later), "--was", "Cleo")
    assert code == 4 and "merged into 'Ann'; familiar people unmerge 'Cleo'" in err
    assert home("people", "show", "Ann", "--json")[1] == before, "nothing is kept of what was refused"
    assert home("people", "unmerge", "Cleo")[0] == 0
    assert named(watch(visit_clip)) == ["Cleo"]


def test_what_cannot_be_corrected_says_why(home: Familiar, visit_clip: str, tmp_path: Path) -> None:
    events = watch(visit_clip, "--set", "events.keep_embeddings=false")
    by_kind = {event["kind"]: event["event_id"] for event in events}
    code, _, err = home("wrong", str(by_kind["appeared"]))
    assert code == 4 and "expected one that named somebody (identified), found appeared" in err
    code, _, err = home("wrong", str(by_kind["identified"]))
    assert code == 4 and "keep_embeddings = true" in err
    assert home("wrong", "99")[0] == 14
    assert home("wrong", "1", "--undo", "--was", "Bob")[0] == 2


def test_nothing_of_it_outlives_a_forgotten_person_or_a_new_key(
    home: Familiar, visit_clip: str, tmp_path: Path
) -> None:
    events = watch(visit_clip)
    number = next(event["event_id"] for event in events if event["kind"] == "identified")
    assert home("wrong", str(number))[0] == 0
    assert home("gallery", "rekey")[0] == 0
    assert f"not Ann: event {number}" in home("people", "show", "Ann")[1], "sealed again with the new key"
    assert named(watch(visit_clip)) == []
    assert home("people", "forget", "Ann", "--yes")[0] == 0
    state = tmp_path / "state" / "familiar"
    with sqlite3.connect(state / "gallery.db") as gallery:
        assert gallery.execute("SELECT count(*) FROM negative").fetchone() == (0,)
    with sqlite3.connect(state / "events.db") as log:
        assert log.execute("SELECT count(*) FROM event WHERE face IS NOT NULL").fetchone() == (0,)
