"""What sources share: where their pictures go, and the way from OpenCV's colours to ours."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.closing import Closing
from edge_runtime.protocols import Room
from edge_runtime.types import Pixels


def fresh_room(height: int, width: int) -> Pixels:
    """Memory for one picture, uint8 (H, W, 3), of nobody else's."""
    return np.empty((height, width, 3), np.uint8)


class Source(Closing):
    """See ``protocols.FrameSource``; a clip by default."""

    live = False
    sensor = False
    first_seq = 0
    room: Room = staticmethod(fresh_room)

    def _converted(self, picture: Pixels, code: int, height: int, width: int) -> Pixels:
        """``picture`` in RGB, uint8 (H, W, 3), drawn straight where frames go; ``code`` is OpenCV's conversion."""
        pixels = self.room(height, width)
        cv2.cvtColor(picture, code, dst=pixels)
        return pixels

    def _from_bgr(self, bgr: Pixels) -> Pixels:
        return self._converted(bgr, cv2.COLOR_BGR2RGB, *bgr.shape[:2])
