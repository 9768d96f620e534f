import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.types import Detections
from tests.train.labelled_photos import drawn_photo, write_drawn
from train.data.labelled import LabelledPhotos, scaled


def test_what_was_written_is_read(tmp_path):
    photos = write_drawn(tmp_path / "l.npz")
    picture, faces = drawn_photo(2)
    assert len(photos) == 4 and photos.indices("select").tolist() == [2]
    np.testing.assert_array_equal(photos.pixels(2), picture)
    np.testing.assert_array_equal(photos.faces(2).landmarks, faces.landmarks)
    assert photos.pixels(2, 2).shape == (75, 75, 3)
    assert photos.largest_share(2) == pytest.approx(82 / 150)
    assert (photos.labeller, photos.source) == ("their maker", "drawings")


@pytest.mark.parametrize("damage", [None, b"", b"PK\x03\x04 no archive"])
def test_what_cannot_be_read_is_one_line(tmp_path, damage):
    path = tmp_path / "l.npz"
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(InputError, match="labelled photos"):
        LabelledPhotos.load(path)


def test_chips_are_no_labelled_photos(tmp_path):
    np.savez(tmp_path / "c.npz", meta=np.array('{"schema": 1}'))
    with pytest.raises(InputError, match="train label"):
        LabelledPhotos.load(tmp_path / "c.npz")


def test_scaling_keeps_pixel_centres_at_whole_numbers():
    faces = Detections(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))
    twice = scaled(faces, 2)
    assert twice.xyxy[0].tolist() == [0.5, 0.5, 18.5, 18.5]
    assert scaled(twice, 0.5).xyxy[0].tolist() == pytest.approx([0, 0, 9, 9])
