"""A film out of JPEG pictures, in memory: nothing is encoded again, and no plain file is on the disk meanwhile."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from edge_runtime.errors import InputError

_HAS_INDEX = 0x10
_KEY_FRAME = 0x10


def motion_jpeg(pictures: Sequence[bytes], size_wh: tuple[int, int], seconds: float) -> bytes:
    """A Motion-JPEG .avi ("AVI RIFF File Reference", Microsoft; OpenDML is not needed below 1 GB).

    Args:
        pictures: JPEG files of one size, in order.
        size_wh: width and height, px.
        seconds: from the first picture to the last.

    Raises:
        InputError: no picture.
    """
    if not pictures:
        raise InputError("a film: expected at least one picture, found none")
    frame_us = max(round(seconds * 1e6 / max(len(pictures) - 1, 1)), 1)
    if len(pictures) == 1:
        frame_us = 1_000_000
    width, height = size_wh
    largest = max(map(len, pictures))
    main = struct.pack(
        "<14I", frame_us, 0, 0, _HAS_INDEX, len(pictures), 0, 1, largest, width, height, 0, 0, 0, 0
    )  # fmt: skip
    stream = b"vidsMJPG" + struct.pack(
        "<IHHIIIIIIIIhhhh", 0, 0, 0, 0, frame_us, 1_000_000, 0, len(pictures), largest, 0xFFFFFFFF, 0, 0, 0, width,
        height,
    )  # fmt: skip
    look = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", 3 * width * height, 0, 0, 0, 0)
    header = _list(b"hdrl", _chunk(b"avih", main), _list(b"strl", _chunk(b"strh", stream), _chunk(b"strf", look)))
    index, offset = [], 4
    chunks = [_chunk(b"00dc", picture) for picture in pictures]
    for picture, chunk in zip(pictures, chunks, strict=True):
        index.append(b"00dc" + struct.pack("<3I", _KEY_FRAME, offset, len(picture)))
        offset += len(chunk)
    body = b"".join([header, _list(b"movi", *chunks), _chunk(b"idx1", b"".join(index))])
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"AVI " + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(name: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(chunks))
