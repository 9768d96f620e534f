"""Faces of a split out of chips files, those that are held out, and work done ahead in threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.geometry.alignment import Template, align
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing
from edge_runtime.types import Floats, Pixels
from train.encoder.augment import Geometry, Morphs, blend, moved
from train.encoder.teacher import Teachers

Item = TypeVar("Item")
Made = TypeVar("Made")
THREADS = os.cpu_count() or 1
CHUNK = 32
"""Faces that one thread aligns and encodes in one go."""


@dataclass(frozen=True)
class Faces:
    """Faces of one split, from one chips file or several.

    Attributes:
        sources: the chips files.
        source: int64 (N,), which of them a face is from.
        index: int64 (N,), where in it.
        names: (N,) str, empty where nobody knows.
        person: int64 (N,), 0 to people - 1 in the names' order, -1 where nobody knows.
        landmarks: float32 (N, 5, 2), px of the crop.
    """

    sources: tuple[Chips, ...]
    source: NDArray[np.int64]
    index: NDArray[np.int64]
    names: NDArray[np.str_]
    person: NDArray[np.int64]
    landmarks: Floats

    @classmethod
    def of_split(cls, sources: Sequence[Chips], split: str) -> Faces:
        """Every face that ``sources`` hold of ``split``."""
        return cls.of(sources, [chips.indices(split) for chips in sources])

    @classmethod
    def of(cls, sources: Sequence[Chips], index: Sequence[NDArray[np.int64]]) -> Faces:
        """Some faces of each of ``sources``, ``index`` telling which."""
        source = np.concatenate([np.full(len(i), k, np.int64) for k, i in enumerate(index)])
        names = np.concatenate([chips.names[i] for chips, i in zip(sources, index, strict=True)])
        known = sorted(set(names.tolist()) - {""})
        number = {name: k for k, name in enumerate(known)}
        landmarks = np.concatenate([chips.landmarks[i] for chips, i in zip(sources, index, strict=True)])
        person = np.array([number.get(name, -1) for name in names.tolist()], np.int64)
        return cls(tuple(sources), source, np.concatenate(index), names, person, landmarks)

    def __len__(self) -> int:
        return len(self.index)

    def take(self, chosen: NDArray[np.int64]) -> Faces:
        """Some of the faces."""
        source, index, names = self.source[chosen], self.index[chosen], self.names[chosen]
        return Faces(self.sources, source, index, names, self.person[chosen], self.landmarks[chosen])

    @property
    def people(self) -> int:
        """How many different people have a name."""
        return int(self.person.max(initial=-1)) + 1

    def aligned(self, chosen: NDArray[np.int64], template: Template) -> Pixels:
        """Faces as a device would align them, uint8 (n, h, w, 3) RGB, of ``chosen``, int64 (n,)."""
        return self.views(chosen, [template])[0]

    def views(
        self,
        chosen: NDArray[np.int64],
        templates: Sequence[Template],
        geometry: Geometry | None = None,
        morphs: Morphs | None = None,
    ) -> list[Pixels]:
        """One view of each face, cut for several networks at once.

        Args:
            chosen: int64 (n,), which faces.
            templates: alignment and size for each network.
            geometry: one move for each of the n; None: they stay as they are.
            morphs: who is blended into each of the n; None for nobody.

        Returns:
            uint8 (n, h, w, 3) RGB for each template.
        """
        landmarks = self.landmarks[chosen]
        if morphs is not None:
            weight = morphs.share.mean((1, 2))[:, None, None]
            landmarks = landmarks + weight * (self.landmarks[morphs.partner] - landmarks)
        if geometry is not None:
            landmarks = moved(landmarks, geometry)
        cut = [np.empty((len(chosen), t.size_wh[1], t.size_wh[0], 3), np.uint8) for t in templates]
        for k, face in enumerate(chosen):
            crop = self._crop(face)
            if morphs is not None and morphs.partner[k] != face:
                crop = blend(crop, self._crop(morphs.partner[k]), morphs.share[k])
            for chips, template in zip(cut, templates, strict=True):
                chips[k] = align(crop, landmarks[k][None], template)[0]
        if geometry is not None:
            for chips in cut:
                chips[geometry.flip] = chips[geometry.flip, :, ::-1]
        return cut

    def _crop(self, face: np.int64) -> Pixels:
        return np.asarray(self.sources[self.source[face]].crop(int(self.index[face])), np.uint8)


@dataclass(frozen=True)
class Batch:
    """One step's worth.

    Attributes:
        chips: float32 (n, h, w, C), the encoder's input.
        targets: ``clean`` float32 (n, h, w, C) in 0..1; ``person`` int32 (n,) where there is a head of people;
            ``teacher0`` float32 (n, D) of unit length where there is a teacher, ``teacher1`` where there are two.
    """

    chips: Floats
    targets: dict[str, NDArray[Any]]


class Held:
    """Faces nobody is fitted on, unmoved, in batches that are all the same size but the last."""

    def __init__(
        self, faces: Faces, preprocessing: Preprocessing, batch: int, teachers: Teachers | None, cache: Path
    ) -> None:
        self.faces = faces
        self._preprocessing = preprocessing
        self._batch = min(batch, 256)
        self._chips = faces.aligned(np.arange(len(faces)), preprocessing.template)
        self._codes: Floats | None = None
        self._teachers = teachers
        if teachers is not None and len(faces):
            path = cache / "held.npy"
            if not path.is_file():
                codes = teach(teachers, faces)
                with replacing(path) as draft:
                    np.save(draft, codes)
            self._codes = np.asarray(np.load(path), np.float32)

    def __len__(self) -> int:
        return len(self.faces)

    def batches(self) -> Iterator[Batch]:
        """Every face once, in order."""
        for start in range(0, len(self), self._batch):
            chips = self._chips[start : start + self._batch]
            clean = np.asarray(self._preprocessing.reorder(chips), np.float32) / np.float32(255)
            targets: dict[str, NDArray[Any]] = {"clean": clean}
            if self._teachers is not None and self._codes is not None:
                targets |= self._teachers.targets(self._codes[start : start + self._batch])
            yield Batch(self._preprocessing.as_float(chips), targets)


def teach(teachers: Teachers, faces: Faces) -> Floats:
    """The teachers' codes (N, D) of all faces as they are, each of unit length, side by side."""
    chunks = in_chunks(np.arange(len(faces)))
    with tqdm(total=len(faces), desc="teacher", unit="face", disable=None, delay=2, leave=False) as progress:
        codes = []
        for part in prefetched(lambda chunk: teachers.encode(faces.views(chunk, teachers.templates)), chunks):
            codes.append(part)
            progress.update(len(part))
    return np.concatenate(codes)


def in_chunks(chosen: NDArray[np.int64], size: int = CHUNK) -> list[NDArray[np.int64]]:
    """``chosen`` in pieces of at most ``size``."""
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]


def prefetched(
    make: Callable[[Item], Made], items: Sequence[Item], threads: int = THREADS, depth: int = 2 * THREADS
) -> Generator[Made, None, None]:
    """``make`` of every item, in order, at most ``depth`` of them ahead, in threads; their errors are raised here.

    The work behind them (decoding, warping, networks) leaves Python's lock, so it runs beside a training step.
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(threads, "prefetch")
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
