"""The batches a model is fitted on: every view is a function of seed, epoch and face alone.

That is what lets a run that was killed go on to the same curve: nothing but the number of the epoch has to be
remembered. A view (a move of the alignment, perhaps a morph) is what student and teacher both see; it lasts for
``fit.repeats`` epochs, and each epoch renews one in ``repeats``, so that the teacher's work is spread evenly.
What a camera does to it is new every time. This is the patient and consistent teaching of Beyer et al.,
"Knowledge distillation: A good teacher is patient and consistent", 2022, at a price that two cores can pay.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.storage.files import replacing
from edge_runtime.types import Floats, Pixels
from train.encoder.augment import Geometry, Morphs, draw_geometry, draw_morphs
from train.encoder.camera import photometric
from train.encoder.datasets import Batch, Faces, in_chunks, prefetched
from train.encoder.recipe import AugmentPart
from train.encoder.teacher import Teachers
from train.fitting.parts import FitPart

_ORDER, _VIEW, _LIGHT = range(3)
"""Streams of draws that must not follow each other."""
_CODES = "views.npz"


@dataclass(frozen=True)
class Drawn:
    """New views of some faces.

    Attributes:
        faces: int64 (n,), which.
        chips: uint8 (n, h, w, 3) RGB.
        alone: bool (n,), whether nobody else is in the view.
        codes: float32 (n, D), the teacher's; None without one.
    """

    faces: NDArray[np.int64]
    chips: Pixels
    alone: NDArray[np.bool_]
    codes: Floats | None


class Views:
    """Batches of one split's faces, epoch by epoch; the current view of every face is kept in memory."""

    def __init__(
        self,
        faces: Faces,
        preprocessing: Preprocessing,
        augment: AugmentPart,
        fit: FitPart,
        seed: int,
        teachers: Teachers | None = None,
        cache: Path | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            faces: what to learn from.
            preprocessing: of the encoder.
            augment: how views differ.
            fit: batch size, how long a view lasts, photos a person.
            seed: of all draws.
            teachers: give codes of the same view.
            cache: folder that keeps the teacher's codes for a run that is cut.

        Raises:
            InputError: no faces.
        """
        if not len(faces):
            raise InputError("chips: expected faces of people in train, found none; make another split")
        self.faces = faces
        self._preprocessing, self._augment, self._fit, self._seed = preprocessing, augment, fit, seed
        self._teachers, self._cache = teachers, cache
        # Where the teacher's code is the same for both, each use of a view may be mirrored or not.
        self._mirrored = augment.flip and (teachers is None or teachers.flip)
        self._shown = np.full(len(faces), -1, np.int64)
        self._alone = np.ones(len(faces), bool)
        self._chips: Pixels | None = None
        self._codes: Floats | None = None
        self._kept = self._read() if teachers is not None else None
        self._ahead = ThreadPoolExecutor(1, "views")
        self._coming: tuple[int, Future[Drawn]] | None = None
        self._closed = threading.Event()
        self.batch = min(fit.batch, len(self._order(0)))

    @property
    def steps(self) -> int:
        """Steps an epoch; what does not fill a batch is left to another epoch's shuffle."""
        return len(self._order(0)) // self.batch

    def epoch(self, number: int, last: bool = False) -> Generator[Batch, None, None]:
        """The batches of epoch ``number``, from 0, shuffled; meanwhile the next epoch's views are made."""
        coming = self._coming if self._coming and self._coming[0] == number else None
        self._take(coming[1].result() if coming else self._draw(number), number)
        self._coming = None if last else (number + 1, self._ahead.submit(self._draw, number + 1))
        order = self._order(number)

        def make(step: int) -> Batch:
            rng = np.random.default_rng([self._seed, _LIGHT, number, step])
            return self._make(order[step * self.batch : (step + 1) * self.batch], rng)

        return prefetched(make, range(self.steps))

    def save(self) -> None:
        """Keep the teacher's codes, so that a run that is cut need not ask again."""
        if self._cache is not None and self._codes is not None:
            with replacing(self._cache / _CODES) as draft, draft.open("wb") as stream:
                np.savez(stream, shown=self._shown, codes=self._codes)

    def close(self) -> None:
        """Stop making views ahead."""
        self._closed.set()
        self._ahead.shutdown(cancel_futures=True)

    def variant(self, number: int) -> NDArray[np.int64]:
        """Which of its views each face shows in epoch ``number``, int64 (N,)."""
        if not self._augment.moves:
            return np.zeros(len(self.faces), np.int64)
        phase = np.arange(len(self.faces), dtype=np.int64) % self._fit.repeats
        return (number + phase) // self._fit.repeats

    def _draw(self, number: int) -> Drawn:
        """The views that epoch ``number`` needs and the one before it has not."""
        wanted = self.variant(number)
        order = np.unique(self._order(number))
        new = order[wanted[order] != self._shown[order]]
        rounds = {int(v): self._moves(int(v)) for v in np.unique(wanted[new])}
        known = np.zeros(len(self.faces), bool) if self._kept is None else self._kept[0] == wanted
        groups = [new[(wanted[new] == v) & (known[new] == k)] for v in rounds for k in (False, True)]
        chunks = [chunk for group in groups for chunk in in_chunks(group)]

        def one(chunk: NDArray[np.int64]) -> Drawn:
            codes = self._kept[1][chunk] if self._kept and known[chunk[0]] else None
            return self._one(chunk, *rounds[int(wanted[chunk[0]])], codes)

        parts = []
        # What is made beside a training epoch does not speak.
        quiet = True if self._shown.max(initial=-1) >= 0 else None
        with tqdm(total=len(new), desc="views", unit="view", disable=quiet, delay=2, leave=False) as progress:
            for part in prefetched(one, chunks):
                if self._closed.is_set():
                    break
                parts.append(part)
                progress.update(len(part.faces))
        return _joined(parts, self._preprocessing.template.size_wh, self._teachers is not None)

    def _one(self, chunk: NDArray[np.int64], geometry: Geometry, morphs: Morphs, codes: Floats | None) -> Drawn:
        """Views of a few faces of one round, with the teacher's codes unless they are known."""
        geometry, morphs = geometry.take(chunk), morphs.take(chunk)
        asked = self._teachers if codes is None else None
        templates = [self._preprocessing.template, *(asked.templates if asked else [])]
        chips = self.faces.views(chunk, templates, geometry, morphs)
        if asked:
            codes = asked.encode(chips[1:])
        return Drawn(chunk, chips[0], morphs.partner == chunk, codes)

    def _take(self, drawn: Drawn, number: int) -> None:
        """Let new views take the place of the old ones."""
        if not len(drawn.faces):
            return
        if self._chips is None:
            self._chips = np.zeros((len(self.faces), *drawn.chips.shape[1:]), np.uint8)
            if drawn.codes is not None:
                self._codes = np.zeros((len(self.faces), drawn.codes.shape[1]), np.float32)
        self._chips[drawn.faces], self._alone[drawn.faces] = drawn.chips, drawn.alone
        if self._codes is not None and drawn.codes is not None:
            self._codes[drawn.faces] = drawn.codes
        self._shown[drawn.faces] = self.variant(number)[drawn.faces]
        self._kept = None

    def _make(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        assert self._chips is not None
        clean = self._chips[chosen]
        if self._mirrored:
            mirrored = rng.random(len(clean)) < 0.5
            clean[mirrored] = clean[mirrored, :, ::-1]
        seen = photometric(clean, self._augment, rng)
        person = np.where(self._alone[chosen], self.faces.person[chosen], -1)
        targets: dict[str, NDArray[Any]] = {
            "clean": np.asarray(self._preprocessing.reorder(clean), np.float32) / np.float32(255),
            "person": person.astype(np.int32),
        }
        if self._teachers is not None and self._codes is not None:
            targets |= self._teachers.targets(self._codes[chosen])
        return Batch(self._preprocessing.as_float(seen), targets)

    def _moves(self, variant: int) -> tuple[Geometry, Morphs]:
        """One round of views: a move and perhaps a partner for every face."""
        rng = np.random.default_rng([self._seed, _VIEW, variant])
        geometry = draw_geometry(self._augment, len(self.faces), rng)
        if self._mirrored:
            geometry.flip[:] = False
        return geometry, draw_morphs(self._augment, len(self.faces), rng)

    def _order(self, number: int) -> NDArray[np.int64]:
        """Shuffled faces of one epoch, int64, once for each pass; at most ``photos_a_person`` of anybody in one."""
        rng = np.random.default_rng([self._seed, _ORDER, number])
        return np.concatenate([self._pass(rng) for _ in range(self._fit.passes)])

    def _pass(self, rng: np.random.Generator) -> NDArray[np.int64]:
        order = rng.permutation(len(self.faces)).astype(np.int64)
        limit, photos = self._fit.photos_a_person, self._fit.photos or len(order)
        if not limit:
            return order[:photos]
        person = self.faces.person[order]
        rank = np.zeros(len(order), np.int64)
        seen: dict[int, int] = {}
        for position, who in enumerate(person.tolist()):
            rank[position] = seen.get(who, 0) if who >= 0 else 0
            seen[who] = seen.get(who, 0) + 1
        return order[rank < limit][:photos]

    def _read(self) -> tuple[NDArray[np.int64], Floats] | None:
        """Codes of a run that was cut; None where there are none that fit."""
        if self._cache is None:
            return None
        try:
            with np.load(self._cache / _CODES, allow_pickle=False) as archive:
                shown, codes = archive["shown"], archive["codes"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return (shown, codes) if len(shown) == len(codes) == len(self.faces) else None


def _joined(parts: list[Drawn], size_wh: tuple[int, int], taught: bool) -> Drawn:
    if not parts:
        nothing = np.zeros((0, size_wh[1], size_wh[0], 3), np.uint8)
        return Drawn(np.zeros(0, np.int64), nothing, np.zeros(0, bool), None)
    return Drawn(
        np.concatenate([part.faces for part in parts]),
        np.concatenate([part.chips for part in parts]),
        np.concatenate([part.alone for part in parts]),
        np.concatenate([part.codes for part in parts if part.codes is not None]) if taught else None,
    )
