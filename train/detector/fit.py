"""``python -m train fit --recipe detector``: labelled photos, a recipe and a seed make a detector's run."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from edge_runtime.bundle import file_digest
from edge_runtime.detectors._cells import STRIDES, Grids
from edge_runtime.errors import InputError
from edge_runtime.types import Pixels
from models.detector import multiply_adds
from train.checkpoint import CHECKPOINT, begun, fingerprint, restore, save_checkpoint
from train.detector.batches import SceneBatches, SceneSource, scene_batch
from train.detector.losses import box_loss, landmark_loss, score_loss
from train.detector.recipe import DetectorRecipe, TermsPart
from train.detector.scenes import PhotoPool
from train.files import replacing, write_json
from train.labelled import LabelledPhotos
from train.precision import precision
from train.runs import RUN_FILE, commit, versions

MEAN, STD = 127.5, 127.5
"""The network sees (value - MEAN) / STD."""
KIND = "detector"
_CALIBRATION_SCENES = 300
_TERMS = ("score", "box", "landmarks")
_LEAST_RATE = 0.01
"""Of the learning rate's height, at the last step."""


@dataclass
class DetectorRun:
    """A detector's run, as its folder tells it.

    Attributes:
        path: the folder.
        recipe: every section and key, ``--set`` included.
        recipe_name: name of the recipe's file.
        recipe_text: the file's text.
        seed: of all draws.
        epochs_done: whole epochs.
        finished: whether it came to its end.
        photos: ``path``, ``sha256``, ``labeller`` and ``source`` of each labelled-photos file.
        precision: Keras dtype policy it was fitted with.
        versions: Python's and the packages'.
        commit: of the code, or None outside a git checkout.
        lineage: where photos and labels came from, one sentence each.
        history: one mapping an epoch.
    """

    path: Path
    recipe: dict[str, Any]
    recipe_name: str
    recipe_text: str
    seed: int
    photos: list[dict[str, str]]
    precision: str
    versions: dict[str, str]
    commit: str | None
    lineage: list[str]
    epochs_done: int = 0
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def detector_path(self) -> Path:
        return self.path / "detector.keras"

    def save(self) -> None:
        """Write ``run.json``, whole or not at all."""
        document = {name: value for name, value in vars(self).items() if name != "path"}
        normalisation = {"mean": [MEAN] * 3, "std": [STD] * 3}
        write_json(self.path / RUN_FILE, {"schema": 1, "kind": KIND, "normalisation": normalisation, **document})


def fit_detector(
    recipe: DetectorRecipe,
    files: Sequence[str | Path],
    folder: str | Path,
    seed: int = 0,
    start: Path | None = None,
) -> DetectorRun:
    """Fit a detector, or go on with a run that was interrupted; it may go on with another number of epochs.

    Args:
        recipe: how.
        files: labelled photos; the people of ``train`` are fitted on.
        folder: of the run.
        seed: of every draw.
        start: a run's folder or a .keras detector to start from; layers of the same name and shape are taken over.

    Raises:
        InputError: no photos, no detector to start from, or the folder holds another run.
    """
    path = Path(folder)
    photos = [LabelledPhotos.load(file) for file in files]
    if not any(len(one.indices("train")) for one in photos):
        raise InputError(f"{files[0]}: expected photos of the split train, found none; label them with another split")
    described = [
        {"path": str(one.path), "sha256": one.sha256(), "labeller": one.labeller, "source": one.source}
        for one in photos
    ]
    # All that decides the run's numbers, but for how long it goes on.
    values = recipe.values()
    values["fit"].pop("epochs")
    mark = fingerprint({"recipe": values, "seed": seed, "photos": [one["sha256"] for one in described]})
    state = begun(path, mark)
    run = DetectorRun(
        path,
        recipe.values(),
        recipe.name,
        recipe.text,
        seed,
        described,
        precision(recipe.fit.precision),
        versions(),
        commit(),
        _lineage(photos),
    )
    return _DetectorFitting(recipe, run, mark, state, start).go()


