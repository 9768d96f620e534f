"""Photos of drawn faces with the labels they were drawn by."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.types import Detections
from tests.builders import draw_face
from train.data.labelled import LabelledPhoto, LabelledPhotos, write_labelled


def drawn_photo(person: int, width: int = 100) -> tuple[np.ndarray, Detections]:
    """A drawn face and about where it is."""
    picture = draw_face(person, width)
    middle, unit = picture.shape[0] / 2, width / 100
    xyxy = np.array([[middle - 41 * unit, middle - 50 * unit, middle + 41 * unit, middle + 58 * unit]], np.float32)
    offsets = np.array([[-18, -8], [18, -8], [0, 14], [-13, 33], [13, 33]], np.float32)
    return picture, Detections(xyxy, np.ones(1, np.float32), (middle + offsets * unit)[None].astype(np.float32))


def write_drawn(path: Path, splits: tuple[str, ...] = ("train", "train", "select", "final")) -> LabelledPhotos:
    """A labelled-photos file of one drawn person a split named."""
    photos = []
    for person in range(len(splits)):
        picture, faces = drawn_photo(person)
        photos.append(LabelledPhoto(cv2.imencode(".png", picture[..., ::-1])[1].tobytes(), faces))
    names = [f"person{k}" for k in range(len(splits))]
    write_labelled(path, photos, names, splits, [f"{name}/1.png" for name in names], "their maker", "drawings")
    return LabelledPhotos.load(path)
