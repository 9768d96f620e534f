"""``python -m train fit --recipe refiner``: a detector, labelled photos, a recipe and a seed make a refiner's run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from edge_runtime.detectors import open_detector
from edge_runtime.types import Pixels
from train.detector.fitting import MEAN, STD, DetectorRun, fit_subject, labelled_for
from train.detector.looks import LookSource
from train.detector.losses import cross_entropy, landmark_loss
from train.detector.recipe import RefinerRecipe, RefinerTermsPart

_CALIBRATION_FACES = 512
_TERMS = ("score", "landmarks")


def fit_refiner(
    recipe: RefinerRecipe,
    files: Sequence[str | Path],
    folder: str | Path,
    detector: str,
    seed: int = 0,
    start: Path | None = None,
) -> DetectorRun:
    """Fit a refiner for one detector; see ``fitting.fit_subject``.

    Args:
        recipe: how.
        files: labelled photos; the people of ``train`` are fitted on.
        folder: of the run.
        detector: whose faces it looks at again, as for ``detectors.open_detector``.
        seed: of every draw.
        start: a run's folder or a .keras refiner to start from.

    Raises:
        ConfigError: no such detector.
        InputError: no photos, nothing to start from, or the folder holds another run.
    """
    photos = labelled_for(files)
    opened = open_detector(detector)
    name = opened.name
    opened.close()
    subject = _Refiner(recipe, tuple(one.path for one in photos), detector, seed)
    return fit_subject(subject, recipe, photos, folder, seed, start, [f"looks again at what {name} finds"])


class _Refiner:
    """See ``fitting.Subject``."""

    kind = "refiner"
    terms: tuple[str, ...] = _TERMS

    def __init__(self, recipe: RefinerRecipe, files: tuple[Path, ...], detector: str, seed: int) -> None:
        self._recipe, self._files, self._detector, self._seed = recipe, files, detector, seed

    def build(self, policy: str) -> keras.Model:
        return self._recipe.refiner.spec().build(policy)

    def taught(self, network: keras.Model) -> keras.Model:
        return Taught(network, self._recipe.loss)

    def source(self) -> LookSource:
        part, fit = self._recipe.refiner, self._recipe.fit
        width, height = part.scene_wh
        wh = (width, height)
        return LookSource(self._files, "train", self._detector, wh, part.size, fit.batch, fit.harsh, self._seed)

    def pictures(self) -> Pixels:
        """Faces of an epoch that never comes."""
        make = self.source().open()
        steps = -(-_CALIBRATION_FACES // self._recipe.fit.batch)
        return np.concatenate([make(-1 % 2**32, step)[0] for step in range(steps)])[:_CALIBRATION_FACES]


class Taught(keras.Model):
    """A refiner with its loss; batches are uint8 pictures and ``looks.told`` rows."""

    def __init__(self, network: keras.Model, terms: RefinerTermsPart) -> None:
        super().__init__()
        self.network = network
        self._terms = terms
        self._means = [keras.metrics.Mean(name) for name in _TERMS]

    def call(self, pictures: Any, training: bool = False) -> Any:
        """Logits and points, (B, 11), from uint8 pictures (B, H, W, 3)."""
        values = (ops.cast(pictures, "float32") - MEAN) / STD
        outputs = self.network(values, training=training)
        return ops.concatenate([outputs["score"], outputs["points"]], axis=-1)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The weighted sum of the terms, each averaged over the faces that it is about."""
        sure = y[:, 0]
        entropy = cross_entropy(sure, y_pred[:, 0])
        faces = ops.maximum(ops.sum(y[:, 2]), 1.0)
        values = (
            self._terms.score * ops.sum(y[:, 1] * entropy) / ops.maximum(ops.sum(y[:, 1]), 1.0),
            self._terms.landmarks * landmark_loss(y[:, 3:], y[:, 2], y_pred[:, 1:], ops.ones_like(sure)) / faces,
        )
        for mean, value in zip(self._means, values, strict=True):
            mean.update_state(value)
        return sum(values)

    @property
    def metrics(self) -> list[Any]:
        return [*super().metrics, *self._means]
