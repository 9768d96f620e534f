"""Picture to faces to embeddings: the one chain that the daemon, enrolment, ``embed`` and training share."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, bundle_path, trusted_keys
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.faces.encoder import TfliteEncoder, open_encoder
from edge_runtime.geometry.alignment import align
from edge_runtime.geometry.embeddings import embedding_hash
from edge_runtime.protocols import Detector, Interpreter
from edge_runtime.system.closing import Closing
from edge_runtime.types import Detections, Floats, Pixels

NOT_A_FACE = "not a face"
"""Why a view whose embedding has no length is of no use."""
_RIVAL_WIDTH = 0.6
"""A second face at least this share of the first one's width could be the one that is meant."""


class FaceChain(Closing):
    """A bundle's encoder behind a detector.

    Attributes:
        bundle: where encoder and preprocessing come from.
        detector: finds faces and landmarks.
        encoder: gives embeddings.
        encoder_hash: sha256 of the encoder's file.
        preprocessing_hash: sha256 of everything between picture and encoder; both mark a gallery.
        turn: held by whoever uses the models, where several threads do; they serve one caller at a time.
    """

    def __init__(self, bundle: Bundle, detector: Detector, encoder: TfliteEncoder) -> None:
        self.turn = threading.Lock()
        self.bundle = bundle
        self.detector = detector
        self.encoder = encoder
        self.encoder_hash = bundle.encoder_hash
        self.preprocessing_hash = bundle.manifest.preprocessing_hash(detector.name)

    @property
    def embedding_hash(self) -> str:
        """By which an embedding is known to be of this encoder and preprocessing, 64 hex digits."""
        return embedding_hash(self.encoder_hash, self.preprocessing_hash)

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        detector: str = "bundle",
        interpreter: str = "auto",
        threads: int = 1,
        options: DetectorOptions | None = None,
    ) -> FaceChain:
        """Open detector and encoder.

        Args:
            bundle: the bundle.
            detector: as for ``detectors.open_detector``, or ``bundle`` for the one the bundle names.
            interpreter: as for ``interpreters.open_interpreter``.
            threads: CPU threads of one run of a network.
            options: how to look for faces; None: as ``DetectorOptions`` says.
        """
        if detector == "bundle":
            detector = f"bundle:{bundle.path}" if bundle.manifest.own_detector else bundle.manifest.detector
        options = dataclasses.replace(options or DetectorOptions(), interpreter=interpreter, threads=threads)
        return cls(bundle, open_detector(detector, options), open_encoder(bundle, interpreter, threads))

    @property
    def accelerators(self) -> dict[str, str]:
        """What runs each model now, as ``{"encoder": "edgetpu", "detector": "cpu"}``."""
        return {part: interpreter.accelerator for part, interpreter in self._interpreters()}

    @property
    def degraded(self) -> str | None:
        """Why a model does not run where it should, or None."""
        told = [f"{part} {interpreter.degraded}" for part, interpreter in self._interpreters() if interpreter.degraded]
        return "; ".join(told) or None

    def _interpreters(self) -> list[tuple[str, Interpreter]]:
        return [("encoder", self.encoder.interpreter), *getattr(self.detector, "interpreters", {}).items()]

    def chips(self, pixels: Pixels, landmarks: Floats) -> Pixels:
        """Aligned chips uint8 (N, h, w, 3) RGB for landmarks (N, 5, 2)."""
        return align(pixels, landmarks, self.bundle.manifest.preprocessing.template)

    def encode(self, pixels: Pixels, landmarks: Floats) -> tuple[Floats, Floats]:
        """As :meth:`embed`, for landmarks (N, 5, 2) of a picture uint8 (H, W, 3) RGB."""
        return self.embed(self.chips(pixels, landmarks))

    def embed(self, chips: Pixels) -> tuple[Floats, Floats]:
        """Embeddings (N, D) of unit length and their lengths before (N,), of chips uint8 (N, h, w, 3) RGB.

        What is no face, by the bundle's ``least_length``, has neither: zeros, and the length 0.
        """
        embeddings, norms = self.encoder.encode(chips)
        face = norms >= self.bundle.manifest.encoder.least_length
        return np.where(face[:, None], embeddings, np.float32(0)), np.where(face, norms, np.float32(0))

    def close(self) -> None:
        """Free both models; may be called again."""
        self.detector.close()
        self.encoder.close()


def central_face(detections: Detections, size_wh: tuple[int, int]) -> int:
    """Index of the face a portrait is of: least (distance to the picture's centre - 0.3 x its width), px.

    Args:
        detections: at least one face.
        size_wh: width and height of the picture, px.
    """
    centre = (np.asarray(size_wh, np.float32) - 1) / 2
    distance = np.linalg.norm(detections.centre - centre, axis=1)
    return int(np.argmin(distance - 0.3 * detections.width))


def rivals(detections: Detections, chosen: int) -> int:
    """How many other faces are wide enough that they could be the one that is meant."""
    wide = detections.width >= _RIVAL_WIDTH * detections.width[chosen]
    return int(np.count_nonzero(wide)) - 1


def open_chain(config: Config, detector: str | None = None, interpreter: str | None = None) -> FaceChain:
    """The configured bundle behind the configured detector.

    Args:
        config: see ``config.Config``.
        detector: instead of the configured one.
        interpreter: instead of the configured one.

    Raises:
        FamiliarError: bundle, detector or interpreter cannot be used.
    """
    return FaceChain.open(
        Bundle(bundle_path(config), trusted_keys(config)),
        detector or config.detect.detector,
        interpreter or config.runtime.interpreter,
        config.runtime.threads,
        DetectorOptions(config.detect.min_face_px),
    )
