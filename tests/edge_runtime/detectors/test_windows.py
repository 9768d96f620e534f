"""Where a picture is searched closely."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.detectors._windows import cover

NET_WH = (320, 240)


def test_a_picture_that_is_hardly_shrunk_has_no_window():
    assert len(cover((240, 320), NET_WH, 1.0)) == 0
    assert len(cover((300, 400), NET_WH, 1.0)) == 0
    assert len(cover((10, 10), NET_WH, 1.0)) == 0
    assert len(cover((1080, 1920), NET_WH, 5.0)) == 0


@pytest.mark.parametrize("shape_hw", [(720, 1280), (1080, 1920), (1920, 1080), (3000, 4000), (400, 9000)])
def test_a_face_of_any_size_and_place_is_whole_and_large_enough_in_a_look(shape_hw):
    height, width = shape_hw
    closest, least_px = 1.43, 11.0
    windows = cover(shape_hw, NET_WH, closest)
    assert (windows[:, :2] >= 0).all() and (windows[:, 2:] <= [width, height]).all()
    looks = np.concatenate([windows, [[0, 0, width, height]]])
    shrinks = np.maximum((looks[:, 2] - looks[:, 0]) / NET_WH[0], (looks[:, 3] - looks[:, 1]) / NET_WH[1])
    rng = np.random.default_rng(0)
    for size in np.geomspace(closest * least_px * 1.3, height / 2, 40):
        w, h = size, 1.3 * size
        for x, y in rng.uniform(0, 1, (20, 2)) * [width - w, height - h]:
            inside = (looks[:, :2] <= [x, y]).all(1) & (looks[:, 2:] >= [x + w, y + h]).all(1)
            assert (w / shrinks[inside]).max() >= least_px


@pytest.mark.parametrize("shape_hw", [(6000, 8000), (20000, 20000), (300, 60000)])
def test_huge_pictures_have_no_more_than_so_many_windows(shape_hw):
    assert 60 <= len(cover(shape_hw, NET_WH, 1.0)) <= 128


def test_the_closest_come_first():
    windows = cover((1080, 1920), NET_WH, 1.0)
    assert (np.diff(windows[:, 2] - windows[:, 0]) >= 0).all()
