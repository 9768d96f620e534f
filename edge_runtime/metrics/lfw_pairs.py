"""Pairs of photos in the way of Labeled Faces in the Wild (Huang et al., 2007): same person or not, in folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of photos.

    Attributes:
        left, right: photo keys, as ``NAME/NAME_0001`` (see ``photo_key``).
        same: bool (P,), whether both show one person.
        fold: int64 (P,), counted from 1.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.left)

    def select(self, folds: Sequence[int]) -> Pairs:
        """The pairs of some folds.

        Raises:
            InputError: a fold that is not there.
        """
        there = set(self.fold.tolist())
        if not folds or not set(folds) <= there:
            raise InputError(f"folds: expected some of {min(there)} to {max(there)}, received {list(folds)}")
        keep = np.flatnonzero(np.isin(self.fold, list(folds)))
        return Pairs(
            tuple(self.left[i] for i in keep), tuple(self.right[i] for i in keep), self.same[keep], self.fold[keep]
        )

    def people(self) -> set[str]:
        """Everybody whom the pairs name."""
        return {key.partition("/")[0] for key in (*self.left, *self.right)}

    def indices(self, paths: Sequence[str], allow_missing: bool = False) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the pairs' photos stand in ``paths``: two int64 (P,); -1 for a missing one where that is allowed.

        Raises:
            InputError: a photo of a pair is not in ``paths``.
        """
        where = {photo_key(path): i for i, path in enumerate(paths)}
        missing = sorted({key for key in (*self.left, *self.right) if key not in where})
        if missing and not allow_missing:
            raise InputError(
                f"pairs: expected codes of every photo named, found none of {missing[0]} and {len(missing) - 1} "
                "others; embed all photos, or name only folds that were"
            )
        left, right = ([where.get(key, -1) for key in side] for side in (self.left, self.right))
        return np.asarray(left, np.int64), np.asarray(right, np.int64)


def photo_key(path: str) -> str:
    """``…/NAME/NAME_0001.jpg`` as ``NAME/NAME_0001``: person and photo, whatever folder and kind of file."""
    pure = PurePosixPath(path)
    return f"{pure.parent.name}/{pure.stem}"


def parse_pairs(text: str, where: str = "pairs") -> Pairs:
    r"""Read LFW's View-2 format: ``folds\tcount``, then per fold ``count`` same and ``count`` different lines.

    A same line is ``NAME\tn\tm``, a different line ``NAME\tn\tNAME\tm``.

    Args:
        text: the whole file.
        where: its name, for the error line.

    Raises:
        InputError: anything else, with the number of the line.
    """
    lines = [line.split("\t") if "\t" in line else line.split() for line in text.splitlines() if line.strip()]
    try:
        folds, count = (int(value) for value in lines[0])
    except (IndexError, ValueError):
        raise InputError(f"{where}: expected a first line of folds and pairs, as '10 300', found another") from None
    if folds < 1 or count < 1 or len(lines) != 1 + 2 * folds * count:
        raise InputError(
            f"{where}: expected {folds} folds of {count} same and {count} different lines, "
            f"found {len(lines) - 1} lines; take the whole file"
        )
    number = np.arange(len(lines) - 1)
    same = number % (2 * count) < count
    sides: tuple[list[str], list[str]] = ([], [])
    for i, fields in enumerate(lines[1:]):
        if len(fields) != (3 if same[i] else 4) or not all(
            fields[k].isdigit() for k in ((1, 2) if same[i] else (1, 3))
        ):
            form = "NAME n m" if same[i] else "NAME n NAME m"
            raise InputError(f"{where}, pair {i + 1}: expected {form!r}, found {' '.join(fields)[:80]!r}")
        sides[0].append(_key(fields[0], fields[1]))
        sides[1].append(_key(fields[0] if same[i] else fields[2], fields[-1]))
    return Pairs(tuple(sides[0]), tuple(sides[1]), same, number // (2 * count) + 1)


def _key(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"


def make_pairs(
    names: Sequence[str], seed: int = 0, folds: int = 10, per_person: int = 10
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Pairs of photos that come without a list of pairs: as many same as different ones, and no person in two folds.

    Same pairs are all of a person's, at most ``per_person`` drawn from them, so that somebody with a hundred
    photos does not decide; a different pair draws two people of the fold first, then a photo of each.

    Args:
        names: the person of each of N photos.
        seed: of the draws.
        folds: how many; fewer where there are not two people with two photos for each.
        per_person: the most same pairs of one person.

    Returns:
        left, right: int64 (P,), indices into ``names``; same: bool (P,); fold: int64 (P,), from 1.

    Raises:
        InputError: fewer than four people, or fewer than two with two photos.
    """
    rng = np.random.default_rng(seed)
    photos: dict[str, NDArray[np.int64]] = {
        name: np.flatnonzero(np.asarray(names, str) == name) for name in sorted(set(names))
    }
    several = [name for name in photos if len(photos[name]) > 1]
    single = [name for name in photos if len(photos[name]) == 1]
    if len(photos) < 4 or len(several) < 2:
        raise InputError(
            f"pairs: expected four people, two of them with two photos, found {len(photos)} and {len(several)}; "
            "take photos of more people"
        )
    count = max(2, min(folds, len(several) // 2))
    dealt = [*rng.permutation(several), *rng.permutation(single)]
    rows: list[tuple[int, int, bool, int]] = []
    for fold in range(count):
        people = dealt[fold::count]
        same = []
        for name in people:
            i, j = np.triu_indices(len(photos[name]), 1)
            drawn = rng.permutation(len(i))[:per_person]
            same += list(zip(photos[name][i[drawn]], photos[name][j[drawn]], strict=True))
        rows += [(int(a), int(b), True, fold + 1) for a, b in same]
        for _ in same:
            a, b = (rng.choice(photos[name]) for name in rng.choice(people, 2, replace=False))
            rows.append((int(a), int(b), False, fold + 1))
    left, right, kinds, fold_of = zip(*rows, strict=True)
    return np.asarray(left), np.asarray(right), np.asarray(kinds, bool), np.asarray(fold_of)
