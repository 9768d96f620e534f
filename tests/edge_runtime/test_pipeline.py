import dataclasses
import json

import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.config import parse_config
from edge_runtime.decision.calibration import calibrate
from edge_runtime.decision.matcher import Matcher
from edge_runtime.detectors import DetectorOptions
from edge_runtime.faces.chain import FaceChain
from edge_runtime.gallery.templates import Templates
from edge_runtime.pipeline import Pipeline
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


def test_an_empty_room_makes_no_event_and_is_searched_rarely(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {}), CONFIG, "front")
    assert play(pipeline, *[make_pixels(200, 300)] * 100) == []
    assert pipeline.finish(10.0, 10.0) == []
    assert pipeline.counts["frames"] == 100
    at_the_start, refreshes = 4, 3
    assert pipeline.counts["searched"] <= at_the_start + refreshes
    assert pipeline.counts["searched"] + pipeline.counts["still"] >= 45


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


def test_what_the_bundle_calls_no_face_is_not_told_of(tmp_path):
    """The bundle's shortest length lies between those of the two faces that are shown."""
    folder = make_bundle(tmp_path / "bundle").path
    with FaceChain.open(Bundle(folder)) as chain:
        lengths = []
        for person in (0, 1):
            picture = scene((person, 100, 40, 120))
            lengths.append(float(chain.encode(picture, chain.detector.detect(picture).landmarks[:1])[1][0]))
        matcher = matcher_for(chain, {})
    nobody, somebody = np.argsort(lengths).tolist()
    document = json.loads((folder / MANIFEST).read_text())
    document["encoder"]["least_length"] = sum(lengths) / 2
    (folder / MANIFEST).write_text(json.dumps(document))
    with FaceChain.open(Bundle(folder)) as chain:
        pipeline = Pipeline(chain, matcher, CONFIG, "front")
        assert play(pipeline, *[scene((nobody, 100, 40, 120))] * 20) == []
        assert pipeline.finish(2, 2) == []
        assert kinds(play(pipeline, *[scene((somebody, 100, 40, 120))] * 20, start=40)) == ["appeared", "unknown"]


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
    assert pipeline.stages["motion"].count <= pipeline.counts["frames"] == 14
    assert pipeline.stages["detect"].count == pipeline.counts["searched"] <= 7
    looked_at = pipeline.stages["encode"].count + pipeline.counts["waited"]
    assert 0 < looked_at == pipeline.stages["align"].count <= 7
    assert looked_at + pipeline.counts["spared"] == pipeline.counts["faces"]
    assert all(stage.total > 0 for stage in pipeline.stages.values())
    assert pipeline.counts["identified"] == pipeline.counts["tracks"] == 1


def test_crops_are_kept_beside_decisions_if_asked(chain):
    still = [scene((0, 100, 40, 120))] * 14
    for keep, has_crop in (("none", False), ("crops", True)):
        config = dataclasses.replace(CONFIG, events=dataclasses.replace(CONFIG.events, keep=keep))
        events = play(Pipeline(chain, matcher_for(chain, {"Ada": 0}), config, "front"), *still)
        told = [(event.kind, event.crop is not None) for event in events]
        assert told == [("appeared", False), ("identified", has_crop)]
        assert events[1].candidate == "Ada"


def paths(left, right, hidden=0):
    """Frames of Ada (0) and Ben (4) at these x, two rows of them; then some in which nobody is to be seen."""
    return [scene((0, a, 60, 110), (4, b, 60, 110)) for a, b in zip(left, right, strict=True)] + [scene()] * hidden


def names_by_place(pipeline):
    return [name for box, name, _ in sorted(pipeline.sightings(), key=lambda row: float(row[0][0]))]


