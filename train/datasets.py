"""From chips to the batches a model is fitted on: every view is a function of seed, epoch and photo alone.

That is what lets a run that was killed go on to the same curve: nothing but the number of the epoch has to be
remembered.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.align import Template, align
from edge_runtime.encoder import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels
from train.augment import Geometry, draw_geometry, moved, photometric
from train.chips import Chips
from train.files import replacing
from train.recipe import AugmentPart, FitPart
from train.teacher import Teacher

Item = TypeVar("Item")
_ORDER, _GEOMETRY, _LIGHT = range(3)
"""Streams of draws that must not follow each other."""
_TEACHER_BATCH = 64


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
        index = [chips.indices(split) for chips in sources]
        source = np.concatenate([np.full(len(i), k, np.int64) for k, i in enumerate(index)])
        names = np.concatenate([chips.names[i] for chips, i in zip(sources, index, strict=True)])
        known = sorted(set(names.tolist()) - {""})
        number = {name: k for k, name in enumerate(known)}
        landmarks = np.concatenate([chips.landmarks[i] for chips, i in zip(sources, index, strict=True)])
        person = np.array([number.get(name, -1) for name in names.tolist()], np.int64)
        return cls(tuple(sources), source, np.concatenate(index), names, person, landmarks)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def people(self) -> int:
        """How many different people have a name."""
        return int(self.person.max(initial=-1)) + 1

    def aligned(self, chosen: NDArray[np.int64], template: Template, geometry: Geometry | None = None) -> Pixels:
        """Faces as a device would align them, uint8 (n, h, w, 3) RGB.

        Args:
            chosen: int64 (n,), which faces.
            template: alignment and size.
            geometry: one move for each of the N faces; None for none.
        """
        width, height = template.size_wh
        chips = np.empty((len(chosen), height, width, 3), np.uint8)
        landmarks = self.landmarks if geometry is None else moved(self.landmarks, geometry)
        for chip, face in zip(chips, chosen, strict=True):
            crop = self.sources[self.source[face]].crop(int(self.index[face]))
            chip[:] = align(crop, landmarks[face][None], template)[0]
            if geometry is not None and geometry.flip[face]:
                chip[:] = chip[:, ::-1].copy()
        return chips


@dataclass(frozen=True)
class Batch:
    """One step's worth.

    Attributes:
        chips: float32 (n, h, w, C), the encoder's input.
        targets: ``clean`` float32 (n, h, w, C) in 0..1; ``person`` int32 (n,) where there is a head of people;
            ``teacher`` float32 (n, D) of unit length where there is a teacher.
    """

    chips: Floats
    targets: dict[str, NDArray[Any]]


class Views:
    """Batches of one split's faces, epoch by epoch."""

    def __init__(
        self,
        faces: Faces,
        preprocessing: Preprocessing,
        augment: AugmentPart,
        fit: FitPart,
        seed: int,
        teacher: Teacher | None = None,
        cache: Path | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            faces: what to learn from.
            preprocessing: of the encoder.
            augment: how views differ.
            fit: batch size, number of views, photos a person.
            seed: of all draws.
            teacher: gives codes of the same geometric view.
            cache: folder that keeps the teacher's codes.

        Raises:
            InputError: no faces.
        """
        if not len(faces):
            raise InputError("chips: expected faces of people in train, found none; make another split")
        self.faces = faces
        self._preprocessing = preprocessing
        self._augment = augment
        self._fit = fit
        self._seed = seed
        self._teacher = teacher
        self._cache = cache
        self._still: Pixels | None = None
        self.batch = min(fit.batch, len(self._order(0)))

    @property
    def steps(self) -> int:
        """Steps an epoch; what does not fill a batch is left to another epoch's shuffle."""
        return len(self._order(0)) // self.batch

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, from 0, shuffled."""
        variant = number % self._fit.views if self._fit.views else number
        geometry = self._geometry(variant)
        codes = self.teacher_codes(variant)
        order = self._order(number)
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            rng = np.random.default_rng([self._seed, _LIGHT, number, step])
            yield self._make(chosen, geometry, codes, rng)

    def teacher_codes(self, variant: int) -> Floats | None:
        """The teacher's codes (N, D) of one variant of all faces, kept on disk; None without a teacher."""
        if self._teacher is None or self._cache is None:
            return None
        path = self._cache / f"view{variant:04d}.npy"
        if not path.is_file():
            codes = teach(self._teacher, self.faces, self._geometry(variant))
            with replacing(path) as draft:
                np.save(draft, codes)
        return np.asarray(np.load(path), np.float32)

    def _make(
        self, chosen: NDArray[np.int64], geometry: Geometry | None, codes: Floats | None, rng: np.random.Generator
    ) -> Batch:
        clean = self._chips(chosen, geometry)
        seen = photometric(clean, self._augment, rng)
        targets: dict[str, NDArray[Any]] = {
            "clean": np.asarray(self._preprocessing.reorder(clean), np.float32) / np.float32(255),
            "person": self.faces.person[chosen].astype(np.int32),
        }
        if codes is not None:
            targets["teacher"] = codes[chosen]
        return Batch(self._preprocessing.as_float(seen), targets)

    def _chips(self, chosen: NDArray[np.int64], geometry: Geometry | None) -> Pixels:
        template = self._preprocessing.template
        if geometry is not None:
            return self.faces.aligned(chosen, template, geometry)
        if self._still is None:
            self._still = self.faces.aligned(np.arange(len(self.faces)), template)
        return self._still[chosen]

    def _geometry(self, variant: int) -> Geometry | None:
        if not self._augment.moves:
            return None
        return draw_geometry(self._augment, len(self.faces), np.random.default_rng([self._seed, _GEOMETRY, variant]))

    def _order(self, number: int) -> NDArray[np.int64]:
        """Shuffled faces of one epoch, int64; at most ``photos_a_person`` of anybody."""
        rng = np.random.default_rng([self._seed, _ORDER, number])
        order = rng.permutation(len(self.faces)).astype(np.int64)
        limit = self._fit.photos_a_person
        if not limit:
            return order
        person = self.faces.person[order]
        rank = np.zeros(len(order), np.int64)
        seen: dict[int, int] = {}
        for position, who in enumerate(person.tolist()):
            rank[position] = seen.get(who, 0) if who >= 0 else 0
            seen[who] = seen.get(who, 0) + 1
        return order[rank < limit]


class Held:
    """Faces nobody is fitted on, unmoved, in batches that are all the same size but the last."""

    def __init__(
        self, faces: Faces, preprocessing: Preprocessing, batch: int, teacher: Teacher | None, cache: Path
    ) -> None:
        self.faces = faces
        self._preprocessing = preprocessing
        self._batch = min(batch, 256)
        self._chips = faces.aligned(np.arange(len(faces)), preprocessing.template)
        self._codes: Floats | None = None
        if teacher is not None and len(faces):
            path = cache / "held.npy"
            if not path.is_file():
                codes = teach(teacher, faces, None)
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
            if self._codes is not None:
                targets["teacher"] = self._codes[start : start + self._batch]
            yield Batch(self._preprocessing.as_float(chips), targets)


def teach(teacher: Teacher, faces: Faces, geometry: Geometry | None) -> Floats:
    """The teacher's codes (N, D) of all faces, of unit length, each of the view that ``geometry`` gives."""
    everyone = np.arange(len(faces))
    chunks = [everyone[start : start + _TEACHER_BATCH] for start in range(0, len(faces), _TEACHER_BATCH)]
    views = prefetched(faces.aligned(chunk, teacher.template, geometry) for chunk in chunks)
    with tqdm(total=len(faces), desc="teacher", unit="view", disable=None, delay=2, leave=False) as progress:
        codes = []
        for chips in views:
            codes.append(teacher.encode(chips))
            progress.update(len(chips))
    return np.concatenate(codes)


def prefetched(items: Iterable[Item], depth: int = 4) -> Iterator[Item]:
    """The same items, made ahead in a thread of their own; what goes wrong there is raised here.

    The work behind them (decoding, warping) leaves Python's lock, so it runs beside a training step.
    """
    made: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                made.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