class _DetectorFitting:
    """One run while it is being made."""

    def __init__(
        self,
        recipe: DetectorRecipe,
        run: DetectorRun,
        mark: str,
        state: dict[str, Any] | None,
        start: Path | None = None,
    ) -> None:
        self.recipe, self.run, self.mark = recipe, run, mark
        keras.utils.set_random_seed(run.seed)
        self.spec = recipe.detector.spec()
        self.network = self.spec.build(run.precision)
        if start is not None and not state:
            run.lineage.append(f"begun from {_taken_over(start, self.network)}")
        self.model = Taught(self.network, recipe.loss)
        self.steps = max(recipe.fit.scenes // recipe.fit.batch, 1)
        optimiser = keras.optimizers.AdamW(recipe.fit.learning_rate, weight_decay=recipe.fit.weight_decay)
        optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.model.compile(optimiser)
        optimiser.build(self.network.trainable_variables)
        self.variables = [*self.network.weights, *optimiser.variables]
        if state:
            restore(run.path / CHECKPOINT, self.variables)
            run.history = state["history"]
            run.epochs_done = len(run.history)

    def go(self) -> DetectorRun:
        """Fit until the last epoch."""
        print(
            f"{self.network.count_params():,} parameters, {multiply_adds(self.network) / 1e6:.1f} M multiply-adds, "
            f"{self.recipe.fit.epochs} epochs of {self.steps} steps, {self.run.precision}",
            flush=True,
        )
        # One process makes scenes for one that computes; more would take the computing's cores.
        with SceneBatches(self._source(), max((os.cpu_count() or 2) // 2, 1)) as batches:
            while self.run.epochs_done < self.recipe.fit.epochs:
                row = self._epoch(batches, self.run.epochs_done)
                self.run.history.append(row)
                self.run.epochs_done += 1
                state = {"fingerprint": self.mark, "history": self.run.history}
                save_checkpoint(self.run.path / CHECKPOINT, self.variables, state)
                shown = "  ".join(f"{name} {row[name]:.4f}" for name in _TERMS)
                print(f"epoch {row['epoch']}/{self.recipe.fit.epochs}  {shown}  {row['seconds']:.0f} s", flush=True)
        self.run.finished = True
        self.publish()
        return self.run

    def publish(self) -> None:
        """Write the plain float model, scenes to set int8's ranges by, and the record."""
        plain = self.spec.build("float32")
        plain.set_weights(self.network.get_weights())
        with replacing(self.run.detector_path) as draft:
            plain.save(draft)
        with replacing(self.run.path / "scenes.npz") as draft, draft.open("wb") as stream:
            np.savez_compressed(stream, pictures=self._calibration())
        self.run.save()

    def _calibration(self) -> Pixels:
        """Scenes of the people it was fitted on, of an epoch that never comes."""
        pool = PhotoPool.of_split([LabelledPhotos.load(one["path"]) for one in self.run.photos], "train")
        source = self._source()
        places = [(-1 % 2**32, 0, place) for place in range(_CALIBRATION_SCENES)]
        return scene_batch(pool, source, places)[0]

    def _source(self) -> SceneSource:
        return SceneSource(
            tuple(Path(one["path"]) for one in self.run.photos),
            "train",
            self.spec.size_wh,
            self.recipe.fit.batch,
            self.recipe.fit.harsh,
            self.run.seed,
        )

    def _epoch(self, batches: SceneBatches, epoch: int) -> dict[str, float]:
        start = time.monotonic()
        self.model.reset_metrics()
        values: dict[str, Any] = {}
        with tqdm(total=self.steps, desc=f"epoch {epoch + 1}", unit="step", disable=None, leave=False) as progress:
            for step, (pictures, targets) in enumerate(batches.epoch(epoch, self.steps)):
                self.model.optimizer.learning_rate = self._rate((epoch + step / self.steps) / self.recipe.fit.epochs)
                values = self.model.train_on_batch(pictures, targets, return_dict=True)
                progress.update()
        row = {"epoch": epoch + 1, **{name: float(values[name]) for name in ("loss", *_TERMS)}}
        if not np.isfinite(row["loss"]):
            raise InputError(f"{self.run.path}: expected a finite loss, found {row['loss']}; lower fit.learning_rate")
        return row | {"seconds": round(time.monotonic() - start, 2)}

    def _rate(self, done: float) -> float:
        """Learning rate where ``done`` of all steps are done: linear growth, then a half cosine."""
        fit = self.recipe.fit
        if done < fit.warmup:
            return fit.learning_rate * (0.02 + 0.98 * done / fit.warmup)
        left = (1 + math.cos(math.pi * (done - fit.warmup) / (1 - fit.warmup))) / 2
        return fit.learning_rate * (_LEAST_RATE + (1 - _LEAST_RATE) * left)


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


def _taken_over(start: Path, network: keras.Model) -> str:
    """Copy the weights of every layer that another detector has too; returns its sha256, for the lineage."""
    path = start / "detector.keras" if start.is_dir() else start
    try:
        old = {layer.name: layer.get_weights() for layer in keras.saving.load_model(path, compile=False).layers}
    except Exception as error:  # Keras raises whatever a file leads it to
        raise InputError(
            f"{path}: expected a detector of python -m train fit, Keras does not load it ({error})"
        ) from error
    for layer in network.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        if shapes and shapes == [weight.shape for weight in old.get(layer.name, [])]:
            layer.set_weights(old[layer.name])
    return f"a detector with sha256 {file_digest(path)[0][:12]}"


def _lineage(photos: Sequence[LabelledPhotos]) -> list[str]:
    return [
        f"{len(one.indices('train'))} photos of {one.source}; faces and landmarks by {one.labeller}" for one in photos
    ]
