"""Enrolment: exactly one good face becomes a template, everything else a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.enrolment.photo import Enroller
from edge_runtime.errors import InputError
from edge_runtime.faces.chain import FaceChain, rivals
from edge_runtime.gallery.store import Gallery
from edge_runtime.types import Pixels
from tests.builders import draw_face, make_bundle, make_detections, make_pixels


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def enroller(bundle: Bundle, tmp_path: Path) -> Iterator[Enroller]:
    with (
        FaceChain.open(bundle) as chain,
        Gallery.open(
            tmp_path / "gallery.db",
            tmp_path / "device.key",
            chain.encoder_hash,
            chain.preprocessing_hash,
            chain.encoder.embedding_size,
            "tiny",
        ) as gallery,
    ):
        yield Enroller(chain, gallery)


def digest(pixels: Pixels) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest()


def test_good_photo_becomes_the_template_the_chain_gives(enroller: Enroller, bundle: Bundle) -> None:
    face = draw_face(0)
    result = enroller.photo("Anna", face, digest(face), "a.jpg")
    assert result.accepted and result.reason is None and not result.known
    templates = enroller.gallery.templates()
    assert templates.names == ("Anna",) and templates.ids.tolist() == [result.template_id]
    with FaceChain.open(bundle) as chain:
        codes, _ = chain.encode(face, chain.detector.detect(face).landmarks[:1])
    assert np.allclose(templates.embeddings, codes, atol=1e-6)
    assert result.quality["face_px"] > 100 and result.as_json()["template_id"] == result.template_id


def test_same_photo_again_is_known_without_a_second_look(enroller: Enroller) -> None:
    face = draw_face(0)
    first = enroller.photo("Anna", face, digest(face), "a.jpg")
    again = enroller.photo("ANNA", make_pixels(), digest(face), "copy.jpg")
    assert again.accepted and again.known and again.template_id == first.template_id
    assert enroller.photo("Anna", draw_face(0, 150), digest(draw_face(0, 150)), "b.jpg").known is False
    assert [p.templates for p in enroller.gallery.people()] == [2]


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (make_pixels(), "no face"),
        (np.zeros((1, 1, 3), np.uint8), "no face"),
        (np.hstack([draw_face(0, 120), draw_face(1, 120)]), "2 faces"),
        (draw_face(0, 36), "small"),
        (cv2.GaussianBlur(draw_face(0, 100), (0, 0), 4), "blurred"),
    ],
    ids=["no-face", "one-pixel", "two-faces", "small", "blurred"],
)
def test_unusable_photo_is_refused_and_leaves_nothing(enroller: Enroller, pixels: Pixels, reason: str) -> None:
    result = enroller.photo("Anna", np.asarray(pixels, np.uint8), None, "x.jpg")
    assert not result.accepted and result.template_id is None
    assert result.reason is not None and result.reason.startswith(reason)
    assert enroller.gallery.people() == []


def test_unusable_name_is_refused_before_anything_else(enroller: Enroller) -> None:
    with pytest.raises(InputError, match="name"):
        enroller.photo("a\nb", draw_face(0), None, "x.jpg")


def test_small_bystander_is_no_rival() -> None:
    faces = make_detections((50, 50, 100, 100), (200, 50, 50, 50), (300, 50, 65, 65))
    assert rivals(faces[:1], 0) == 0
    assert rivals(faces[:2], 0) == 0
    assert rivals(faces, 0) == 1
    assert rivals(faces, 1) == 2
