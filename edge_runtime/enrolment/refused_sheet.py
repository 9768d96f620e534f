"""A page of the photos that were refused: each with its reason, and beside it a picture of what would do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from edge_runtime.drawing.contact_sheet import GREEN, RED, Tile, draw_sheet, save_sheet
from edge_runtime.enrolment.photo import EnrolmentResult
from edge_runtime.errors import ImageError
from edge_runtime.pictures.reader import read_image
from edge_runtime.types import Pixels

_MOST = 24
_SIDE = 380
_COLUMNS = 3


def draw_refused(path: Path, photos: Sequence[tuple[Path, EnrolmentResult]], max_megapixels: float) -> None:
    """Write a PNG with the refused ones of ``photos``, the first two dozen.

    Args:
        path: of the picture.
        photos: each with what became of it.
        max_megapixels: the largest photo that is read.

    Raises:
        InputError: it cannot be written.
    """
    refused = [(photo, result) for photo, result in photos if not result.accepted]
    tiles = [_example()] + [_tile(photo, result, max_megapixels) for photo, result in refused[:_MOST]]
    heading = f"{len(refused)} of {len(photos)} photos refused"
    sheet = draw_sheet(tiles, heading, "first: what would do; then each with its reason", _COLUMNS, _SIDE)
    save_sheet(sheet, path, 0o600)  # faces are on it


def _tile(photo: Path, result: EnrolmentResult, max_megapixels: float) -> Tile:
    try:
        pixels = read_image(photo, max_megapixels)
    except ImageError:
        pixels = np.full((_SIDE, _SIDE, 3), 200, np.uint8)
    square, scale, shift = _squared(pixels)
    marked = [(box, str(number)) for number, box in enumerate(result.boxes, 1)]
    if result.xyxy is not None:
        marked = [(result.xyxy, (result.reason or "").partition(" (")[0][:40])]
    boxes = tuple((_placed(box, scale, shift), label, RED) for box, label in marked)
    return Tile(square, boxes, photo.name[:44], textwrap.shorten(result.reason or "", 62, placeholder=" ..."))


def _placed(box: tuple[float, ...], scale: float, shift: tuple[float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (value * scale for value in box)
    return left + shift[0], top + shift[1], right + shift[0], bottom + shift[1]


def _example() -> Tile:
    """A face of nobody, as the synthetic camera shows it: from the front, sharp, evenly lit, half the picture wide."""
    with resources.files("edge_runtime.sources").joinpath("portraits/ash.png").open("rb") as stream:
        portrait = np.asarray(Image.open(stream).convert("RGB"), np.uint8)
    square, _, _ = _squared(portrait)
    box = (0.25 * _SIDE, 0.2 * _SIDE, 0.75 * _SIDE, 0.8 * _SIDE)
    return Tile(square, ((box, "what would do", GREEN),), "one face, from the front", "sharp, evenly lit, 48 px wide")


def _squared(pixels: Pixels) -> tuple[Pixels, float, tuple[float, float]]:
    """A picture fitted into a grey square, with its scale and shift in px."""
    height, width = pixels.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    square = np.full((_SIDE, _SIDE, 3), 225, np.uint8)
    left, top = (_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return square, scale, (left, top)
