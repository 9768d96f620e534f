"""Fits an autoencoder: a recipe, chips and a seed make a run; a killed one goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from edge_runtime.bundle.folder import file_digest
from edge_runtime.errors import ConfigError, InputError
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing
from models.autoencoder import Autoencoder
from models.decoders import DecoderSpec
from models.encoders import EncoderSpec
from models.variational import VariationalAutoencoder
from train.encoder.datasets import Faces, Held
from train.encoder.losses import WeightedLoss
from train.encoder.probe import solve_code
from train.encoder.recipe import Recipe
from train.encoder.start import Start
from train.encoder.teacher import Teacher, Teachers
from train.encoder.tune import part_photos
from train.encoder.views import Views
from train.evaluation.recognition import held_figures
from train.fitting.averaging import WeightAverage
from train.fitting.means import StepMeans
from train.fitting.precision import precision
from train.fitting.progress import GOES_ON, epoch_line
from train.fitting.schedule import Schedule, make_optimiser
from train.runs.checkpoint import CHECKPOINT, begun, fingerprint, restore, save_checkpoint
from train.runs.run import RUN_FILE, Run, commit, describe_chips, load_run, versions

_BEST = "best.npz"
_TEACHER = "teacher"
_PUBLISH_EVERY_S = 60.0
"""Models and curves are written at the end, and in between at most this often."""
_RATES = ("val_pair", "val_tmr")
"""Columns of the history of which more is better."""


def fit(
    recipe: Recipe,
    chips: Chips,
    folder: str | Path,
    seed: int = 0,
    also: Sequence[Chips] = (),
    overrides: Sequence[str] = (),
    start: Start | None = None,
) -> Run:
    """Fit a recipe, or go on with a run that was interrupted.

    Args:
        recipe: how.
        chips: faces; ``train`` fits, ``select`` validates.
        folder: of the run; new, empty, or one this very recipe (but for its length), data and seed began.
        seed: of every draw.
        also: further chips whose ``train`` faces are fitted on.
        overrides: what was changed in the recipe, for the record.
        start: models to start from; None for weights drawn by the seed.

    Raises:
        InputError: nobody to fit on, or the folder holds another run.
        ConfigError: parts of the recipe that do not go together.
    """
    path = Path(folder)
    described = [describe_chips(c) for c in (chips, *also)]
    if start and not start.fits(recipe.preprocessing()):
        raise ConfigError(f"[input]: expected it as {start.path} has it but for size, to start there, found another")
    document = {"recipe": _without_length(recipe.values()), "seed": seed, "chips": [one["sha256"] for one in described]}
    mark = fingerprint(document | ({"start": start.sha256} if start else {}))
    state = begun(path, mark, (_BEST, _TEACHER))
    if state and (path / RUN_FILE).is_file() and (done := load_run(path)).finished:
        print(f"{path}: already finished", flush=True)
        return done
    started = Run(
        path=path,
        recipe=recipe.values(),
        recipe_name=recipe.name,
        recipe_text=recipe.text,
        overrides=list(overrides),
        seed=seed,
        epochs_done=0,
        finished=False,
        chips_file=described[0],
        also=described[1:],
        preprocessing=recipe.preprocessing(),
        code_size=recipe.encoder.code_size,
        versions=versions(),
        commit=commit(),
        precision=precision(recipe.fit.precision),
        lineage=start.lineage if start else [],
    )
    return _Fitting(recipe, started, [chips, *also], mark, state, start).go()


def _without_length(values: dict[str, Any]) -> dict[str, Any]:
    """What makes a run this one: whoever lets it go on may give it less time, or more."""
    return values | {"fit": {key: value for key, value in values["fit"].items() if key not in ("epochs", "minutes")}}


class _Fitting:
    """One run while it is being made."""

    def __init__(
        self,
        recipe: Recipe,
        started: Run,
        chips: Sequence[Chips],
        mark: str,
        state: dict[str, Any] | None,
        start: Start | None,
    ) -> None:
        self.recipe, self.folder, self.mark = recipe, started.path, mark
        faces, held = _parted(chips, recipe.fit.hold_out, started.seed)
        people = faces.people if recipe.loss.identity > 0 else 0
        parts = (recipe.teacher, *recipe.teachers) if recipe.loss.taught else ()
        teachers = Teachers([Teacher(part) for part in parts], recipe.loss.joined) if parts else None
        self.objective = WeightedLoss(recipe.loss, people > 0, teachers.weights if teachers else ())
        if not self.objective.terms:
            raise ConfigError(
                "[loss]: expected a term that can be computed, found identity alone and nobody with a name"
            )
        cache = self.folder / _TEACHER
        self.views = Views(faces, started.preprocessing, recipe.augment, recipe.fit, started.seed, teachers, cache)
        self.held = Held(held, started.preprocessing, self.views.batch, teachers, cache)
        self._build(people, teachers, started)
        if start:
            self._begin_at(start, faces, teachers, started.seed, state is None)
        self.average = WeightAverage(self.model.weights, recipe.fit.average)
        self.variables = [*self.model.state, *self.model.optimizer.variables, *self.average.variables]
        # A sentence that the start's lineage has already is not said twice.
        lineage = dict.fromkeys([*_lineage(chips, faces, teachers), *started.lineage])
        self.result = dataclasses.replace(started, lineage=list(lineage))
        self.best: dict[str, Any] = {}
        self.published_at = time.monotonic()
        if state:
            restore(self.folder / CHECKPOINT, self.variables)
            self._note(state["history"])
            self.best = state["best"]

    def _build(self, people: int, teachers: Teachers | None, started: Run) -> None:
        keras.utils.set_random_seed(started.seed)
        policy = started.precision
        self.spec = encoder_spec(self.recipe)
        self.decoder_spec = DecoderSpec(self.spec, self.recipe.decoder.widths)
        taught = tuple(teachers.sizes) if teachers else ()
        kind = VariationalAutoencoder if self.recipe.loss.variational > 0 else Autoencoder
        self.model = kind(self.spec.build(policy), self.decoder_spec.build(policy), people, taught)
        self.model.decoder.trainable = self.recipe.loss.drawn
        for layer in self.model.encoder.layers if self.recipe.fit.freeze_norm else ():
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        optimiser = make_optimiser(self.recipe.optimiser, policy)
        self.schedule = Schedule(self.recipe.optimiser, self.recipe.fit)
        self.model.compile(optimiser, self.objective, self.objective.terms)
        self.model(np.zeros((1, self.spec.size, self.spec.size, self.spec.channels), np.float32))
        optimiser.build(self.model.trainable_variables)

    def _begin_at(self, start: Start, faces: Faces, teachers: Teachers | None, seed: int, fresh: bool) -> None:
        """Take over a start's weights, and solve for its code where that is of another length."""
        anew = start.into(self.model.encoder, self.model.decoder, grown=not self.recipe.fit.hold_out)
        if anew and fresh and teachers and teachers.sizes[0] == self.spec.code_size:
            preprocessing = self.recipe.preprocessing()
            solve_code(self.model.encoder, faces, preprocessing, teachers, seed)

    def go(self) -> Run:
        """Fit until the last epoch, or until patience ends."""
        print(GOES_ON, flush=True)
        try:
            while not self._ended():
                self._one_more()
        finally:
            self.views.close()
        with self.average.applied():
            if self.best:
                restore(self.folder / _BEST, self.model.weights)
            self.result = dataclasses.replace(self.result, finished=True)
            self._publish()
        return self.result

    def _one_more(self) -> None:
        """Fit an epoch, look at what came of it, and keep it."""
        row = self._epoch(self.result.epochs_done)
        with self.average.applied():
            row |= self._measured(row)
            if self._is_best(row):
                self.best = {"epoch": row["epoch"], "value": row[self.recipe.fit.monitor]}
                save_checkpoint(self.folder / _BEST, self.model.weights, {})
        row["seconds"] = round(time.monotonic() - self.epoch_began, 2)
        self._note([*self.result.history, row])
        # The checkpoint alone decides where a killed run goes on; all else is made from it.
        state = {"fingerprint": self.mark, "history": self.result.history, "best": self.best}
        save_checkpoint(self.folder / CHECKPOINT, self.variables, state)
        self.views.save()
        print(epoch_line(row, self.schedule.left_s(self.result.history)), flush=True)
        if time.monotonic() - self.published_at > _PUBLISH_EVERY_S and not self._ended():
            with self.average.applied():
                self._publish()

    def _epoch(self, epoch: int) -> dict[str, float]:
        """Fit one epoch, from 0; the row of the history."""
        self.epoch_began = time.monotonic()
        means = StepMeans()
        start, end = self.schedule.begun(self.result.history), self.schedule.reached(self.result.history)
        steps, rate, waited, asked = self.views.steps, 0.0, 0.0, self.epoch_began
        batches = self.views.epoch(epoch, last=end >= 1)
        bar = tqdm(total=steps, desc=f"epoch {epoch + 1}", unit="step", disable=None, delay=2, leave=False)
        with contextlib.closing(batches), bar as progress:
            for step in range(steps):
                batch = next(batches)
                waited += time.monotonic() - asked
                rate = self.schedule.rate(start + (end - start) * step / steps, epoch * steps + step)
                self.model.optimizer.learning_rate = rate
                means.add(self.model.train_on_batch(batch.chips, batch.targets, return_dict=True))
                self.average.update(epoch * steps + step)
                progress.update()
                asked = time.monotonic()
        row = {"epoch": epoch + 1, **means.means()}
        if not np.isfinite(row["loss"]):
            raise InputError(
                f"{self.folder}: expected a finite loss, found {row['loss']} after epoch {epoch + 1}; "
                "lower optimiser.learning_rate"
            )
        return row | {"learning_rate": rate, "progress": end, "waited": round(waited, 2)}

    def _measured(self, row: dict[str, float]) -> dict[str, float]:
        """Figures of the held-out people, in the epochs in which they are looked at."""
        due = row["epoch"] % self.recipe.fit.measure_every == 0 or row["progress"] >= 1
        return self._measure() if due else {}

    def _measure(self) -> dict[str, float]:
        """Loss and pair figures on people nobody was fitted on; empty if there are none."""
        if not len(self.held):
            return {}
        sums: dict[str, float] = {}
        codes = []
        for batch in self.held.batches():
            outputs = self.model.predict_on_batch(batch.chips)
            codes.append(outputs["code"])
            terms = self.objective(batch.targets, {key: keras.ops.convert_to_tensor(v) for key, v in outputs.items()})
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(keras.ops.convert_to_numpy(value)) * len(batch.chips)
        row = {f"val_{name}": total / len(self.held) for name, total in sums.items()}
        if row:
            row["val_loss"] = sum(row.values())
        return row | held_figures(np.concatenate(codes), self.held.faces.names.tolist())

    def _is_best(self, row: dict[str, float]) -> bool:
        """Whether this epoch is the best so far, if the recipe wants that known."""
        monitor = self.recipe.fit.monitor
        if not self.recipe.fit.patience:
            return False
        if monitor not in row:
            raise ConfigError(f"[fit] monitor: expected one of {', '.join(row)}, found {monitor!r}")
        if not self.best:
            return True
        larger_is_better = monitor.startswith(_RATES)
        return bool(row[monitor] > self.best["value"] if larger_is_better else row[monitor] < self.best["value"])

    def _ended(self) -> bool:
        done, part = self.result.epochs_done, self.recipe.fit
        stale = bool(self.best and done - self.best["epoch"] >= part.patience)
        return stale or self.schedule.begun(self.result.history) >= 1

    def _note(self, history: list[dict[str, float]]) -> None:
        self.result = dataclasses.replace(self.result, history=history, epochs_done=len(history))

    def _publish(self) -> None:
        """Write models and curves, and last run.json, which says that the rest is there."""
        for spec, trained, path in (
            (self.spec, self.model.encoder, self.result.encoder_path),
            (self.decoder_spec, self.model.decoder, self.result.decoder_path),
        ):
            plain = spec.build("float32")
            plain.set_weights(trained.get_weights())
            with replacing(path) as draft:
                plain.save(draft)
        self.result.draw_curves()
        self.result.save()
        self.published_at = time.monotonic()


