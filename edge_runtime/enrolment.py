"""From a photo to a template: exactly one face, good enough to stand for a person for years."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edge_runtime.chain import FaceChain, central_face
from edge_runtime.gallery import Gallery
from edge_runtime.names import clean_name
from edge_runtime.quality import QualityLimits, explanation, measure, weight
from edge_runtime.types import Detections, Pixels

_RIVAL_WIDTH = 0.6
"""A second face at least this share of the first one's width could be the one that is meant."""


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What became of one photo.

    Attributes:
        accepted: whether the gallery holds a template of it now.
        reason: why not; None if accepted.
        template_id: of the template, or None.
        quality: the face's measures by name; empty where no single face was found.
        known: it was enrolled before, and nothing changed.
    """

    accepted: bool
    reason: str | None = None
    template_id: int | None = None
    quality: dict[str, float] = field(default_factory=dict)
    known: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Enroller:
    """Puts photos of people into a gallery; may be called from several threads, one photo at a time."""

    def __init__(self, chain: FaceChain, gallery: Gallery, limits: QualityLimits | None = None) -> None:
        """Use ``chain`` alone from here on: its models serve one caller at a time.

        Args:
            chain: the bundle that ``gallery`` was opened for.
            gallery: where templates go.
            limits: the least a face must have; None: ``QualityLimits.for_enrolment()``.
        """
        self.gallery = gallery
        self._chain = chain
        self._limits = limits or QualityLimits.for_enrolment()
        self._lock = threading.Lock()

    def known(self, name: str, digest: bytes) -> EnrolmentResult | None:
        """The result for a photo that was enrolled before, by the sha256 of its file; None for a new one."""
        template_id = self.gallery.has_photo(name, digest)
        return None if template_id is None else EnrolmentResult(True, template_id=template_id, known=True)

    def photo(self, name: str, pixels: Pixels, digest: bytes | None, source: str) -> EnrolmentResult:
        """Enrol one photo; when this returns with ``accepted``, the template is on disk for good.

        Args:
            name: the person's; see ``names.clean_name``.
            pixels: uint8 (H, W, 3) RGB, upright.
            digest: sha256 of the photo's file, by which it is recognised; None: never recognised.
            source: where it came from, for people to read.

        Raises:
            InputError: an unusable name.
            GalleryError: the template cannot be kept.
        """
        name = clean_name(name)
        with self._lock:
            return self._photo(name, pixels, digest, source)

    def _photo(self, name: str, pixels: Pixels, digest: bytes | None, source: str) -> EnrolmentResult:
        known = None if digest is None else self.known(name, digest)
        if known is not None:
            return known
        detections = self._chain.detector.detect(pixels)
        if not len(detections):
            return EnrolmentResult(False, "no face found")
        chosen = central_face(detections, (pixels.shape[1], pixels.shape[0]))
        if rivals(detections, chosen):
            return EnrolmentResult(False, "several faces of similar size; crop the photo to one")
        landmarks = detections.landmarks[chosen : chosen + 1]
        quality = measure(pixels, landmarks[0], float(detections.width[chosen]))
        reason = explanation(quality, self._limits)
        if reason is not None:
            return EnrolmentResult(False, reason, quality=quality)
        codes, norms = self._chain.encode(pixels, landmarks)
        if norms[0] == 0:
            return EnrolmentResult(False, "the encoder sees nothing in this face", quality=quality)
        template_id = self.gallery.add(name, codes[0], weight(quality, self._limits), source, digest)
        return EnrolmentResult(True, template_id=template_id, quality=quality)


def rivals(detections: Detections, chosen: int) -> int:
    """How many other faces are wide enough that they could be the one that is meant."""
    wide = detections.width >= _RIVAL_WIDTH * detections.width[chosen]
    return int(np.count_nonzero(wide)) - 1
