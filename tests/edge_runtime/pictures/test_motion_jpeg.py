"""Films as a player sees them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.pictures.motion_jpeg import motion_jpeg


def jpeg(level: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((120, 160, 3), level, np.uint8))[1])


def test_nothing_is_no_film() -> None:
    with pytest.raises(InputError, match="at least one picture"):
        motion_jpeg([], (160, 120), 1.0)


@pytest.mark.parametrize("count", [1, 2, 21])
def test_a_player_shows_every_picture_in_its_own_time(tmp_path: Path, count: int) -> None:
    levels = np.linspace(10, 240, count).astype(int)
    (tmp_path / "film.avi").write_bytes(
        motion_jpeg([jpeg(int(level)) for level in levels], (160, 120), (count - 1) / 5)
    )
    film = cv2.VideoCapture(str(tmp_path / "film.avi"))
    seen = []
    while (read := film.read())[0]:
        assert read[1].shape == (120, 160, 3)
        seen.append(read[1].mean())
    assert np.allclose(seen, levels, atol=3)
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(5 if count > 1 else 1)
