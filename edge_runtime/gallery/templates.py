"""What a gallery holds, as values: people, their templates, and the arrays a matcher works on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise, summed
from edge_runtime.types import Floats


@dataclass(frozen=True, slots=True)
class Part:
    """Somebody who was enrolled by another name, and is the same person.

    Attributes:
        person_id: opaque, their own.
        templates: how many of the person's are theirs.
        expires: seconds since the Unix epoch after which these are forgotten; None: with the person.
    """

    person_id: str
    name: str
    templates: int
    expires: float | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled.

    Attributes:
        person_id: opaque; stays when the name changes.
        templates: how many embeddings are kept of them.
        added: seconds since the Unix epoch; None: that was damaged.
        consent: what they agreed to, as somebody noted it; "": nothing noted.
        expires: seconds since the Unix epoch after which they are forgotten; None: never.
        merged: those who were merged into them.
    """

    person_id: str
    name: str
    templates: int
    added: float | None
    consent: str = ""
    expires: float | None = None
    merged: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateRecord:
    """One enrolled embedding, without the embedding itself.

    Attributes:
        source: where it came from, as the enroller named it.
        weight: what it counts in its person's average, > 0.
        added: seconds since the Unix epoch; None: that was damaged.
        forced: what spoke against it where somebody insisted on it, or None.
        crop: whether a small picture of the face is kept.
    """

    template_id: int
    source: str
    weight: float
    added: float | None
    forced: str | None = None
    crop: bool = False


@dataclass(frozen=True, slots=True)
class NegativeRecord:
    """One view that was named wrongly, without its embedding.

    Attributes:
        source: which one, for people to read.
        added: seconds since the Unix epoch; None: that was damaged.
    """

    negative_id: int
    source: str
    added: float | None


@dataclass(frozen=True)
class Templates:
    """Every embedding of a gallery at one moment.

    Attributes:
        names: P names, in the order the people were added.
        person_index: int64 (T,), into ``names``.
        embeddings: float32 (T, D) of unit length.
        weights: float32 (T,), > 0.
        ids: int64 (T,), the gallery's template ids.
        negatives: float32 (K, D) of unit length: views that were named wrongly.
        negative_index: int64 (K,), into ``names``: whose name each got.
    """

    names: tuple[str, ...]
    person_index: NDArray[np.int64]
    embeddings: Floats
    weights: Floats
    ids: NDArray[np.int64]
    negatives: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    negative_index: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or self.embeddings.dtype != np.float32:
            raise InputError(
                f"codes: expected float32 (T, D), received {self.embeddings.dtype} {self.embeddings.shape}"
            )
        count = len(self.embeddings)
        for name in ("person_index", "weights", "ids"):
            if getattr(self, name).shape != (count,):
                raise InputError(f"{name}: expected ({count},), received {getattr(self, name).shape}")
        if count and not 0 <= self.person_index.min() <= self.person_index.max() < len(self.names):
            raise InputError(f"person_index: expected 0 to {len(self.names) - 1}, received one outside")

    @classmethod
    def empty(cls, embedding_size: int) -> Templates:
        nothing = np.zeros(0, np.int64)
        return cls((), nothing, np.zeros((0, embedding_size), np.float32), np.zeros(0, np.float32), nothing)

    def person_embeddings(self) -> Floats:
        """float32 (P, D): each person's weighted average at unit length; zero where there is nothing to average."""
        return normalise(self._sums())[0]

    def rest(self) -> Floats:
        """float32 (T, D): for each embedding the weighted average of its person's others, zero where there is none."""
        return normalise(self._sums()[self.person_index] - self.embeddings * self.weights[:, None])[0]

    def plus(self, name: str, embedding: Floats, weight: float, template_id: int) -> Templates:
        """The same with one embedding (D,) more, of a person of exactly this name or a new one."""
        names = self.names if name in self.names else (*self.names, name)
        return Templates(
            names,
            np.append(self.person_index, names.index(name)),
            np.concatenate([self.embeddings, embedding[None].astype(np.float32)]),
            np.append(self.weights, np.float32(weight)),
            np.append(self.ids, template_id),
            self.negatives,
            self.negative_index,
        )

    def person_means(self) -> Floats:
        """float32 (P, D): the same averages as they are, the shorter the more a person's photos differ."""
        total = np.zeros(len(self.names), np.float32)
        np.add.at(total, self.person_index, self.weights)
        return np.asarray(self._sums() / np.maximum(total, np.float32(1e-9))[:, None])

    def _sums(self) -> Floats:
        return summed(self.embeddings * self.weights[:, None], self.person_index, len(self.names))


@dataclass(frozen=True, slots=True)
class Damage:
    """What a gallery holds that does not open any more; everything else is used.

    Attributes:
        people: whose key or name is unreadable, so that they get no name.
        photos: that are not compared with.
        values: notes, dates, pictures and lines of the audit; nothing that names are decided by.
    """

    people: int = 0
    photos: int = 0
    values: int = 0

    def __bool__(self) -> bool:
        return bool(self.people or self.photos or self.values)

    def __str__(self) -> str:
        counts = ((self.people, "people"), (self.photos, "photos"), (self.values, "other values"))
        return ", ".join(f"{count} {what}" for count, what in counts if count)
