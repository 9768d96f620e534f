"""What fitting a detector and fitting its refiner have in common: a run's folder, epochs, and going on after a cut."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from tqdm import tqdm

from edge_runtime.bundle.folder import file_digest
from edge_runtime.errors import InputError
from edge_runtime.storage.files import replacing
from edge_runtime.types import Pixels
from models.cost import multiply_adds
from train.data.files import write_json
from train.data.labelled import LabelledPhotos
from train.detector.batches import Batches, BatchSource
from train.detector.recipe import FinderRecipe, SceneFitPart
from train.fitting.means import StepMeans
from train.fitting.precision import precision
from train.fitting.progress import GOES_ON, time_left
from train.runs.checkpoint import CHECKPOINT, begun, fingerprint, restore, save_checkpoint
from train.runs.run import RUN_FILE, commit, versions

MEAN, STD = 127.5, 127.5
"""The networks see (value - MEAN) / STD."""
_LEAST_RATE = 0.01
"""Of the learning rate's height, at the last step."""


class Subject(Protocol):
    """What is fitted.

    Attributes:
        kind: ``detector`` or ``refiner``; the model's file is called so.
        terms: names of the parts of its loss, as metrics.
    """

    kind: str
    terms: tuple[str, ...]

    def build(self, policy: str) -> keras.Model:
        """The network."""
        ...

    def taught(self, network: keras.Model) -> keras.Model:
        """The network with its loss, to be fitted on batches."""
        ...

    def source(self) -> BatchSource:
        """Of the batches."""
        ...

    def pictures(self) -> Pixels:
        """Pictures of the people it was fitted on, to set int8's ranges by."""
        ...


