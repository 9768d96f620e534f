"""Many small annotated pictures on one page, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.drawing.picture_file import encode_picture
from edge_runtime.storage.files import write_whole
from edge_runtime.types import Pixels

GREEN, GREY, RED = (46, 160, 67), (110, 118, 129), (218, 54, 51)

_PAPER, _INK, _FAINT = (250, 250, 248), (28, 30, 33), (120, 124, 130)
_CAPTION_PX = 46
_GAP_PX = 16


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet.

    Attributes:
        pixels: uint8 (H, W, 3) RGB.
        boxes: (xyxy in px of ``pixels``, label, colour) each.
        title: first line of the caption.
        caption: second line.
    """

    pixels: Pixels
    boxes: tuple[tuple[tuple[float, float, float, float], str, tuple[int, int, int]], ...]
    title: str
    caption: str


def draw_sheet(tiles: list[Tile], heading: str, subheading: str, columns: int = 4, tile_width: int = 380) -> Pixels:
    """Lay the tiles out in rows.

    Returns:
        uint8 (H, W, 3) RGB; with no tiles, the heading alone.
    """
    heights = [round(tile.pixels.shape[0] * tile_width / tile.pixels.shape[1]) for tile in tiles]
    row_px = max(heights, default=0) + _CAPTION_PX + _GAP_PX
    rows = -(-len(tiles) // columns)
    head_px = 84
    sheet = Image.new("RGB", (columns * (tile_width + _GAP_PX) + _GAP_PX, head_px + rows * row_px), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP_PX, 14), heading, _INK, ImageFont.load_default(26))
    draw.text((_GAP_PX, 50), subheading, _FAINT, ImageFont.load_default(15))
    for index, (tile, height) in enumerate(zip(tiles, heights, strict=True)):
        x = _GAP_PX + index % columns * (tile_width + _GAP_PX)
        y = head_px + index // columns * row_px
        sheet.paste(annotated(tile, tile_width, height), (x, y))
        draw.text((x, y + height + 5), tile.title, _INK, ImageFont.load_default(16))
        draw.text((x, y + height + 25), tile.caption, _FAINT, ImageFont.load_default(13))
    return np.asarray(sheet, np.uint8)


def save_sheet(sheet: Pixels, path: Path, mode: int | None = None) -> None:
    """Write a picture of the kind that the name's ending says, whole or not at all; see ``files.write_whole``.

    Raises:
        InputError: it cannot be written, or has no picture's ending.
    """
    write_whole(path, encode_picture(sheet, path), mode)


def annotated(tile: Tile, width: int, height: int) -> Image.Image:
    """One tile's picture with its boxes and labels, at this size in px."""
    scale = width / tile.pixels.shape[1]
    image = Image.fromarray(cv2.resize(tile.pixels, (width, height), interpolation=cv2.INTER_AREA))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    for xyxy, label, colour in tile.boxes:
        left, top, right, bottom = (round(v * scale) for v in xyxy)
        draw.rectangle((left, top, right, bottom), outline=colour, width=3)
        text = draw.textbbox((0, 0), label, font=font)
        label_top = top - 22 if top >= 22 else bottom if bottom + 22 <= height else max(top, 0)
        draw.rectangle((left, label_top, left + text[2] + 10, label_top + 22), fill=colour)
        draw.text((left + 5, label_top + 2), label, (255, 255, 255), font)
    return image
