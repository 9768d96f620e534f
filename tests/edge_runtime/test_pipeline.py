import dataclasses

import numpy as np
import pytest

from edge_runtime.calibrate import calibrate
from edge_runtime.chain import FaceChain
from edge_runtime.config import parse_config
from edge_runtime.detectors import DetectorOptions
from edge_runtime.matcher import Matcher
from edge_runtime.pipeline import Pipeline
from edge_runtime.templates import Templates
from tests.builders import draw_face, make_bundle, make_frame, make_pixels

CONFIG = parse_config({"detect": {"every": 2, "min_face_px": 30}, "decide": {"views": 3, "recheck_s": 0.5}})


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with FaceChain.open(
        make_bundle(tmp_path_factory.mktemp("pipeline") / "bundle"), options=DetectorOptions(min_face_px=30)
    ) as opened:
        yield opened


def matcher_for(chain, people):
    """A matcher with the drawn people given as {name: number}."""
    codes = []
    for number in people.values():
        picture = draw_face(number, 140, background=9)
        codes.append(chain.encode(picture, chain.detector.detect(picture).landmarks[:1])[0][0])
    count = len(codes)
    stacked = np.stack(codes) if count else np.zeros((0, 32), np.float32)
    index = np.arange(count, dtype=np.int64)
    templates = Templates(tuple(people), index, stacked, np.ones(count, np.float32), index + 100)
    strangers = chain.bundle.strangers()
    # Drawn faces are more alike than the bundle's random strangers, so the threshold is set for them.
    calibration = calibrate(templates, strangers, len(strangers), 10.0)
    return Matcher(templates, dataclasses.replace(calibration, threshold=0.8), 0.02)


def scene(*faces, width=640, height=300):
    """A frame's pixels with drawn faces at (person, x, y, width)."""
    pixels = make_pixels(height, width, 77)
    for person, x, y, size in faces:
        face = draw_face(person, size)
        pixels[y : y + len(face), x : x + len(face)] = face[: height - y, : width - x]
    return pixels


def play(pipeline, *rows, start=0):
    """Step through pixels at 10 frames a second; returns the events."""
    return [e for i, pixels in enumerate(rows) for e in pipeline.step(make_frame(pixels, start + i, (start + i) / 10))]


def kinds(events):
    return [event.kind for event in events]


def test_an_empty_room_makes_no_event(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {}), CONFIG, "front")
    assert play(pipeline, *[make_pixels(200, 300)] * 12) == []
    assert pipeline.finish(2.0, 2.0) == []
    assert pipeline.counts["frames"] == 12
    assert pipeline.counts["searched"] == 6


def test_a_known_person_appears_is_named_and_leaves(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    walk = [scene((0, 40 + 8 * i, 40, 120)) for i in range(14)]
    events = play(pipeline, *walk, *[scene()] * 30)
    assert kinds(events) == ["appeared", "identified", "left"]
    appeared, named, left = events
    assert appeared.person is None
    assert named.person == left.person == "Ada"
    assert named.score >= named.threshold
    assert named.margin > 0
    assert named.runner_up == "Ben"
    assert named.template_id == 100
    assert named.bundle == chain.bundle.hash
    assert {event.track_id for event in events} == {named.track_id}
    assert named.quality["face_px"] == pytest.approx(120, rel=0.3)
    assert left.first_seen == pytest.approx(1_700_000_000)


def test_a_stranger_is_unknown_and_later_than_a_name_would_be(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    events = play(pipeline, *[scene((2, 100, 40, 120))] * 20)
    assert kinds(events) == ["appeared", "unknown"]
    assert events[1].person is None
    third_view_s = 2 * 0.2
    assert events[1].captured_s > third_view_s
    assert kinds(pipeline.finish(3.0, 3.0)) == ["left"]
    assert pipeline.finish(3.0, 3.0) == []


def test_with_nobody_enrolled_everybody_is_a_stranger(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {}), CONFIG, "front")
    assert kinds(play(pipeline, *[scene((0, 100, 40, 120))] * 20)) == ["appeared", "unknown"]


def test_a_small_face_is_rejected_once_with_the_reason(chain):
    config = dataclasses.replace(CONFIG, quality=dataclasses.replace(CONFIG.quality, min_face_px=90))
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), config, "front")
    events = play(pipeline, *[scene((0, 100, 40, 60))] * 30)
    assert kinds(events) == ["appeared", "rejected"]
    assert events[1].reason == "small"
    assert events[1].person is None


def test_two_people_at_once_get_their_own_names(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    events = play(pipeline, *[scene((0, 20, 40, 120), (4, 400, 40, 120))] * 14)
    named = {event.person: event for event in events if event.kind == "identified"}
    assert set(named) == {"Ada", "Ben"}
    assert named["Ada"].xyxy[0] < 200 < named["Ben"].xyxy[0]


def test_somebody_enrolled_while_in_view_is_named_without_leaving(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {}), CONFIG, "front")
    still = [scene((0, 100, 40, 120))]
    assert kinds(play(pipeline, *still * 20)) == ["appeared", "unknown"]
    pipeline.matcher = matcher_for(chain, {"Ada": 0})
    events = play(pipeline, *still * 20, start=20)
    assert kinds(events) == ["identified"]
    assert events[0].person == "Ada"


def test_a_stranger_stays_one_event_while_others_are_enrolled(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {}), CONFIG, "front")
    still = [scene((0, 100, 40, 120))]
    play(pipeline, *still * 20)
    for number in (3, 4, 5):
        pipeline.matcher = matcher_for(chain, {f"person {n}": n for n in range(3, number + 1)})
        assert play(pipeline, *still * 10, start=20 + 10 * (number - 3)) == []
    assert pipeline.counts["unknown"] == pipeline.counts["tracks"] == 1
    assert kinds(pipeline.finish(6.0, 6.0)) == ["left"]


def test_a_name_survives_views_too_dark_to_judge(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    bright, dark = scene((0, 100, 40, 120)), scene((0, 100, 40, 120)) // 8
    events = play(pipeline, *[bright] * 14, *[dark] * 8, *[bright] * 14)
    assert kinds(events) == ["appeared", "identified"]


def test_a_forgotten_person_is_not_named_again(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    still = [scene((0, 100, 40, 120))]
    play(pipeline, *still * 14)
    pipeline.matcher = matcher_for(chain, {})
    events = play(pipeline, *still * 14, start=14)
    assert kinds(events) == ["unknown"]
    assert pipeline.finish(5.0, 5.0)[0].person is None


def test_stage_times_and_counts_add_up(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    play(pipeline, *[scene((0, 100, 40, 120))] * 14)
    assert pipeline.stages["detect"].count == pipeline.counts["searched"] == 7
    assert 0 < pipeline.stages["encode"].count == pipeline.stages["align"].count <= 7
    assert all(stage.total_s > 0 for stage in pipeline.stages.values())
    assert pipeline.counts["identified"] == pipeline.counts["tracks"] == 1


def test_crops_are_kept_beside_decisions_if_asked(chain):
    still = [scene((0, 100, 40, 120))] * 14
    for keep in (False, True):
        config = dataclasses.replace(CONFIG, events=dataclasses.replace(CONFIG.events, keep_crops=keep))
        events = play(Pipeline(chain, matcher_for(chain, {"Ada": 0}), config, "front"), *still)
        assert [(event.kind, event.crop is not None) for event in events] == [("appeared", False), ("identified", keep)]
        assert events[1].candidate == "Ada"
