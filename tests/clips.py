"""Clips for tests, drawn and written on the spot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.sources.synthetic import Scene, SceneOptions, Visit
from edge_runtime.types import Pixels
from tests.builders import draw_face, make_pixels

FPS = 25.0
ENTERS_S = 1.0
"""When a visitor comes in."""


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


def visitor(size: str, face_px: float, seed: int = 0) -> Scene:
    """Somebody of this size comes in after a second, stands about the middle, and goes."""
    scene = Scene(SceneOptions(seed=seed, size=size))
    rng = np.random.default_rng(seed)
    person, lane, side = str(rng.choice(scene.people)), float(rng.uniform(0.3, 0.7)), int(rng.choice([-1, 1]))
    # A face is 0.16 m wide: at 1.4 m a second somebody walks 8.75 of them.
    walk_s = 0.75 * scene.options.size_wh[0] / (8.75 * face_px)
    path = ((0.0, lane + 0.75 * side), (walk_s, lane), (walk_s + 3.0, lane), (2 * walk_s + 3.0, lane - 0.75 * side))
    goes_s = ENTERS_S + path[-1][0]
    level = float(rng.uniform(0.3, 0.7))
    scene.visits = [Visit(person, ENTERS_S, goes_s, lane, side, face_px, 0.15, 1.0, path, level)]
    return scene
