"""What close looks show the daemon, on whole films: somebody far away at once, and nobody twice."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig, parse_config
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.detectors import DetectorOptions
from edge_runtime.faces.chain import FaceChain
from edge_runtime.gallery.templates import Templates
from edge_runtime.pipeline import Pipeline
from edge_runtime.types import Frame
from tests.benchmarks.daemon import CLIP, clip_frames, matcher_for
from tests.builders import RELEASED
from tests.clips import ENTERS_S, FPS, visitor


@pytest.fixture(scope="module")
def released() -> Iterator[FaceChain]:
    with FaceChain.open(Bundle(RELEASED), options=DetectorOptions(min_face_px=20)) as opened:
        yield opened


def test_somebody_far_away_appears_at_once_for_a_few_windows_a_search(released: FaceChain) -> None:
    scene = visitor("1280x720", 32)
    matcher = make_matcher(Templates.empty(released.encoder.embedding_size), released.bundle, DecideConfig())
    pipeline = Pipeline(released, matcher, parse_config({}), "door")
    appeared_s, whole_s = [], None
    for seq in range(round(ENTERS_S * FPS), round((ENTERS_S + 5) * FPS)):
        at_s = seq / FPS
        whole_s = at_s if whole_s is None and scene.showing(at_s) else whole_s
        events = pipeline.step(Frame(scene.render(at_s), "door", seq, at_s, at_s))
        appeared_s += [event.captured_s for event in events if event.kind == "appeared"]
    assert whole_s is not None
    assert appeared_s
    assert appeared_s[0] - whole_s <= 0.5
    assert 0 < pipeline.counts["closely"] <= 3 * pipeline.counts["searched"]


@pytest.mark.skipif(not CLIP.is_file(), reason=f"the shared clip is missing: {CLIP}")
def test_the_clip_twice_as_large_names_as_many_faces_with_close_looks_as_without(released: FaceChain) -> None:
    matcher = matcher_for(released, released.detector)
    whole, close = (Pipeline(released, matcher, parse_config({"detect": {"close_looks": n}}), "c") for n in (0, 4))
    named = {whole: 0, close: 0}
    for frame in clip_frames():
        large = np.asarray(cv2.resize(frame.pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
        for pipeline in named:
            pipeline.step(Frame(large, "c", frame.seq, frame.captured_s, frame.wall_time))
            named[pipeline] += sum(name is not None for _, name, _ in pipeline.sightings())
    assert named[whole] > 100
    assert named[close] >= 0.97 * named[whole]
