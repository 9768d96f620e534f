"""The picture a camera shows right now, for people: drawn with boxes and names, or looked at for enrolment."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.types import Floats, Frame

Sightings = Sequence[tuple[Floats, str | None, str]]
"""Boxes xyxy px, names or None, and states, as ``Pipeline.sightings`` gives them."""

LONGEST_SIDE_PX = 1280
SHORTEST_PAUSE_S = 0.2
"""Between two pictures drawn for anybody: whoever asks sooner gets the last one again."""


class LiveView:
    """Draws one camera's latest frame at most every ``SHORTEST_PAUSE_S``; safe to use from several threads."""

    def __init__(self, latest: Callable[[str], tuple[Frame, Sightings]]) -> None:
        """Take frames from ``latest``, which gets a camera's name and raises ``FamiliarError`` if it has no frame."""
        self._latest = latest
        self._lock = threading.Lock()
        self._drawn: dict[str, tuple[float, dict[str, Any]]] = {}

    def answer(self, camera: str) -> dict[str, Any]:
        """JSON-ready: ``jpeg`` (base64), ``camera``, ``seq``, ``wall_time``, and ``sightings`` with ``xyxy``,
        ``person`` and ``state``.

        Raises:
            FamiliarError: there is no such camera, or it has no picture.
        """
        with self._lock:
            at_s, answer = self._drawn.get(camera, (-SHORTEST_PAUSE_S, {}))
            frame, sightings = self._latest(camera)
            if time.monotonic() - at_s >= SHORTEST_PAUSE_S:
                answer = {
                    "jpeg": base64.b64encode(draw(frame, sightings)).decode(),
                    "camera": camera,
                    "seq": frame.seq,
                    "wall_time": frame.wall_time,
                    "sightings": [
                        {"xyxy": [round(float(value), 1) for value in box], "person": person, "state": state}
                        for box, person, state in sightings
                    ],
                }
                self._drawn[camera] = time.monotonic(), answer
            return answer


def draw(frame: Frame, sightings: Sightings) -> bytes:
    """A JPEG, at most ``LONGEST_SIDE_PX`` wide and high, with a box and a name, or a state, for each face."""
    # Nothing a daemon needs before somebody looks.
    from edge_runtime.drawing.faces import draw_faces
    from edge_runtime.drawing.picture_file import encode_picture

    faces = [(box.tolist(), person or state, state) for box, person, state in sightings]
    return encode_picture(draw_faces(frame.pixels, faces, LONGEST_SIDE_PX), Path("live.jpg"))
