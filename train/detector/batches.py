"""Batches of scenes from worker processes, in order; every scene is a function of seed, epoch and place alone."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.detectors._cells import Grids
from edge_runtime.pool import process_pool
from edge_runtime.types import Floats, Pixels
from train.detector.scenes import PhotoPool, compose, mirrored_scene, spoil
from train.detector.targets import make_targets
from train.labelled import LabelledPhotos

_AHEAD = 8
"""Batches that may wait to be used."""

SceneBatch = tuple[Pixels, Floats]
"""Pictures uint8 (B, H, W, 3) RGB and targets float32 (B, cells, ``targets.COLUMNS``)."""


@dataclass(frozen=True)
class SceneSource:
    """All that decides the scenes.

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


class SceneBatches:
    """A context in which worker processes make scenes."""

    def __init__(self, source: SceneSource, jobs: int) -> None:
        self._source = source
        self._pool = process_pool(max(jobs, 1), _start_worker, (source,))

    def __enter__(self) -> SceneBatches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def epoch(self, number: int, steps: int) -> Iterator[SceneBatch]:
        """The batches of epoch ``number``, from 0."""
        waiting: deque[Future[SceneBatch]] = deque()
        places = iter(range(steps))
        for step in itertools.islice(places, _AHEAD):
            waiting.append(self._pool.submit(_make_batch, number, step))
        while waiting:
            batch = waiting.popleft().result()
            for step in itertools.islice(places, 1):
                waiting.append(self._pool.submit(_make_batch, number, step))
            yield batch


_worker: tuple[SceneSource, PhotoPool] | None = None
"""Opened once in each worker process."""


def _start_worker(source: SceneSource) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = source, PhotoPool.of_split([LabelledPhotos.load(file) for file in source.files], source.split)


def _make_batch(epoch: int, step: int) -> SceneBatch:
    assert _worker is not None
    source, pool = _worker
    return scene_batch(pool, source, [(epoch, step, place) for place in range(source.batch)])


def scene_batch(pool: PhotoPool, source: SceneSource, places: Sequence[tuple[int, int, int]]) -> SceneBatch:
    """The scenes at ``places`` (epoch, step, place in the batch), each also mirrored and in other light.

    Composing costs more than all else, so what was composed is shown twice; the last one once if their number is odd.
    """
    grids = Grids(source.size_wh)
    pictures, targets = [], []
    for place in places[: -(-len(places) // 2)]:
        rng = np.random.default_rng([source.seed, *place])
        scene = compose(pool, source.size_wh, rng)
        for pixels, faces in (scene, mirrored_scene(*scene))[: len(places) - len(pictures)]:
            pictures.append(spoil(pixels, rng, source.harsh))
            targets.append(make_targets(grids, faces))
    return np.stack(pictures), np.stack(targets)
