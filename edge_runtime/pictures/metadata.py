"""What files hold beside a picture: its orientation is read, and everything can be taken away."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.types import Pixels

if TYPE_CHECKING:
    from PIL import Image

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_JPEG_METADATA = frozenset({0xE1, 0xE2, *range(0xE3, 0xEE), 0xEF, 0xFE})
"""Application segments and comments (ITU-T T.81, table B.1), but for JFIF and Adobe, which say what colours mean."""
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
_WEBP_METADATA = frozenset({b"EXIF", b"XMP ", b"ICCP"})
_WEBP_FLAGS = 0x20 | 0x08 | 0x04
"""Of a VP8X chunk: that ICC profile, Exif and XMP follow."""


def upright(pixels: Pixels, picture: Image.Image) -> Pixels:
    """``pixels`` (H, W, 3) of ``picture``, turned as its EXIF orientation says, if that can be read."""
    from PIL import ExifTags

    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # metadata never cost a picture
        return pixels
    if not isinstance(orientation, int) or not 2 <= orientation <= 8:
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def without_metadata(data: bytes) -> bytes | None:
    """A JPEG, PNG or WebP file with nothing beside its pixels; None: of another kind, or nothing was to be taken."""
    try:
        if data.startswith(_JPEG):
            bare = _bare_jpeg(data)
        elif data.startswith(_PNG):
            bare = _bare_png(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            bare = _bare_webp(data)
        else:
            return None
    except (struct.error, IndexError):  # the file ends where something should follow
        return None
    return bare if len(bare) < len(data) else None


def _bare_jpeg(data: bytes) -> bytes:
    kept, at = [_JPEG], 2
    while True:
        if data[at] != 0xFF:
            raise IndexError
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        if marker in (_JPEG_SCAN, _JPEG_END):
            return b"".join(kept) + b"\xff" + data[at:]
        (length,) = struct.unpack_from(">H", data, at + 1)
        if marker not in _JPEG_METADATA:
            kept.append(b"\xff" + data[at : at + 1 + length])
        at += 1 + length


def _bare_png(data: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in _PNG_PIXELS:
            kept.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)


def _bare_webp(data: bytes) -> bytes:
    kept, at = list[bytes](), 12
    while at < len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        chunk = data[at : at + 8 + length + length % 2]
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_FLAGS]) + chunk[9:]
        if kind not in _WEBP_METADATA:
            kept.append(chunk)
        at += 8 + length + length % 2
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body
