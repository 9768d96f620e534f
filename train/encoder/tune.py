"""Fine-tuning: a released encoder learns the people of one house, and stays what it was if that does not help."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing
from edge_runtime.types import Floats
from models.encoders import EncoderSpec
from train.data.files import write_json
from train.encoder.datasets import Faces, in_chunks
from train.encoder.start import Start
from train.evaluation.judge import Trial, Verdict, judge
from train.runs.models import open_model
from train.runs.run import Run

VERDICT_FILE = "verdict.json"


def part_photos(chips: Chips, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Photos to fit on and photos to judge by, of everybody with a name.

    Args:
        chips: faces of the people; which split they are in does not matter.
        share: of each person's photos to hold out, rounded down; nobody loses all.
        seed: of the draw.

    Returns:
        int64 (n,) and (m,), where in ``chips``.

    Raises:
        InputError: nobody with photos enough to hold one out.
    """
    rng = np.random.default_rng(seed)
    fitted: list[int] = []
    held: list[int] = []
    for name in sorted(set(chips.names.tolist()) - {""}):
        photos = rng.permutation(np.flatnonzero(chips.names == name))
        out = int(len(photos) * share)
        held += photos[:out].tolist()
        fitted += photos[out:].tolist()
    if not held:
        raise InputError(
            f"{chips.path}: expected people with {int(np.ceil(1 / share))} photos or more, to hold some out, "
            "found nobody; add photos"
        )
    return np.sort(np.array(fitted, np.int64)), np.sort(np.array(held, np.int64))


def settle(run: Run, start: Start, spec: EncoderSpec, chips: Chips, strangers: Chips, share: float) -> Verdict:
    """Judge what came of tuning, and put the old encoder in its place if it is not shown to be better.

    Args:
        run: the finished run; its ``encoder.keras`` may be replaced, ``verdict.json`` is written.
        start: what it started from.
        spec: shape of the encoder.
        chips: faces of the people.
        strangers: faces of others; who is among the people is passed over.
        share: of each person's photos that was held out.

    Raises:
        InputError: see :func:`judge`; strangers aligned by another detector.
    """
    if strangers.preprocessing_hash != chips.preprocessing_hash:
        raise InputError(
            f"{strangers.path}: expected strangers aligned by {chips.detector} as the people are, "
            f"found {strangers.detector}; prepare them again with that detector"
        )
    fitted, held = part_photos(chips, share, run.seed)
    others = np.flatnonzero(~np.isin(strangers.names, np.unique(chips.names[chips.names != ""])))
    old = spec.build()
    start.into(old)
    parts = [(chips, fitted), (chips, held), (strangers, others)]
    before, after = (
        Trial(*(_codes(encoder, run, faces, index) for faces, index in parts))
        for encoder in (old, open_model(run.encoder_path))
    )
    verdict = judge(before, after, chips.names[fitted], chips.names[held], strangers.names[others], run.seed)
    if not verdict.better:
        with replacing(run.encoder_path) as draft:
            old.save(draft)
    write_json(run.path / VERDICT_FILE, dataclasses.asdict(verdict))
    dataclasses.replace(run, lineage=[*run.lineage, verdict.sentence()]).save()
    return verdict


def _codes(encoder: keras.Model, run: Run, chips: Chips, index: NDArray[np.int64]) -> Floats:
    """Codes float32 (n, D) as the encoder gives them."""
    faces = Faces.of([chips], [index])
    codes = [np.zeros((0, run.code_size), np.float32)]
    for chunk in in_chunks(np.arange(len(faces)), 128):
        aligned = faces.aligned(chunk, run.preprocessing.template)
        codes.append(np.asarray(encoder.predict_on_batch(run.preprocessing.as_float(aligned)), np.float32))
    return np.concatenate(codes)


def already(run: Path) -> bool:
    """Whether a run has its verdict."""
    return (run / VERDICT_FILE).is_file()
