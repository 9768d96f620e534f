"""A folder of photos, each held before the camera for a second: a camera for trying things out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.errors import CameraError, ConfigError, ImageError, InputError
from edge_runtime.pictures.folder import list_images
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources._source import Source
from edge_runtime.system.log import log
from edge_runtime.types import Frame

FPS = 25
HELD_FRAMES = 25
"""How often each photo is given: a decision needs several views of a face."""
PAUSE_S = 5.0
"""Between two photos, in the frames' own time, which nobody waits for: the tracks of the last one end."""


def open(argument: str, camera: str) -> DirSource:
    """The photos below the folder ``argument``."""
    return DirSource(parse(argument, camera), camera)


def parse(argument: str, camera: str) -> Path:
    """The folder.

    Raises:
        ConfigError: none is named.
    """
    if not argument:
        raise ConfigError(f"camera {camera}: source 'dir': expected dir:FOLDER, found no folder")
    return Path(argument)


class DirSource(Source):
    """See ``protocols.FrameSource``; sorted by path, unreadable photos are named on standard error and passed over."""

    def __init__(self, folder: Path, camera: str) -> None:
        """List the photos.

        Raises:
            CameraError: the folder is missing or holds no photo.
        """
        try:
            self._paths = list_images(folder, log.info)
        except InputError as error:
            raise CameraError(str(error)) from error
        self._folder, self._camera, self._open = folder, camera, True

    def __iter__(self) -> Iterator[Frame]:
        """``HELD_FRAMES`` frames a readable photo; ``captured_s`` starts at 0.

        Raises:
            CameraError: not one of them could be read.
        """
        started_wall, seq, shown_s = time.time(), 0, 0.0
        for path in self._paths:
            try:
                pixels = read_image(path)
            except ImageError as error:
                log.warning("a photo is left out", reason=str(error))
                continue
            for at_s in (shown_s + held / FPS for held in range(HELD_FRAMES)):
                if not self._open:
                    return
                yield Frame(pixels, self._camera, seq, at_s, started_wall + at_s)
                seq += 1
            shown_s += HELD_FRAMES / FPS + PAUSE_S
        if seq == 0:
            raise CameraError(
                f"{self._folder}: expected photos, found {len(self._paths)} files of which none can be read; "
                "replace them"
            )

    def close(self) -> None:
        """End the iteration; may be called again."""
        self._open = False
