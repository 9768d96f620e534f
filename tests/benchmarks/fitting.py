"""The release recipe's step, alone and fed by its own views, for ``make bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from models.autoencoder import Autoencoder
from models.decoders import DecoderSpec
from tests.train.drawn_chips import make_chips
from train.encoder.datasets import Faces
from train.encoder.fit import encoder_spec, precision
from train.encoder.losses import WeightedLoss
from train.encoder.recipe import load_recipe
from train.encoder.views import Views
from train.fitting.schedule import make_optimiser


@contextmanager
def step_and_epoch(folder: Path) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """As many steps on one batch as an epoch has, and the epoch itself, its views drawn before."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(-1)
    recipe = load_recipe("release", ["loss.distil=0", "loss.distil_relations=0", "fit.batch=64", "fit.repeats=10000"])
    chips = make_chips(folder / "chips.npz", train=32, select=0, photos=16)
    views = Views(Faces.of_split([chips], "train"), recipe.preprocessing(), recipe.augment, recipe.fit, 0)
    spec, policy = encoder_spec(recipe), precision(recipe.fit.precision)
    model = Autoencoder(spec.build(policy), DecoderSpec(spec, recipe.decoder.widths).build(policy))
    objective = WeightedLoss(recipe.loss, False)
    model.compile(make_optimiser(recipe.optimiser, policy), objective, objective.terms)
    first = next(iter(views.epoch(0, last=True)))

    def step() -> None:
        for _ in range(views.steps):
            model.train_on_batch(first.chips, first.targets)

    def epoch() -> None:
        for batch in views.epoch(0, last=True):
            model.train_on_batch(batch.chips, batch.targets)

    try:
        yield step, epoch
    finally:
        views.close()
        cv2.setNumThreads(threads)
