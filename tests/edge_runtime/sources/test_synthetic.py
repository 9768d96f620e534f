import time

import numpy as np
import pytest

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.sources.synthetic import PORTRAITS, Scene, SceneOptions, SyntheticSource


def test_the_same_seed_gives_the_same_frames():
    options = SceneOptions.parse("seed=4,people=2")
    a, b = Scene(options), Scene(options)
    np.testing.assert_array_equal(a.render(2.0), b.render(2.0))
    assert not np.array_equal(a.render(2.0), Scene(SceneOptions.parse("seed=5,people=2")).render(2.0))


def test_everybody_comes_once_a_visit_and_the_frame_is_empty_at_both_ends():
    scene = Scene(SceneOptions.parse("visits=2"))
    seen = [v.person for v in scene.visits]
    assert sorted(seen) == sorted(2 * list(scene.people))
    assert scene.showing(0.0) == scene.showing(scene.length_s - 0.1) == []


def test_what_is_shown_lies_in_the_frame():
    scene = Scene(SceneOptions.parse("people=3"))
    shown = [face for at_s in np.arange(0, scene.length_s, 0.2) for face in scene.showing(at_s)]
    assert {face.person for face in shown} == set(scene.people)
    assert all(0 <= f.xyxy[0] < f.xyxy[2] < 640 and 0 <= f.xyxy[1] < f.xyxy[3] < 360 for f in shown)


def test_frames_have_the_size_and_pace_asked_for():
    with SyntheticSource(SceneOptions.parse("people=1,fps=5,size=320x240"), "front") as source:
        frames = list(source)
    assert frames[0].pixels.shape == (240, 320, 3)
    assert frames[5].captured_s - frames[0].captured_s == pytest.approx(1.0)
    assert [f.seq for f in frames] == list(range(len(frames)))


def test_a_loop_goes_on_until_closed():
    source = SyntheticSource(SceneOptions.parse("people=1,fps=1,size=160x120,loop"), "front")
    count = 0
    for _ in source:
        count += 1
        if count == 30:
            source.close()
    assert count == 30


@pytest.mark.parametrize(
    "argument", ["sed=3", "seed=x", "size=10x10", "size=big", "fps=0", "visits=0", "seed", "loop=false"]
)
def test_wrong_options_are_named(argument):
    with pytest.raises(ConfigError, match="expected"):
        SceneOptions.parse(argument)


def test_missing_portraits_are_an_error(tmp_path):
    with pytest.raises(CameraError, match="found none"):
        Scene(SceneOptions(), tmp_path)


def test_portraits_are_shipped():
    assert len(list(PORTRAITS.glob("*.png"))) >= 6


def test_a_live_scene_that_is_read_too_slowly_loses_frames_and_makes_up_for_none():
    with SyntheticSource(SceneOptions.parse("people=1,fps=50,size=160x120,realtime,loop"), "front") as source:
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.1 if len(frames) < 8 else 0.0)
            if len(frames) == 14:
                break
    assert [frame.seq for frame in frames] == list(range(14))
    assert frames[7].captured_s - frames[0].captured_s >= 0.6
    late_s = time.monotonic() - frames[-1].captured_s
    assert late_s < 0.6, late_s
