"""Requests that name the faces of a picture; the gallery stays as it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.control.protocol import Answer
from edge_runtime.pictures.reader import decode_image
from edge_runtime.recognizer import NamedFace
from edge_runtime.requests.access import Access


@dataclass(frozen=True)
class Recognize:
    """Name the faces of a picture, whose file comes as payload.

    ``width`` and ``height`` (px, upright), and ``faces``, surest detection first: [{``xyxy``, ``quality``,
    ``rejected``, ``person``, ``candidate``, ``similarity``, ``score``, ``threshold``, ``confidence``, ``margin``,
    ``runner_up``, ``template_id``}]; all behind ``rejected`` are null for a face too poor to judge.
    """


_MATCH = ("person", "candidate", "similarity", "score", "threshold", "confidence", "margin", "runner_up", "template_id")


def recognize(access: Access, request: Recognize, payload: bytes) -> Answer:
    held = access.holdings
    pixels = decode_image(payload, "picture", held.max_megapixels)
    height, width = pixels.shape[:2]
    faces = [face_as_json(face) for face in held.recognize(pixels)]
    return {"width": width, "height": height, "faces": faces}


def face_as_json(face: NamedFace) -> dict[str, Any]:
    """A JSON-ready mapping; what is infinite becomes None."""
    match: dict[str, Any] = {} if face.match is None else asdict(face.match)
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in match.items()}
    row = {"xyxy": list(face.xyxy), "quality": face.quality, "rejected": face.rejected}
    return row | {name: finite.get(name) for name in _MATCH}
