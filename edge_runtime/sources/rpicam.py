"""The Raspberry Pi's own camera, through ``rpicam-vid`` (``libcamera-vid`` before 2024) as a child process.

It writes raw I420 pictures to its standard output: no encoder and no decoder runs, a picture's length follows from
its size, and one that is cut short shows as such. (Its Motion-JPEG comes from a software encoder.)
"""

from __future__ import annotations

import fcntl
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator

import cv2
import numpy as np

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.schema.table import described
from edge_runtime.sources._options import Mode, split_mode
from edge_runtime.sources._source import Source
from edge_runtime.types import Frame, Pixels

PROGRAMS = ("rpicam-vid", "libcamera-vid")
_SIZE_WH = (1280, 720)
_FPS = 15.0
_ROW_PX = 64
"""The image processor pads rows to this; whole multiples have no padding, so pictures have one length only."""
_PIPE_BYTES = 1 << 20
"""The most an ordinary user may ask for: fewer switches between the two processes for each picture."""
_END_S = 0.3
_STREAM = re.compile(r"configuring streams: \(0\) (\d+)x(\d+)-(\w+)")
"""What libcamera says it gives: not always what it was asked for."""


def open(argument: str, camera: str) -> RpicamSource:
    """The Pi camera number ``argument`` of ``rpicam-hello --list-cameras``; ``?size=1280x720&fps=15`` behind it."""
    number, mode = parse(argument, camera)
    return RpicamSource(number, camera, mode)


def parse(argument: str, camera: str) -> tuple[int, Mode]:
    """The camera's number, and its size and rate.

    Raises:
        ConfigError: no number, an option that cannot be read, or a size the camera does not have.
    """
    where = f"camera {camera}: source 'rpicam'"
    argument, mode = split_mode(argument, where)
    if not argument.isdecimal():
        raise ConfigError(f"{where}: expected rpicam:0, found {described(argument)}")
    width, height = mode.size or _SIZE_WH
    if width % _ROW_PX or height % 2:
        near = max(round(width / _ROW_PX), 1) * _ROW_PX, max(height // 2, 1) * 2
        raise ConfigError(
            f"{where}: expected a width in multiples of {_ROW_PX} and an even height, found {width}x{height}; "
            f"take {near[0]}x{near[1]}"
        )
    return int(argument), Mode((width, height), mode.fps or _FPS)


class RpicamSource(Source):
    """See ``protocols.FrameSource``."""

    live = True
    sensor = True

    def __init__(self, number: int, camera: str, mode: Mode) -> None:
        """Start the program; whether the camera is there shows with the first frame.

        Args:
            number: of the camera.
            camera: name the frames carry.
            mode: size, in whole multiples of 64 px and 2 px, and rate.

        Raises:
            CameraError: neither program is installed.
        """
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise CameraError(
                f"camera {camera}: expected rpicam-vid, found neither it nor libcamera-vid; "
                "sudo apt install rpicam-apps-lite"
            )
        assert mode.size and mode.fps
        (self._width, self._height), self._camera = mode.size, camera
        self._program = program
        self._open = True
        self._said: deque[str] = deque(maxlen=20)
        self._process = subprocess.Popen(
            [
                *(self._program, "--camera", str(number), "--framerate", f"{mode.fps:g}"),
                *("--width", str(self._width), "--height", str(self._height), "--codec", "yuv420"),
                *("--timeout", "0", "--nopreview", "--verbose", "0", "--flush", "--output", "-"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdout is not None
        fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._other = ""
        self._settled = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __iter__(self) -> Iterator[Frame]:
        """Frames for ever.

        Raises:
            CameraError: the program ended, and what it said last.
        """
        i420: Pixels = np.empty((self._height * 3 // 2, self._width), np.uint8)
        seq = 0
        while self._open:
            length = self._read(i420.data.cast("B"))
            if not self._open:
                return
            if length < i420.size:
                raise self._ended(seq, f" and {length} of {i420.size} bytes of another" if length else "")
            if seq == 0:
                # It says so long before its first picture, but on another pipe.
                self._settled.wait(_END_S)
            if self._other:
                raise self._ended(seq, "")
            captured_s, wall_time = time.monotonic(), time.time()
            pixels = self._converted(_limited(i420, self._height), cv2.COLOR_YUV2RGB_I420, self._height, self._width)
            yield Frame(pixels, self._camera, seq, captured_s, wall_time)
            seq += 1

    def close(self) -> None:
        """End the program, by force if it does not in a moment; may be called again."""
        self._open = False
        if self._process.poll() is None:
            # It ends in order at this signal, and at no other.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _read(self, room: memoryview) -> int:
        """Fill ``room`` with the next picture; how many bytes came before the end."""
        pipe, length = self._process.stdout, 0
        assert pipe is not None
        while length < len(room) and (count := pipe.readinto(room[length:])):  # type: ignore[attr-defined]
            length += count
        return length

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").strip()
            self._said.append(text)
            given = _STREAM.search(text)
            if given and (int(given[1]), int(given[2]), given[3]) != (self._width, self._height, "YUV420"):
                # Its pictures would be read in the wrong places, for ever.
                self._other = f"{given[1]}x{given[2]} {given[3]}"
                self._process.kill()
            if given:
                self._settled.set()

    def _ended(self, seq: int, more: str) -> CameraError:
        code = self._process.wait()
        self._listener.join(_END_S)
        if self._other:
            return CameraError(
                f"camera {self._camera}: expected {self._width}x{self._height} YUV420 from {self._program}, found "
                f"{self._other}; take a size the camera has, as rpicam:0?size={_SIZE_WH[0]}x{_SIZE_WH[1]}"
            )
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        said = f" ({self._said[-1]})" if self._said else ""
        return CameraError(
            f"camera {self._camera}: expected pictures from {self._program}, it gave {seq}{more} and {how}"
            f"{said}; rpicam-hello --list-cameras lists the cameras and their sizes"
        )


def _limited(i420: Pixels, height: int) -> Pixels:
    """The program's full range in the video range OpenCV expects, in place; uint8 (H * 3 / 2, W)."""
    cv2.LUT(i420[:height], _LUMA, dst=i420[:height])
    cv2.LUT(i420[height:], _CHROMA, dst=i420[height:])
    return i420


_LEVELS = np.arange(256)
_LUMA = np.rint(16 + _LEVELS * 219 / 255).astype(np.uint8)
_CHROMA = np.rint(128 + (_LEVELS - 128) * 224 / 255).astype(np.uint8)
