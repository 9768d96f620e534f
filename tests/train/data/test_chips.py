from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import Template, align
from edge_runtime.pictures.chips import CROP_TEMPLATE, Chips
from tests.builders import BOX_POINTS, draw_face
from tests.train.drawn_chips import make_chips
from train.data.chips import crop_hash, make_crop, write_chips


def test_a_chips_file_gives_back_what_was_written(tmp_path):
    chips = make_chips(tmp_path / "c.npz", train=2, select=1, photos=2)
    assert len(chips) == 6
    assert chips.names.tolist() == ["person00"] * 2 + ["person01"] * 2 + ["person02"] * 2
    assert chips.indices("select").tolist() == [4, 5]
    assert chips.landmarks.shape == (6, 5, 2) and chips.landmarks.dtype == np.float32
    assert chips.crop(0).shape == (160, 160, 3)
    assert (chips.detector, chips.source) == ("haar", "drawn faces")
    assert chips.preprocessing_hash == crop_hash("haar") != crop_hash("yunet")


def test_a_crop_is_rgb():
    red = np.zeros((200, 200, 3), np.uint8)
    red[..., 0] = 200
    crop = make_crop(red, CROP_TEMPLATE.as_array())
    blue_green_red = cv2.imdecode(np.frombuffer(crop.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert blue_green_red[80, 80].tolist() == pytest.approx([0, 0, 200], abs=4)


@pytest.mark.parametrize("size, margin", [(28, 6.0), (64, 6.0), (112, 0.0)])
def test_aligned_again_from_the_crop_a_face_is_what_the_device_sees(tmp_path, size, margin):
    picture = draw_face(0, 180)
    points = (BOX_POINTS * 180 + 45).astype(np.float32)
    path = tmp_path / "c.npz"
    write_chips(path, [make_crop(picture, points)], ["a"], ["train"], ["a/1.jpg"], "haar", "")
    template = Template.arcface(size, margin)
    ours = Chips.load(path).aligned([0], template)[0].astype(float)
    device = align(picture, points[None], template)[0].astype(float)
    assert ours.shape == device.shape
    assert np.abs(ours - device).mean() < 2.5


def test_nothing_aligned_is_an_empty_array(tmp_path):
    chips = make_chips(tmp_path / "c.npz", 2, 1, 1)
    assert chips.aligned([], Template.arcface(28)).shape == (0, 28, 28, 3)


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut short"])
def test_what_is_no_chips_file_is_refused(tmp_path, content):
    path = tmp_path / "c.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="expected a chips file"):
        Chips.load(path)


def test_another_archive_is_refused(tmp_path):
    np.savez(tmp_path / "c.npz", codes=np.zeros(3))
    with pytest.raises(InputError, match="expected a chips file"):
        Chips.load(tmp_path / "c.npz")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    chips = make_chips(tmp_path / "c.npz", 2, 1, 1)
    before = chips.sha256()
    with pytest.raises(ValueError):
        write_chips(chips.path, [], [], [], [], "haar", "")
    assert chips.sha256() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