def test_two_who_meet_out_of_sight_and_turn_back_do_not_swap_names(chain):
    # Both walk on towards each other, vanish, and are back where they came from: by their motion they passed.
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    meet = paths([20] * 14 + [20 + 14 * i for i in range(11)], [460] * 14 + [460 - 14 * i for i in range(11)], hidden=7)
    part = paths([170 - 12 * i for i in range(12)] + [20] * 20, [310 + 12 * i for i in range(12)] + [460] * 20)
    events = play(pipeline, *meet, *part)
    assert pipeline.counts["exchanged"] + pipeline.counts["joined"] >= 1
    assert names_by_place(pipeline) == ["Ada", "Ben"]
    named = [event for event in events if event.kind == "identified"]
    assert sorted(event.person for event in named) == ["Ada", "Ben"]
    assert kinds(events).count("appeared") == 2
    assert {event.person: event.track_id for event in named} == {
        event.person: event.track_id for event in pipeline.finish(9.0, 9.0)
    }


def test_while_two_touch_nobody_is_named_and_no_view_counts(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    play(pipeline, *paths([20] * 14, [460] * 14))
    encoded = pipeline.stages["encode"].count
    play(pipeline, *paths([20 + 20 * i for i in range(12)], [460 - 18 * i for i in range(12)]), start=14)
    assert names_by_place(pipeline) == [None, None]
    assert pipeline.counts["held"] > 0
    assert pipeline.stages["encode"].count - encoded <= 2


def test_somebody_hidden_for_a_moment_is_not_a_second_person(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    seen = [scene((0, 60, 40, 120))] * 14
    elsewhere = [scene((0, 330, 60, 120))] * 14
    events = play(pipeline, *seen, *[scene()] * 8, *elsewhere)
    assert kinds(events) == ["appeared", "identified"]
    assert pipeline.counts["joined"] == 1
    assert kinds(pipeline.finish(5.0, 5.0)) == ["left"]


def test_somebody_else_who_comes_where_another_was_lost_is_announced(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    events = play(pipeline, *[scene((0, 60, 40, 120))] * 14, *[scene()] * 8, *[scene((4, 330, 60, 120))] * 30)
    named = [event.person for event in events if event.kind == "identified"]
    assert named == ["Ada", "Ben"]
    assert kinds(events).count("appeared") == 2
    assert pipeline.counts["joined"] == 0


def test_a_name_does_not_outlive_a_cut_to_another_scene(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0, "Ben": 4}), CONFIG, "front")
    here, there = scene((0, 100, 40, 120)), scene((4, 100, 40, 120))
    there[:, :90], there[:, 290:] = 255 - there[:, :90], 20
    events = play(pipeline, *[here] * 14, *[there] * 40)
    named = [event for event in events if event.kind == "identified"]
    assert [event.person for event in named] == ["Ada", "Ben"]
    assert named[0].track_id != named[1].track_id
    assert sorted(kinds(events)) == ["appeared", "appeared", "identified", "identified", "left"]


def test_nobody_is_in_two_places(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    events = play(pipeline, *[scene((0, 20, 40, 120), (0, 400, 60, 110))] * 40)
    assert kinds(events).count("identified") == 1
    assert sorted(name or "" for _, name, _ in pipeline.sightings()) == ["", "Ada"]


def test_who_sits_still_stays_in_view(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    events = play(pipeline, *[scene((0, 100, 40, 120))] * 150)
    assert kinds(events) == ["appeared", "identified"]
    assert [name for _, name, _ in pipeline.sightings()] == ["Ada"]
    assert pipeline.counts["searched"] < 60


def test_a_decided_face_is_hardly_ever_encoded(chain):
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
    play(pipeline, *[scene((0, 60 + 4 * (i % 20), 40, 120)) for i in range(100)])
    decided = pipeline.stages["encode"].count
    play(pipeline, *[scene((0, 60 + 4 * (i % 20), 40, 120)) for i in range(100)], start=100)
    assert pipeline.stages["encode"].count - decided <= 6
    assert pipeline.counts["spared"] > 50


def test_a_clip_gives_the_same_events_however_long_its_frames_take(chain):
    walk = [scene((0, 40 + 8 * i, 40, 120)) for i in range(30)]
    told = []
    for slow_s in (0.0, 9.0):
        pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front")
        events = []
        for i, pixels in enumerate(walk):
            events += pipeline.step(make_frame(pixels, i, i / 10))
            pipeline.pace.measure(True, slow_s)
        told.append([(event.kind, event.captured_s, event.score) for event in events])
    assert told[0] == told[1]
