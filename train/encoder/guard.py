"""Judges drawn faces: are they faces, are they alike, are they a training person's?"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.errors import InputError
from edge_runtime.faces.chain import FaceChain
from edge_runtime.geometry.alignment import Template
from edge_runtime.protocols import Detector
from edge_runtime.sources.synthetic import still
from edge_runtime.types import Floats, Pixels
from train.encoder.datasets import Faces, teach
from train.encoder.generator import alike_limit
from train.encoder.teacher import Teacher, Teachers


class Judge(Protocol):
    """Says how alike two faces are: by codes (N, D), and a cosine that two people rarely exceed."""

    alike_limit: float

    def encode(self, chips: Pixels) -> Floats:
        """Codes of unit length; zero for a face that cannot be judged."""
        ...


class BundleJudge:
    """The encoder of a bundle, seeing the faces as the synthetic camera shows them."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the bundle's detector and encoder; its strangers say what two people rarely exceed."""
        self._chain = FaceChain.open(bundle)
        self.alike_limit = alike_limit(bundle.strangers())

    def encode(self, chips: Pixels) -> Floats:
        """Codes (N, D) of chips (N, h, w, 3) RGB: unit length, or zero unless the detector finds just one face."""
        codes = np.zeros((len(chips), self._chain.encoder.embedding_size), np.float32)
        for code, chip in zip(codes, chips, strict=True):
            picture = still(enlarge(chip, 128))
            faces = self._chain.detector.detect(picture)
            if len(faces) == 1:
                code[:] = self._chain.encode(picture, faces.landmarks)[0][0]
        return codes


class MemoryGuard:
    """Knows, by a reference encoder, how near a picture is to a training photo, and how near strangers are.

    Attributes:
        photos: how many training photos it compares with.
        limit: the median over photos of people outside of the training, of the cosine to the nearest training
            photo; what is nearer than that is refused.
        strangers: mean cosine of such a photo and any training photo.
    """

    def __init__(self, reference: Teacher, training: Faces, held: Faces) -> None:
        """Encode the training photos and the strangers'.

        Raises:
            InputError: there are no strangers to compare with.
        """
        if not len(held):
            raise InputError("chips: expected people in select to learn how near strangers are, found none")
        self._reference = reference
        self._training = teach(Teachers([reference]), training)
        strangers = teach(Teachers([reference]), held)
        cosines = strangers @ self._training.T
        self.photos = len(training)
        self.limit = float(np.median(cosines.max(1)))
        self.strangers = float(cosines.mean())

    def nearest(self, chips: Pixels, template: Template) -> Floats:
        """Cosine to the nearest training photo, float32 (N,), of chips (N, h, w, 3) aligned to ``template``."""
        return np.asarray((self._reference.encode_from(chips, template) @ self._training.T).max(1), np.float32)


def enlarge(chip: Pixels, size: int) -> Pixels:
    """A chip uint8 (h, w, 3) at ``size`` x ``size``, smoothly."""
    return np.asarray(cv2.resize(chip, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def surrounded(face: Pixels) -> tuple[Pixels, int]:
    """A face uint8 (h, w, 3) with its edges drawn out to all sides, by so many px."""
    border = face.shape[0] // 2
    scene = cv2.copyMakeBorder(face, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(scene, np.uint8), border


def face_score(detector: Detector, face: Pixels) -> float:
    """How sure a detector is of one face where this one is, its edges drawn out as surroundings; 0: it is not."""
    side = face.shape[0]
    scene, _ = surrounded(face)
    faces = detector.detect(scene)
    if len(faces) != 1:
        return 0.0
    offset = np.abs(faces.centre[0] - (scene.shape[0] - 1) / 2).max()
    in_place = offset < 0.15 * side and 0.6 * side < faces.width[0] < 1.3 * side
    return float(faces.score[0]) if in_place else 0.0
