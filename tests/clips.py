"""Clips for tests, drawn and written on the spot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.types import Pixels
from tests.builders import draw_face, make_pixels

FPS = 25.0


def write_clip(path: Path, pictures: Iterable[Pixels], fps: float = FPS) -> Path:
    """Write uint8 (H, W, 3) RGB pictures of one size as a Motion-JPEG .avi."""
    writer = None
    for picture in pictures:
        if writer is None:
            size_wh = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, size_wh)
            assert writer.isOpened()
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    assert writer is not None
    writer.release()
    return path


def visit(person: int, before: int = 5, seen: int = 40, after: int = 60) -> list[Pixels]:
    """240x240 pictures of an empty room, then of somebody in it, then of the room again."""
    room = make_pixels(240, 240, 9)
    face = draw_face(person, 110)
    with_face = room.copy()
    with_face[30 : 30 + face.shape[0], 40 : 40 + face.shape[1]] = face
    return [room] * before + [with_face] * seen + [room] * after
