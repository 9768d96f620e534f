"""``python -m train fit --recipe detector``: labelled photos, a recipe and a seed make a detector's run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from edge_runtime.detectors._cells import STRIDES, Grids
from edge_runtime.types import Pixels
from train.detector.batches import SceneSource, open_pool, scene_batch
from train.detector.fitting import MEAN, STD, DetectorRun, fit_subject, labelled_for
from train.detector.losses import box_loss, landmark_loss, score_loss
from train.detector.recipe import DetectorRecipe, TermsPart

_CALIBRATION_SCENES = 300
_TERMS = ("score", "box", "landmarks")


def fit_detector(
    recipe: DetectorRecipe,
    files: Sequence[str | Path],
    folder: str | Path,
    seed: int = 0,
    start: Path | None = None,
) -> DetectorRun:
    """Fit a detector; see ``fitting.fit_subject``.

    Args:
        recipe: how.
        files: labelled photos; the people of ``train`` are fitted on.
        folder: of the run.
        seed: of every draw.
        start: a run's folder or a .keras detector to start from.

    Raises:
        InputError: no photos, no detector to start from, or the folder holds another run.
    """
    photos = labelled_for(files)
    subject = _Detector(recipe, tuple(one.path for one in photos), seed)
    return fit_subject(subject, recipe, photos, folder, seed, start)


class _Detector:
    """See ``fitting.Subject``."""

    kind = "detector"
    terms: tuple[str, ...] = _TERMS

    def __init__(self, recipe: DetectorRecipe, files: tuple[Path, ...], seed: int) -> None:
        self._recipe, self._files, self._seed = recipe, files, seed

    def build(self, policy: str) -> keras.Model:
        return self._recipe.detector.spec().build(policy)

    def taught(self, network: keras.Model) -> keras.Model:
        return Taught(network, self._recipe.loss)

    def source(self) -> SceneSource:
        fit, size_wh = self._recipe.fit, self._recipe.detector.spec().size_wh
        return SceneSource(self._files, "train", size_wh, fit.batch, fit.harsh, self._seed)

    def pictures(self) -> Pixels:
        """Scenes of an epoch that never comes."""
        source = self.source()
        places = [(-1 % 2**32, 0, place) for place in range(_CALIBRATION_SCENES)]
        return scene_batch(open_pool(self._files, "train"), source, places)[0]


class Taught(keras.Model):
    """A detector with the loss of its cells; batches are uint8 pictures and ``targets.make_targets`` arrays."""

    def __init__(self, network: keras.Model, terms: TermsPart) -> None:
        super().__init__()
        self.network = network
        self._terms = terms
        height, width = network.input.shape[1:3]
        ends = np.cumsum([0, *(math.prod(Grids((width, height)).shape_hw(stride)) for stride in STRIDES)])
        self._levels = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
        self._means = [keras.metrics.Mean(name) for name in _TERMS]

    def call(self, pictures: Any, training: bool = False) -> Any:
        """Cells' logits and shapes, (B, cells, 15), from uint8 pictures (B, H, W, 3)."""
        values = (ops.cast(pictures, "float32") - MEAN) / STD
        return flat(self.network(values, training=training))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The weighted sum of the terms; each grid says as much as the others, however many faces it has."""
        boxes, points = [], []
        for low, high in self._levels:
            cells, told = y_pred[:, low:high], y[:, low:high]
            size, faces = told[..., 4], ops.maximum(ops.sum(told[..., 2]), 1.0)
            boxes.append(box_loss(told[..., 5:9], told[..., 2], cells[..., 1:5], size) / faces)
            points.append(landmark_loss(told[..., 9:], told[..., 3], cells[..., 5:], size) / faces)
        sure = y[..., 0]
        values = (
            self._terms.score * score_loss(sure, y[..., 1], y_pred[..., 0]) / ops.maximum(ops.sum(sure), 1.0),
            self._terms.box * sum(boxes) / len(boxes),
            self._terms.landmarks * sum(points) / len(points),
        )
        for mean, value in zip(self._means, values, strict=True):
            mean.update_state(value)
        return sum(values)

    @property
    def metrics(self) -> list[Any]:
        return [*super().metrics, *self._means]


def flat(outputs: dict[str, Any]) -> Any:
    """A network's outputs as (B, cells, 15): logit, then shape; the grids one after the other."""
    rows = []
    for stride in STRIDES:
        score, shape = outputs[f"score{stride}"], outputs[f"shape{stride}"]
        both = ops.concatenate([score, shape], axis=-1)
        rows.append(ops.reshape(both, (-1, both.shape[1] * both.shape[2], both.shape[3])))
    return ops.concatenate(rows, axis=1)
