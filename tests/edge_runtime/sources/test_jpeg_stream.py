"""Pictures found in a Motion-JPEG stream, whatever stands around them and however it is cut into pieces."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from edge_runtime.sources._jpeg_stream import LARGEST_BYTES, JpegStream
from tests.builders import make_pixels
from tests.cameras import jpeg

ONE, OTHER = jpeg(make_pixels(48, 64, 1)), jpeg(make_pixels(48, 64, 2))


def part(data: bytes, boundary: bytes = b"--frame", more: bytes = b"") -> bytes:
    return boundary + b"\r\nContent-Type: image/jpeg\r\n" + more + b"\r\n" + data + b"\r\n"


def found(stream: bytes, piece: int = 1 << 20) -> list[bytes | None]:
    splitter = JpegStream()
    return [file for at in range(0, len(stream), piece) for file in splitter.feed(stream[at : at + piece])]


def progressive() -> bytes:
    out = io.BytesIO()
    Image.fromarray(make_pixels(48, 64, 3)).save(out, "JPEG", progressive=True, restart_marker_blocks=2)
    return out.getvalue()


def with_thumbnail(picture: bytes) -> bytes:
    """A picture whose first segment holds a whole smaller one, as EXIF does."""
    inner = b"Exif\0\0" + OTHER
    return picture[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + picture[2:]


def foreign() -> bytes:
    out = io.BytesIO()
    Image.fromarray(make_pixels(48, 64, 3)).save(out, "PNG")
    return out.getvalue() + ONE


STREAMS = {
    "nothing": (b"", []),
    "parts": (part(ONE) + part(OTHER), [ONE, OTHER]),
    "the first part without a boundary": (ONE + b"\r\n" + part(OTHER), [ONE, OTHER]),
    "its fields without a boundary": (part(ONE)[len(b"--frame\r\n") :] + part(OTHER), [ONE, OTHER]),
    "a preamble": (b"Welcome\r\n\r\n" + part(ONE), [ONE]),
    "no boundary anywhere": (ONE + OTHER + ONE, [ONE, OTHER, ONE]),
    "boundaries of several names": (part(ONE, b"----x") + part(OTHER, b"--y") + part(ONE), [ONE, OTHER, ONE]),
    "lines that end in LF": (part(ONE).replace(b"\r\n", b"\n", 3) + part(OTHER), [ONE, OTHER]),
    "a wrong length": (part(ONE, more=b"Content-Length: 7\r\n") + part(OTHER), [ONE, OTHER]),
    "padding": (part(ONE + b"\xff" * 80 + bytes(500)) + part(OTHER + b"\r\n" * 50) + ONE, [ONE, OTHER, ONE]),
    "several scans": (part(progressive()) + part(ONE), [progressive(), ONE]),
    "a thumbnail": (part(with_thumbnail(ONE)) + part(OTHER), [with_thumbnail(ONE), OTHER]),
    "cut in the data": (part(ONE[:-200]) + part(OTHER), [None, OTHER]),
    "cut in the data, no boundary": (ONE[:-200] + OTHER + ONE, [None, OTHER, ONE]),
    "cut in a header": (part(with_thumbnail(ONE)[:1500]) + part(OTHER) + part(ONE) + part(OTHER), [None]),
    "another format": (part(foreign()) + part(OTHER), [None, OTHER]),
    "text": (part(b"<html>busy</html>") + part(OTHER), [None, OTHER]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_whole_pictures_are_found_and_others_counted(name: str) -> None:
    stream, expected = STREAMS[name]
    if name == "cut in a header":
        files = found(stream)
        # How much goes with it depends on what the length points at; what comes after that is whole.
        assert files[0] is None and files[-1] == OTHER and set(files) <= {None, ONE, OTHER}
    else:
        assert found(stream) == expected
    rng = random.Random(name)
    for piece in (1, 2, 3, 7, rng.randrange(8, 600), rng.randrange(8, 600)):
        assert found(stream, piece) == found(stream), piece


def test_a_picture_that_never_ends_is_given_up_without_keeping_it() -> None:
    splitter = JpegStream()
    endless = part(ONE)[:-100]
    assert list(splitter.feed(endless)) == []
    given = [file for _ in range(2 * LARGEST_BYTES >> 20) for file in splitter.feed(b"\x55" * (1 << 20))]
    assert given == [None] and len(splitter._data) < 1 << 16
    assert list(splitter.feed(part(ONE) + part(OTHER))) == [ONE, OTHER]


def test_noise_ends_in_no_error_and_no_picture() -> None:
    for seed in range(200):
        noise = bytearray(part(ONE) + part(OTHER) + ONE)
        rng = random.Random(seed)
        for _ in range(30):
            noise[rng.randrange(len(noise))] = rng.choice([0xFF, 0xD8, 0xD9, 0x2D, 0x0A, rng.randrange(256)])
        files = found(bytes(noise)) + found(bytes(noise), 97)
        assert all(file is None or (file[:3] == b"\xff\xd8\xff" and file[-2:] == b"\xff\xd9") for file in files)
