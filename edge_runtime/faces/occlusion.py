"""Is part of a face covered? Its eyes or its mouth are blanked: what was covered before does not change the embedding.

That is the occlusion sensitivity of Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014,
turned round. How much an embedding relies on each part when nothing covers it is the encoder's own; its bundle says it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.geometry.alignment import Template
from edge_runtime.types import Floats, Pixels

WHAT_WOULD_DO = {
    "eyes": "take off dark glasses, and keep hair and hands away from the eyes",
    "mouth": "take off mask or scarf, and keep hands away from the mouth",
}
"""What would uncover each part."""
_EYES = 0.38
_BELOW_NOSE = 0.18
"""Where a part ends, in distances of the eyes."""


def reliance(encoder: TfliteEncoder, chips: Pixels, template: Template) -> dict[str, Floats]:
    """How much each embedding changes when a part of the face is blanked: 1 - cosine, float32 (N,), by part.

    Args:
        encoder: of the bundle.
        chips: uint8 (N, h, w, 3) RGB.
        template: they are aligned to.
    """
    embeddings, _ = encoder.encode(chips)
    plain = chips.reshape(len(chips), -1, 3).mean(1).astype(np.uint8)[:, None, None]
    found = {}
    for part, (top, bottom) in _rows(template).items():
        blanked = chips.copy()
        blanked[:, top:bottom] = plain
        found[part] = 1 - (embeddings * encoder.encode(blanked)[0]).sum(1)
    return found


def covered(encoder: TfliteEncoder, chip: Pixels, template: Template, least: Mapping[str, float]) -> str | None:
    """Which part is covered and what would do, for people to read; None: nothing is covered.

    Args:
        encoder: of the bundle.
        chip: uint8 (1, h, w, 3) RGB.
        template: it is aligned to.
        least: the least a face that nothing covers relies on each part.
    """
    if not least:
        return None
    found = reliance(encoder, chip, template)
    for part, limit in least.items():
        if (value := float(found[part][0])) < limit:
            return f"{part} covered (expected at least {limit:.3f}, found {value:.3f}); {WHAT_WOULD_DO[part]}"
    return None


def _rows(template: Template) -> dict[str, tuple[int, int]]:
    """First and last but one row of each part in a chip."""
    points, height = template.as_array(), template.size_wh[1]
    eyes_y, apart = points[:2, 1].mean(), np.linalg.norm(points[1] - points[0])
    rows = {
        "eyes": (eyes_y - _EYES * apart, eyes_y + _EYES * apart),
        "mouth": (points[2, 1] + _BELOW_NOSE * apart, height),
    }
    return {part: (max(round(top), 0), min(round(bottom), height)) for part, (top, bottom) in rows.items()}
