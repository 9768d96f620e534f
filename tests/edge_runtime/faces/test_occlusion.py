"""Covered faces: what is hidden already cannot change the code, and a photo of it is refused with what would do."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.enrolment.photo import Enroller
from edge_runtime.errors import BundleError
from edge_runtime.faces.chain import FaceChain
from edge_runtime.faces.occlusion import covered, reliance
from edge_runtime.gallery.store import Gallery
from edge_runtime.types import Pixels
from tests.builders import ROOT, draw_face, make_bundle

RELEASED = ROOT / "models" / "released" / "default"


def hidden(chips: Pixels, top: float, bottom: float) -> Pixels:
    """Chips with a dark bar from ``top`` to ``bottom``, shares of the height."""
    barred = chips.copy()
    height = chips.shape[1]
    barred[:, round(top * height) : round(bottom * height)] = (18, 16, 20)
    return barred


def test_what_is_hidden_is_relied_on_less() -> None:
    bundle = Bundle(RELEASED)
    template = bundle.manifest.preprocessing.template
    with FaceChain.open(bundle) as chain:
        faces = [draw_face(person, 160, background=person % 2) for person in range(7)]
        chips = np.concatenate([chain.chips(face, chain.detector.detect(face).landmarks[:1]) for face in faces])
        open_faced = reliance(chain.encoder, chips, template)
        eyes = template.as_array()[:2, 1].mean() / chips.shape[1]
        dark = reliance(chain.encoder, hidden(chips, eyes - 0.14, eyes + 0.14), template)
        mouth = template.as_array()[2, 1] / chips.shape[1]
        masked = reliance(chain.encoder, hidden(chips, mouth, 1.0), template)
        # A blank face relies on nothing.
        blank = reliance(chain.encoder, np.full_like(chips, 90), template)
        assert covered(chain.encoder, np.full_like(chips[:1], 90), template, {"eyes": 0.01})
        assert covered(chain.encoder, chips[:1], template, {}) is None
    assert (dark["eyes"] < open_faced["eyes"]).mean() >= 0.75
    assert (masked["mouth"] < open_faced["mouth"]).mean() >= 0.75
    assert max(float(values.max()) for values in blank.values()) < 0.01


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle that takes every face for one with covered eyes."""
    folder = make_bundle(tmp_path / "bundle").path
    document = json.loads((folder / MANIFEST).read_text())
    document["encoder"]["reliance"] = {"mouth": 0.0, "eyes": 2.0}
    (folder / MANIFEST).write_text(json.dumps(document))
    return Bundle(folder)


def test_a_covered_face_is_refused_unless_somebody_insists(bundle: Bundle, tmp_path: Path) -> None:
    with (
        FaceChain.open(bundle) as chain,
        Gallery.open(
            tmp_path / "state" / "gallery.db",
            tmp_path / "device.key",
            chain.encoder_hash,
            chain.preprocessing_hash,
            chain.encoder.embedding_size,
            "tiny",
        ) as gallery,
    ):
        enroller = Enroller(chain, gallery)
        result = enroller.photo("Ann", draw_face(0), None, "a.jpg")
        assert not result.accepted and result.reason is not None
        assert result.reason.startswith("eyes covered") and "take off dark glasses" in result.reason
        # What can be seen without any encoder is said first.
        blurred = np.asarray(cv2.GaussianBlur(draw_face(0, 100), (0, 0), 4), np.uint8)
        assert "blurred" in str(enroller.photo("Ann", blurred, None, "b.jpg").reason)
        forced = enroller.photo("Ann", draw_face(0), None, "a.jpg", force=True)
        assert forced.accepted and str(forced.forced).startswith("eyes covered")


@pytest.mark.parametrize("stated", [{"nose": 0.1}, {"eyes": -0.1}, {"eyes": float("nan")}, {"eyes": "x"}, ["eyes"], 3])
def test_a_manifest_that_says_it_wrongly_is_one_line(bundle: Bundle, stated: object) -> None:
    document = json.loads((bundle.path / MANIFEST).read_text())
    document["encoder"]["reliance"] = stated
    with pytest.raises(BundleError, match="a value is wrong"):
        Manifest.parse(json.dumps(document))


@pytest.mark.parametrize("stated", [-1, float("nan"), 1e12, "x", None, [1]])
def test_a_length_that_is_none_is_one_line(bundle: Bundle, stated: object) -> None:
    document = json.loads((bundle.path / MANIFEST).read_text())
    document["encoder"]["least_length"] = stated
    with pytest.raises(BundleError, match="a value is wrong"):
        Manifest.parse(json.dumps(document))
