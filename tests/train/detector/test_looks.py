"""What a refiner is shown, and what it is told of it."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.detectors._refiner import frame, unit_px
from edge_runtime.geometry.alignment import similarity
from edge_runtime.types import Detections
from tests.builders import RELEASED
from tests.train.labelled_photos import write_drawn
from train.detector.looks import COLUMNS, FAR, NEAR, LookSource, frames_off, told
from train.detector.targets import SceneFaces

TEMPLATE = frame(64)
FACE = TEMPLATE.as_array() * 2 + [30, 40]


def scene(*faces: np.ndarray, doubtful: bool = False) -> SceneFaces:
    points = np.array(faces, np.float32).reshape(-1, 5, 2)
    xyxy = np.concatenate([points.min(1), points.max(1)], 1)
    return SceneFaces(Detections(xyxy, np.ones(len(points), np.float32), points), np.full(len(points), doubtful))


def aside(share: float) -> np.ndarray:
    """The face's landmarks moved by a share of the distance of its eyes."""
    return (FACE + np.array([share * 2 * unit_px(TEMPLATE), 0])).astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.3])
def test_a_frame_is_as_far_off_as_it_was_moved(share: float) -> None:
    off = frames_off(aside(share)[None], np.stack([FACE, FACE + 500]).astype(np.float32), TEMPLATE)
    assert off.shape == (1, 2) and off.dtype == np.float32
    assert off[0, 0] == pytest.approx(share, abs=1e-3) and off[0, 1] > 10


def test_frames_are_measured_as_alignment_aligns() -> None:
    """By the template's points put through both similarities one after the other."""
    rng = np.random.default_rng(0)
    found = (FACE + rng.normal(0, 6, FACE.shape)).astype(np.float32)
    there, back = similarity(found, TEMPLATE.as_array()), similarity(TEMPLATE.as_array(), FACE)
    inverse = similarity(FACE, TEMPLATE.as_array())
    linear = np.linalg.inv(inverse[:, :2])
    corners = (TEMPLATE.as_array() - inverse[:, 2]) @ linear.T
    assert not np.allclose(back[:, :2], 0)
    put = corners @ there[:, :2].T + there[:, 2]
    expected = np.linalg.norm(put - TEMPLATE.as_array(), axis=1).mean() / unit_px(TEMPLATE)
    assert frames_off(found[None], FACE[None].astype(np.float32), TEMPLATE)[0, 0] == pytest.approx(expected, rel=1e-3)


def test_what_has_no_frame_is_infinitely_far() -> None:
    same = np.full((1, 5, 2), 7, np.float32)
    assert frames_off(same, FACE[None].astype(np.float32), TEMPLATE)[0, 0] == np.inf
    unknown = np.full((1, 5, 2), np.nan, np.float32)
    assert frames_off(FACE[None].astype(np.float32), unknown, TEMPLATE)[0, 0] == np.inf


def test_a_near_frame_is_corrected_and_a_far_one_refused() -> None:
    near, between, far = aside(NEAR - 0.05), aside((NEAR + FAR) / 2), aside(FAR + 0.05)
    rows = told(np.stack([near, between, far]), scene(FACE), TEMPLATE)
    assert rows.shape == (3, COLUMNS)
    assert rows[:, :3].tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0]]
    # The correction leads to where the landmarks are.
    points = TEMPLATE.as_array() + rows[0, 3:].reshape(5, 2) * unit_px(TEMPLATE)
    matrix = similarity(near, TEMPLATE.as_array())
    np.testing.assert_allclose(points, FACE @ matrix[:, :2].T + matrix[:, 2], atol=1e-3)


def test_of_a_doubtful_face_nothing_is_said_and_where_nobody_is_all_is_refused() -> None:
    assert told(FACE[None].astype(np.float32), scene(FACE, doubtful=True), TEMPLATE)[0, :3].tolist() == [0, 0, 0]
    assert told(FACE[None].astype(np.float32), scene(), TEMPLATE)[0, :3].tolist() == [0, 1, 0]


def test_batches_are_a_function_of_seed_epoch_and_step(tmp_path) -> None:
    write_drawn(tmp_path / "drawn.npz")
    detector = f"bundle:{RELEASED}"
    source = LookSource((tmp_path / "drawn.npz",), "train", detector, (160, 120), 32, 24, 1.0, 3)
    make = source.open()
    pictures, rows = make(0, 0)
    assert pictures.shape == (24, 32, 32, 3) and pictures.dtype == np.uint8 and rows.shape == (24, COLUMNS)
    again = source.open()(0, 0)
    assert np.array_equal(pictures, again[0]) and np.array_equal(rows, again[1])
    assert not np.array_equal(pictures, make(0, 1)[0])
    # Drawn faces are nothing to the released detector, but frames drawn around them are shown.
    every = np.concatenate([make(1, step)[1] for step in range(4)])
    assert 0 < every[:, 0].mean() < 1
