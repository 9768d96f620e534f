"""Lists of faces in the two formats that public detectors are trained from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.types import Detections, Floats

_DOUBTFUL = 0.5
"""Score given to a box that the list calls invalid: neither a face to learn nor background."""


def read_wider(path: str | Path) -> dict[str, Detections]:
    """Faces by photo (path as listed, POSIX) from a list of WIDER FACE (Yang et al., 2016) or RetinaFace (Deng, 2020).

    WIDER FACE: a line with the photo, one with the number of faces, then ``x y w h`` and attributes a face, of which
    the eighth is 1 for an invalid box. RetinaFace: ``# photo``, then ``x y w h`` and five times ``x y flag`` a face,
    -1 where a landmark is unknown. Landmarks that are not given are NaN.

    Raises:
        InputError: unreadable, or a line that is neither.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a list of faces, cannot read it ({error})") from error
    found: dict[str, list[list[float]]] = {}
    photo = ""
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            photo = line.removeprefix("#").strip()
            found[photo] = []
            continue
        if len(values) == 1 and photo:
            continue  # the number of faces, which the lines themselves tell
        if len(values) < 4 or not photo:
            raise InputError(f"{path}: line {number}: expected a photo or x y w h of a face in one, found {line!r}")
        if values[2] > 0 and values[3] > 0:
            found[photo].append(values)
    if not found:
        raise InputError(f"{path}: expected a list of faces as WIDER FACE has it, found no photo in it")
    return {photo: _faces(rows) for photo, rows in found.items()}


def _faces(rows: list[list[float]]) -> Detections:
    if not rows:
        return Detections.empty()
    xywh = np.array([row[:4] for row in rows], np.float32)
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    score = np.array([_DOUBTFUL if len(row) == 10 and row[7] == 1 else 1.0 for row in rows], np.float32)
    return Detections(xyxy, score, np.stack([_landmarks(row) for row in rows]))


def _landmarks(row: list[float]) -> Floats:
    if len(row) < 19:
        return np.full((5, 2), np.nan, np.float32)
    points = np.array(row[4:19], np.float32).reshape(5, 3)
    return np.where(points[:, :2] < 0, np.float32(np.nan), points[:, :2]).astype(np.float32)
