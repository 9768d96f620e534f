"""The kind of picture file that a name's ending says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from edge_runtime.types import Pixels

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_JPEG_QUALITY = 90


def picture_format(path: Path) -> str:
    """The format, by Pillow's name, that the ending of ``path`` asks for.

    Raises:
        InputError: it has none that can be written.
    """
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError as error:
        raise InputError(
            f"{path}: expected a name that ends in {', '.join(_FORMATS)}, received {path.suffix or 'no ending'}"
        ) from error


def encode_picture(pixels: Pixels, path: Path) -> bytes:
    """Pixels uint8 (H, W, 3) RGB as a file of the kind that ``path`` asks for.

    Raises:
        InputError: its ending is of no picture.
    """
    from PIL import Image  # the ending alone needs no pictures

    stream, kind = io.BytesIO(), picture_format(path)
    options = {"quality": _JPEG_QUALITY} if kind in ("JPEG", "WEBP") else {}
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()
