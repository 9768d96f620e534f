"""A chips file of drawn faces, small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_runtime.geometry.alignment import ARCFACE_112
from edge_runtime.pictures.chips import CONTEXT_PX, Chips
from tests.builders import draw_face, make_pixels
from train.data.chips import Crop, make_crop, write_chips


def drawn_crop(person: int, photo: int = 0) -> Crop:
    """A drawn face (``person`` below 7) or smooth colours of that person's own, with a little noise a photo."""
    side = 112 + 2 * CONTEXT_PX
    picture = draw_face(person, 107) if person < 7 else make_pixels(side, side, 100 + person)
    noise = np.random.default_rng([person, photo]).normal(0, 6, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return make_crop(noisy, (ARCFACE_112 + CONTEXT_PX).astype(np.float32))


def make_chips(path: Path, train: int = 5, select: int = 2, photos: int = 4, named: bool = True) -> Chips:
    """Write and open chips of ``train + select`` people with ``photos`` each."""
    people = [k for k in range(train + select) for _ in range(photos)]
    crops = [drawn_crop(k, n % photos) for n, k in enumerate(people)]
    write_chips(
        path,
        crops,
        [f"person{k:02d}" if named else "" for k in people],
        ["train" if k < train else "select" for k in people],
        [f"person{k:02d}/{n}.jpg" for n, k in enumerate(people)],
        "haar",
        "drawn faces",
    )
    return Chips.load(path)
