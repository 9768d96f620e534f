"""Everything a daemon needs, tried without a camera and without touching its gallery; a deployment asks for it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Collection
from pathlib import Path

from edge_runtime.capture.process import CaptureProcess
from edge_runtime.config import Config, GalleryConfig, gallery_path
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.decision.refusal import PROMISE, check_bundle
from edge_runtime.errors import SelfTestError
from edge_runtime.faces.chain import open_chain
from edge_runtime.faces.golden import check_golden, check_golden_faces
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.pipeline import Pipeline

FRAMES = 20
FIRST_FRAME_S = 180.0
"""Starting Python and OpenCV takes that long on the slowest device that is busy; this camera always gives frames."""
_SOURCE = "synthetic:fps=5"
"""Few frames over a long while, so that people come into view."""


def self_test(config: Config, forced: Collection[str] = ()) -> str:
    """Open all, compare the golden outputs, and take synthetic frames from a capture process through a pipeline.

    The configured gallery is opened if it is there, and neither made nor changed.

    Args:
        config: needs no camera.
        forced: ``promise``: pass although nobody would be named.

    Returns:
        What was found, in one line.

    Raises:
        SelfTestError: nobody would be named, other embeddings than the bundle has, or no face where there are some.
        FamiliarError: bundle, interpreter, gallery or capture cannot be used.
    """
    with open_chain(config) as chain:
        cosine = check_golden(chain.bundle, chain.encoder)
        check_golden_faces(chain.bundle, chain.detector)
        if PROMISE not in forced:
            check_bundle(chain.bundle, config.decide)
        people = 0
        if gallery_path(config).exists():
            with open_gallery(config, chain, create=False) as gallery:
                matcher = make_matcher(gallery.templates(), chain.bundle, config.decide, tracks=True)
                people, refused = len(matcher.templates.names), matcher.calibration.refused
            if refused and PROMISE not in forced:
                raise SelfTestError(f"self-test: {refused}")
        with tempfile.TemporaryDirectory(prefix="familiar-") as folder:
            places = GalleryConfig(f"{folder}/state/gallery.db", f"{folder}/keys/device.key")
            every_frame = dataclasses.replace(config.detect, every=1)
            trial = dataclasses.replace(config, gallery=places, detect=every_frame)
            Path(places.key_file).parent.mkdir()
            with (
                open_gallery(trial, chain) as gallery,
                CaptureProcess(_SOURCE, "self-test", FIRST_FRAME_S, FIRST_FRAME_S) as capture,
            ):
                matcher = make_matcher(gallery.templates(), chain.bundle, trial.decide)
                pipeline = Pipeline(chain, matcher, trial, "self-test")
                for _, frame in zip(range(FRAMES), capture, strict=False):
                    pipeline.step(frame)
    counts, spent_s = pipeline.counts, sum(stage.total for stage in pipeline.stages.values())
    if not counts["faces"]:
        raise SelfTestError(
            f"self-test: expected faces in {counts['frames']} synthetic frames, detector {chain.detector.name!r} "
            "found none; check [detect]"
        )
    return (
        f"self-test passed: bundle {chain.bundle.manifest.name} {chain.bundle.hash[:12]}, golden cosine {cosine:.4f}, "
        f"{counts['frames']} frames, {counts['faces']} faces, {1000 * spent_s / counts['frames']:.1f} ms a frame, "
        f"{people} people enrolled"
    )
