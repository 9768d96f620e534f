"""Why an event is what it is: what people read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.decision.explanation import Standards, explain, top_two
from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore
from edge_runtime.faces.quality import QualityLimits
from edge_runtime.gallery.directory import Directory
from tests.builders import make_event

WHO = Directory.of({"a1": "Ada", "b2": "Ben"}, {}, frozenset())
STANDARDS = Standards(0.02, QualityLimits())


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """Explains an event as the log gives it back: (lines, the best two)."""

    def tell(who: Directory = WHO, forgotten: frozenset[str] = frozenset(), **fields: Any) -> tuple[str, str | None]:
        with EventStore(tmp_path / "events.db") as store:
            store.commit([(make_event(0, **fields), WHO)], forgotten, (0.0, None), {}, 0)
            number = store.newest
        with EventReader(tmp_path / "events.db") as reader:
            record = reader.find(number)
        event = record.event(who)
        assert event is not None
        return "\n".join(explain(event, record, STANDARDS)), top_two(event, record)

    return tell


def test_a_name_is_explained_by_score_and_margin(told: Any) -> None:
    match = {"person": "Ada", "candidate": "Ada", "score": 0.61, "threshold": 0.5}
    why, best = told(kind="identified", runner_up="Ben", margin=0.3, **match)
    assert why == "Ada: the score 0.610 is 0.11 above the threshold of 0.500, and 0.30 ahead of Ben (0.02 is needed)"
    assert best == "Ada 0.610, then Ben 0.310 (0.300 behind); a name needs 0.500"
    why, best = told(kind="identified", margin=math.inf, **match)
    assert why.endswith("and nobody else is enrolled")
    assert best == "Ada 0.610; a name needs 0.500"


def test_unknown_says_what_was_missing(told: Any) -> None:
    near = {"candidate": "Ada", "runner_up": "Ben", "threshold": 0.5}
    assert "Ada came nearest, 0.04 below the threshold" in told(score=0.46, margin=0.2, **near)[0]
    why = told(score=0.6, margin=0.012, **near)[0]
    assert "the runner-up was too near; Ada was 0.012 ahead of Ben, needed is 0.02" in why
    assert told(score=0.0, margin=0.0, threshold=math.inf)[0] == "unknown: nobody was enrolled to compare with"


def test_a_rejection_says_which_limit_was_missed_and_what_would_do(told: Any) -> None:
    why = told(kind="rejected", reason="small", quality={"face_px": 25.0})[0]
    assert why.startswith("rejected: small (face_px 25 of at least 32 px); come closer")
    assert "face_px 25 px (at least 32 (!))" in why
    assert told(kind="rejected", reason="not a face")[0] == "rejected: not a face"
    glare = told(kind="rejected", reason="glare", quality={"light": 240.0, "face_px": 90.0})[0]
    assert "(light 240 of at most 235)" in glare


def test_the_rest_says_what_happened(told: Any) -> None:
    assert told(kind="left", first_seen=1_699_999_988.0)[0] == "left after 12 s in view; never named"
    assert told(kind="left", person="Ada", first_seen=1_699_999_988.0)[0].endswith("known as Ada")
    assert "came into view" in told(kind="appeared")[0]
    assert told(kind="camera_lost", reason="cable out")[0] == "cable out"
    assert told(kind="camera_back")[0] == "camera back"


def test_people_who_are_gone_are_called_so(told: Any) -> None:
    unknown = {"candidate": "Ada", "score": 0.3, "threshold": 0.5, "margin": 0.2, "runner_up": "Ben"}
    why, best = told(forgotten=frozenset({"a1"}), **unknown)
    assert "somebody since forgotten came nearest" in why
    assert best is not None and best.startswith("somebody since forgotten 0.300, then Ben")
    why, _ = told(who=Directory(), kind="identified", person="Ada", candidate="Ada", score=0.6, threshold=0.5)
    assert why.startswith("somebody whom this gallery does not know")


def test_a_stranger_who_is_remembered_has_been_seen_so_often(told: Any) -> None:
    near = {"candidate": "Ada", "score": 0.4, "threshold": 0.5, "margin": math.inf}
    assert "seen 7 times, never named: familiar strangers show a1b2c3" in told(stranger="a1b2c3", visits=7, **near)[0]
    assert "seen for the first time" in told(stranger="a1b2c3", visits=1, **near)[0]
    why = told(kind="left", stranger="a1b2c3", visits=2, ignored=True)[0]
    assert why.splitlines()[1].endswith("; ignored, so no sink got it")
    assert "seen" not in told(**near)[0]