def _parted(chips: Sequence[Chips], hold_out: float, seed: int) -> tuple[Faces, Faces]:
    """Faces to fit on, and faces to look at meanwhile."""
    if not hold_out:
        return Faces.of_split(chips, "train"), Faces.of_split(chips[:1], "select")
    fitted, _ = part_photos(chips[0], hold_out, seed)
    nobody = Faces.of(chips[:1], [np.zeros(0, np.int64)])
    return Faces.of(chips, [fitted, *(more.indices("train") for more in chips[1:])]), nobody


def encoder_spec(recipe: Recipe) -> EncoderSpec:
    """The encoder a recipe asks for."""
    part = recipe.encoder
    channels = recipe.preprocessing().channels
    return EncoderSpec(part.kind, recipe.input.size, channels, part.code_size, part.widths, part.blocks)  # type: ignore[arg-type]


def _lineage(chips: Sequence[Chips], faces: Faces, teachers: Teachers | None) -> list[str]:
    lines = []
    for k, one in enumerate(chips):
        mine = faces.source == k
        people = len(set(faces.names[mine].tolist()) - {""})
        lines.append(f"fitted on {int(mine.sum())} photos of {people or 'unnamed'} people: {one.source}")
    for teacher in teachers.members if teachers else ():
        lines.append(f"codes learned from {teacher.path.name}, sha256 {file_digest(teacher.path)[0]}")
    return lines
