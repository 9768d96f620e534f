"""A video of what a camera showed, with what was found drawn into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.system.closing import Closing
from edge_runtime.types import Floats, Frame

_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_FPS = 25.0
_MOST_REPEATS = 250
"""A gap in the frames is filled with the last picture for ten seconds at most."""


def check_video(path: Path) -> Path:
    """``path``, if its ending is of a video that can be written.

    Raises:
        InputError: it is not.
    """
    if path.suffix.lower() not in _CODECS:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(_CODECS)}; name a video")
    return path


class Recording(Closing):
    """One video for each camera: of one camera the file named, of several with the camera's name in it.

    It has 25 pictures a second of the frames' own time; a frame is repeated or left out to keep to that.
    """

    def __init__(self, path: Path, cameras: Sequence[str]) -> None:
        """Write nothing yet.

        Args:
            path: of the video.
            cameras: their names.

        Raises:
            InputError: the ending is of no video.
        """
        check_video(path)
        several = len(cameras) > 1
        self._paths = {name: path.with_stem(f"{path.stem}-{name}") if several else path for name in cameras}
        self._writers: dict[str, tuple[cv2.VideoWriter, float, tuple[int, int]]] = {}
        self._written: dict[str, int] = {}

    def add(self, frame: Frame, sightings: Sequence[tuple[Floats, str | None, str]]) -> None:
        """Add a frame with the faces in it.

        Args:
            frame: of one of the cameras.
            sightings: as ``Pipeline.sightings`` gives them.

        Raises:
            InputError: the video cannot be written.
        """
        from edge_runtime.drawing.faces import draw_faces  # nothing that a daemon without a recording needs

        writer, begin_s, size_wh = self._writers.get(frame.camera) or self._open(frame)
        pictures = int((frame.captured_s - begin_s) * _FPS) + 1 - self._written[frame.camera]
        if pictures <= 0:
            return
        drawn = draw_faces(frame.pixels, [(box.tolist(), name or state, state) for box, name, state in sightings])
        if (drawn.shape[1], drawn.shape[0]) != size_wh:
            drawn = np.asarray(cv2.resize(drawn, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        for _ in range(min(pictures, _MOST_REPEATS)):
            writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        self._written[frame.camera] += pictures

    def close(self) -> None:
        """Finish the videos; may be called again."""
        for writer, _, _ in self._writers.values():
            writer.release()

    def _open(self, frame: Frame) -> tuple[cv2.VideoWriter, float, tuple[int, int]]:
        path = self._paths[frame.camera]
        size_wh = frame.pixels.shape[1], frame.pixels.shape[0]
        try:
            # It shows people and says names: for nobody else to read.
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); name another place") from error
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODECS[path.suffix.lower()]), _FPS, size_wh)
        if not writer.isOpened():
            raise InputError(f"{path}: expected a video that OpenCV can write here, it cannot; try another ending")
        self._writers[frame.camera] = writer, frame.captured_s, size_wh
        self._written[frame.camera] = 0
        return self._writers[frame.camera]
