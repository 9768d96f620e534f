"""Batches made by worker processes, in order; each is a function of seed, epoch and place alone."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge_runtime.detectors._cells import Grids
from edge_runtime.system.workers import process_pool
from edge_runtime.types import Floats, Pixels
from train.data.labelled import LabelledPhotos
from train.detector.scenes import PhotoPool, compose, mirrored_scene, spoil
from train.detector.targets import make_targets

_AHEAD = 8
"""Batches that may wait to be used."""

Batch = tuple[Pixels, Any]
"""Pictures uint8 (B, H, W, 3) RGB and what a network should say about them."""


class BatchSource(Protocol):
    """All that decides the batches; small, for it is sent to each worker process."""

    def open(self) -> Callable[[int, int], Batch]:
        """What makes the batch of an epoch and a step, both from 0."""
        ...


@dataclass(frozen=True)
class SceneSource:
    """Whole scenes, for a detector.

    Attributes:
        files: labelled photos.
        split: whose photos.
        size_wh: of a scene, px.
        batch: scenes a batch.
        harsh: how much the camera spoils.
        seed: of all draws.
    """

    files: tuple[Path, ...]
    split: str
    size_wh: tuple[int, int]
    batch: int
    harsh: float
    seed: int

    def open(self) -> Callable[[int, int], Batch]:
        """See ``BatchSource``; targets are float32 (B, cells, ``targets.COLUMNS``)."""
        pool = open_pool(self.files, self.split)

        def make(epoch: int, step: int) -> Batch:
            return scene_batch(pool, self, [(epoch, step, place) for place in range(self.batch)])

        return make


def open_pool(files: Sequence[Path], split: str) -> PhotoPool:
    """The photos of one split."""
    return PhotoPool.of_split([LabelledPhotos.load(file) for file in files], split)


class Batches:
    """A context in which worker processes make batches."""

    def __init__(self, source: BatchSource, jobs: int) -> None:
        self._pool = process_pool(max(jobs, 1), _start_worker, (source,))

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def epoch(self, number: int, steps: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, from 0."""
        waiting: deque[Future[Batch]] = deque()
        places = iter(range(steps))
        for step in itertools.islice(places, _AHEAD):
            waiting.append(self._pool.submit(_make_batch, number, step))
        while waiting:
            batch = waiting.popleft().result()
            for step in itertools.islice(places, 1):
                waiting.append(self._pool.submit(_make_batch, number, step))
            yield batch


_make: Callable[[int, int], Batch] | None = None
"""Opened once in each worker process."""


def _start_worker(source: BatchSource) -> None:
    global _make
    cv2.setNumThreads(1)
    _make = source.open()


def _make_batch(epoch: int, step: int) -> Batch:
    assert _make is not None
    return _make(epoch, step)


def scene_batch(pool: PhotoPool, source: SceneSource, places: Sequence[tuple[int, int, int]]) -> tuple[Pixels, Floats]:
    """The scenes at ``places`` (epoch, step, place in the batch), each also mirrored and in other light.

    Composing costs more than all else, so what was composed is shown twice; the last one once if their number is odd.
    """
    grids = Grids(source.size_wh)
    pictures: list[Pixels] = []
    targets: list[Floats] = []
    for place in places[: -(-len(places) // 2)]:
        rng = np.random.default_rng([source.seed, *place])
        scene = compose(pool, source.size_wh, rng)
        for pixels, faces in (scene, mirrored_scene(*scene))[: len(places) - len(pictures)]:
            pictures.append(spoil(pixels, rng, source.harsh))
            targets.append(make_targets(grids, faces))
    return np.stack(pictures), np.stack(targets)
