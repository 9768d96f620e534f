"""The small picture beside an event."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.faces.crops import CROP_PX, face_crop
from edge_runtime.types import Floats, Pixels
from tests.builders import make_pixels


def box(*xyxy: float) -> Floats:
    return np.array(xyxy, np.float32)


def decoded(data: bytes | None) -> Pixels:
    assert data is not None
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8)


def test_it_is_the_face_with_a_quarter_around_it_in_true_colours() -> None:
    pixels = make_pixels(200, 300)
    pixels[80:120, 100:160] = (250, 20, 20)
    crop = decoded(face_crop(pixels, box(100, 80, 160, 120)))
    assert crop.shape == (60, 90, 3)
    assert np.abs(crop[25:35, 40:50].astype(int) - (250, 20, 20)).max() < 20


def test_a_large_face_is_shrunk_and_one_at_the_edge_cut() -> None:
    pixels = make_pixels(600, 900)
    assert decoded(face_crop(pixels, box(100, 100, 500, 400))).shape == (120, CROP_PX, 3)
    assert decoded(face_crop(pixels, box(-50, -40, 50, 40))).shape == (60, 75, 3)


@pytest.mark.parametrize("xyxy", [(-90, 10, -50, 40), (920, 10, 970, 40), (10, 700, 40, 740)])
def test_nothing_is_kept_of_a_box_outside(xyxy: tuple[float, ...]) -> None:
    assert face_crop(make_pixels(600, 900), box(*xyxy)) is None
