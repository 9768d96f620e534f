"""Which picture files can be read: their endings, how they begin, and what decoding them costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

HEIF_EXTRA = "pip install 'familiar-edge[heif]'"
"""What brings the decoder of HEIC, HEIF and, where Pillow has none, AVIF pictures."""


@dataclass(frozen=True)
class PictureFormat:
    """One kind of picture file.

    Attributes:
        name: as Pillow calls it.
        suffixes: endings of its files, in small letters.
        cost: memory of its decoder for one pixel, in those of a PNG picture.
    """

    name: str
    suffixes: tuple[str, ...]
    cost: float = 1.0


FORMATS = (
    PictureFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), 2.0),
    PictureFormat("PNG", (".png", ".apng")),
    PictureFormat("WEBP", (".webp",), 4.0),
    PictureFormat("HEIF", (".heic", ".heif", ".hif"), 2.0),
    PictureFormat("AVIF", (".avif",), 2.5),
    PictureFormat("TIFF", (".tif", ".tiff")),
    PictureFormat("GIF", (".gif",)),
    PictureFormat("BMP", (".bmp", ".dib")),
    PictureFormat("PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
)
SUFFIXES = frozenset(suffix for one in FORMATS for suffix in one.suffixes)
HEAD_BYTES = 64
"""As many bytes tell how a file begins."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)
_BMP = re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)
_PPM = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s")
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
"""Of ISO/IEC 14496-12 files: what their first box says they are."""


def format_of(head: bytes) -> str | None:
    """The format's name by a file's first ``HEAD_BYTES``; None: no picture that is known here."""
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[start : start + 4] for start in range(16, min(len(head), head[3]), 4))]
        found = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return "AVIF" if "AVIF" in found else found[0] if found else None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if _BMP.match(head):
        return "BMP"
    if _PPM.match(head):
        return "PPM"
    return next((name for beginning, name in _BEGINNINGS if head.startswith(beginning)), None)


@cache
def readable() -> tuple[str, ...]:
    """The formats that are read here, by Pillow's names; HEIF with the extra alone."""
    from PIL import features  # a daemon that enrols nobody reads no file

    absent = set() if features.check("avif") else {"AVIF"}
    try:
        from pillow_heif import register_heif_opener  # an extra
    except ImportError:
        absent.add("HEIF")
    else:
        register_heif_opener(thumbnails=False)
    return tuple(one.name for one in FORMATS if one.name not in absent)


def cost_of(name: str) -> float:
    """What a pixel of a format costs, in those of a PNG picture."""
    return next((one.cost for one in FORMATS if one.name == name), 1.0)