@dataclass
class DetectorRun:
    """A run of a detector or a refiner, as its folder tells it.

    Attributes:
        path: the folder.
        kind: what was fitted.
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
    kind: str
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
    def model_path(self) -> Path:
        """The plain float model."""
        return self.path / f"{self.kind}.keras"

    def save(self) -> None:
        """Write ``run.json``, whole or not at all."""
        document = {name: value for name, value in vars(self).items() if name != "path"}
        normalisation = {"mean": [MEAN] * 3, "std": [STD] * 3}
        write_json(self.path / RUN_FILE, {"schema": 1, "normalisation": normalisation, **document})


def labelled_for(files: Sequence[str | Path]) -> list[LabelledPhotos]:
    """Labelled photos to fit on.

    Raises:
        InputError: nobody of the split ``train`` among them.
    """
    photos = [LabelledPhotos.load(file) for file in files]
    if not any(len(one.indices("train")) for one in photos):
        raise InputError(f"{files[0]}: expected photos of the split train, found none; label them with another split")
    return photos


def fit_subject(
    subject: Subject,
    recipe: FinderRecipe,
    photos: Sequence[LabelledPhotos],
    folder: str | Path,
    seed: int,
    start: Path | None = None,
    lineage: Sequence[str] = (),
) -> DetectorRun:
    """Fit, or go on with a run that was interrupted; it may go on with another number of epochs.

    Args:
        subject: what.
        recipe: how.
        photos: the people of ``train`` are fitted on.
        folder: of the run.
        seed: of every draw.
        start: a run's folder or a .keras file to start from; layers of the same name and shape are taken over.
        lineage: what else it was made from, one sentence each; another is another run.

    Raises:
        InputError: nothing to start from, or the folder holds another run.
    """
    path = Path(folder)
    described = [
        {"path": str(one.path), "sha256": one.sha256(), "labeller": one.labeller, "source": one.source}
        for one in photos
    ]
    # All that decides the run's numbers, but for how long it goes on.
    values = recipe.values()
    values["fit"].pop("epochs")
    told = {"recipe": values, "seed": seed, "photos": [one["sha256"] for one in described]}
    mark = fingerprint(told | ({"lineage": list(lineage)} if lineage else {}))
    state = begun(path, mark)
    run = DetectorRun(
        path,
        subject.kind,
        recipe.values(),
        recipe.name,
        recipe.text,
        seed,
        described,
        precision(recipe.fit.precision),
        versions(),
        commit(),
        [*_lineage(photos), *lineage],
    )
    return _Fitting(subject, recipe.fit, run, mark, state, start).go()


class _Fitting:
    """One run while it is being made."""

    def __init__(
        self,
        subject: Subject,
        fit: SceneFitPart,
        run: DetectorRun,
        mark: str,
        state: dict[str, Any] | None,
        start: Path | None = None,
    ) -> None:
        self.subject, self.fit, self.run, self.mark = subject, fit, run, mark
        keras.utils.set_random_seed(run.seed)
        self.network = subject.build(run.precision)
        if start is not None and not state:
            run.lineage.append(f"begun from {_taken_over(start, self.network, subject.kind)}")
        self.model = subject.taught(self.network)
        self.steps = max(fit.pictures // fit.batch, 1)
        optimiser = keras.optimizers.AdamW(fit.learning_rate, weight_decay=fit.weight_decay)
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
        amounts = f"{self.network.count_params():,} parameters, {multiply_adds(self.network) / 1e6:.1f} M multiply-adds"
        print(f"{amounts}\n{self.fit.epochs} epochs of {self.steps} steps, {self.run.precision}\n{GOES_ON}", flush=True)
        # One process makes pictures for one that computes; more would take the computing's cores.
        with Batches(self.subject.source(), max((os.cpu_count() or 2) // 2, 1)) as batches:
            while self.run.epochs_done < self.fit.epochs:
                row = self._epoch(batches, self.run.epochs_done)
                self.run.history.append(row)
                self.run.epochs_done += 1
                state = {"fingerprint": self.mark, "history": self.run.history}
                save_checkpoint(self.run.path / CHECKPOINT, self.variables, state)
                shown = "  ".join(f"{name} {row[name]:.4f}" for name in self.subject.terms)
                left = time_left(row["seconds"] * (self.fit.epochs - self.run.epochs_done))
                print(f"epoch {row['epoch']}/{self.fit.epochs}  {shown}  {left}", flush=True)
        self.run.finished = True
        self.publish()
        return self.run

    def publish(self) -> None:
        """Write the plain float model, pictures to set int8's ranges by, and the record."""
        plain = self.subject.build("float32")
        plain.set_weights(self.network.get_weights())
        with replacing(self.run.model_path) as draft:
            plain.save(draft)
        with replacing(self.run.path / "scenes.npz") as draft, draft.open("wb") as stream:
            np.savez_compressed(stream, pictures=self.subject.pictures())
        self.run.save()

    def _epoch(self, batches: Batches, epoch: int) -> dict[str, float]:
        start = time.monotonic()
        means = StepMeans()
        with tqdm(total=self.steps, desc=f"epoch {epoch + 1}", unit="step", disable=None, leave=False) as progress:
            for step, (pictures, targets) in enumerate(batches.epoch(epoch, self.steps)):
                self.model.optimizer.learning_rate = self._rate((epoch + step / self.steps) / self.fit.epochs)
                means.add(self.model.train_on_batch(pictures, targets, return_dict=True))
                progress.update()
        row = {"epoch": epoch + 1, **means.means()}
        if not np.isfinite(row["loss"]):
            raise InputError(f"{self.run.path}: expected a finite loss, found {row['loss']}; lower fit.learning_rate")
        return row | {"seconds": round(time.monotonic() - start, 2)}

    def _rate(self, done: float) -> float:
        """Learning rate where ``done`` of all steps are done: linear growth, then a half cosine."""
        if done < self.fit.warmup:
            return self.fit.learning_rate * (0.02 + 0.98 * done / self.fit.warmup)
        left = (1 + math.cos(math.pi * (done - self.fit.warmup) / (1 - self.fit.warmup))) / 2
        return self.fit.learning_rate * (_LEAST_RATE + (1 - _LEAST_RATE) * left)


def _taken_over(start: Path, network: keras.Model, kind: str) -> str:
    """Copy the weights of every layer that another of its kind has too; returns its sha256, for the lineage."""
    path = start / f"{kind}.keras" if start.is_dir() else start
    try:
        old = {layer.name: layer.get_weights() for layer in keras.saving.load_model(path, compile=False).layers}
    except Exception as error:  # Keras raises whatever a file leads it to
        raise InputError(
            f"{path}: expected a {kind} of python -m train fit, Keras does not load it ({error})"
        ) from error
    for layer in network.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        if shapes and shapes == [weight.shape for weight in old.get(layer.name, [])]:
            layer.set_weights(old[layer.name])
    return f"a {kind} with sha256 {file_digest(path)[0][:12]}"


def _lineage(photos: Sequence[LabelledPhotos]) -> list[str]:
    return [
        f"{len(one.indices('train'))} photos of {one.source}; faces and landmarks by {one.labeller}" for one in photos
    ]
