"""JPEG files out of a Motion-JPEG stream over HTTP, found by their own markers and not by what stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

START_OF_IMAGE, START_OF_SCAN, END_OF_IMAGE = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
LARGEST_BYTES = 20 << 20
"""Of one picture's file; what goes on beyond is no camera's picture."""
_PART_HEAD = re.compile(rb"--[^\r\n]{1,200}\r?\n(?:[A-Za-z][A-Za-z-]*:[^\r\n]*\r?\n)*\r?\n")
"""A boundary, whatever it is called, the fields behind it and the empty line (RFC 2046, 5.1.1)."""
_LONGEST_HEAD = 4096
_START = re.compile(re.escape(START_OF_IMAGE) + rb"|" + _PART_HEAD.pattern)
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
"""In compressed data any other 0xFF has a zero behind it (ITU-T T.81, B.1.1.5) or is a restart marker."""


class _Place(Enum):
    BETWEEN = 0
    """Behind a picture, or at the start: the next picture begins with its marker or a part's head."""
    AT_START = 1
    """Behind a part's head: a picture begins right here, or what comes is none."""
    FOREIGN = 2
    """In what is no picture: the next one begins behind a part's head."""
    SEGMENTS = 3
    SCAN = 4


class JpegStream:
    """Takes a stream's bytes as they come and gives whole JPEG files.

    Boundaries are read, but nothing hangs on them: they may be missing before the first picture or everywhere, or
    have another name than the header says. ``Content-Length`` is not believed.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        """Up to where the data is understood."""
        self._place = _Place.BETWEEN
        self._has_heads = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Whole files that these bytes complete, in order; None for a part that is cut short, too large or no JPEG."""
        self._data += data
        steps = {
            _Place.BETWEEN: self._find_start,
            _Place.FOREIGN: self._find_start,
            _Place.AT_START: self._start,
            _Place.SEGMENTS: self._segment,
            _Place.SCAN: self._scan,
        }
        while True:
            before = self._place, self._at, len(self._data)
            yield from steps[self._place]()
            if before == (self._place, self._at, len(self._data)):
                break
        if self._place in (_Place.SEGMENTS, _Place.SCAN) and len(self._data) > LARGEST_BYTES:
            self._cut(len(self._data))
            self._place = _Place.FOREIGN if self._has_heads else _Place.BETWEEN
            yield None

    def _cut(self, at: int) -> None:
        del self._data[:at]
        self._at = 0

    def _find_start(self) -> Iterator[bytes | None]:
        pattern = _START if self._place is _Place.BETWEEN else _PART_HEAD
        found = pattern.search(self._data)
        if found is None:
            self._cut(max(len(self._data) - _LONGEST_HEAD, 0))
        elif found[0] == START_OF_IMAGE:
            self._cut(found.start())
            self._begin()
        else:
            self._has_heads = True
            self._cut(found.end())
            self._place = _Place.AT_START
        yield from ()

    def _start(self) -> Iterator[bytes | None]:
        if len(self._data) < len(START_OF_IMAGE):
            return
        if self._data.startswith(START_OF_IMAGE):
            self._begin()
        else:
            self._place = _Place.FOREIGN
            yield None

    def _begin(self) -> None:
        self._at = 2
        self._place = _Place.SEGMENTS

    def _segment(self) -> Iterator[bytes | None]:
        """One marker segment before a scan (ITU-T T.81, B.1.1.4), passed over by its length, thumbnails too."""
        data, at = self._data, self._at
        if len(data) < at + 4:
            return
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] == 0xFF and marker == 0xFF:
            self._at += 1  # a fill byte
        elif data[at] == 0xFF and 0xC0 <= marker <= 0xFE and not 0xD0 <= marker <= 0xD9 and length >= 2:
            if len(data) >= at + 2 + length:
                self._at += 2 + length
                self._place = _Place.SCAN if marker == 0xDA else _Place.SEGMENTS
        else:
            # A segment before was cut short, so this may be the middle of the next picture.
            self._cut(2)
            self._place = _Place.FOREIGN if self._has_heads else _Place.BETWEEN
            yield None

    def _scan(self) -> Iterator[bytes | None]:
        found = _MARKER_IN_SCAN.search(self._data, self._at)
        if found is None:
            self._at = max(self._at, len(self._data) - 1)
            return
        self._at = found.start()
        if found[0] == END_OF_IMAGE:
            whole = bytes(self._data[: found.end()])
            self._cut(found.end())
            self._place = _Place.BETWEEN
            yield whole
        elif 0xC4 <= found[0][1] <= 0xFE and found[0][1] != 0xD8:
            self._place = _Place.SEGMENTS  # tables before another scan
        else:
            self._cut(found.start())
            self._place = _Place.BETWEEN
            yield None
