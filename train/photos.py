"""Folders of photos, and which people of them fit, choose, measure, or stand for strangers."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.images import list_images
from train.chips import SPLITS

_SHARES = (("train", 0.70), ("select", 0.80), ("final", 0.90), ("cohort", 1.0))
"""Upper bounds of a name's hash, 0..1, for a split made without a file."""


@dataclass(frozen=True)
class Photo:
    """One picture of the data.

    Attributes:
        path: where it lies.
        relative: the same below the data's folder, POSIX.
        person: name of the folder it is in; empty where nobody knows.
    """

    path: Path
    relative: str
    person: str


def find_photos(root: Path, unlabelled: bool = False) -> list[Photo]:
    """Every picture below ``root`` with its person, sorted.

    Args:
        root: a folder that holds one folder a person; with ``unlabelled``, any folder of pictures.
        unlabelled: give nobody a name.

    Raises:
        InputError: no such folder, no pictures, or not a single folder of a person.
    """
    photos, loose = [], []
    for path in list_images(root):
        relative = path.relative_to(root)
        if unlabelled or len(relative.parts) > 1:
            photos.append(Photo(path, relative.as_posix(), "" if unlabelled else relative.parts[0]))
        else:
            loose.append(path)
    if photos and loose:
        print(f"{loose[0]}: in no person's folder, passed over ({len(loose)} in all)", file=sys.stderr)
    if not photos:
        raise InputError(
            f"{root}: expected a folder per person with photos in it, found loose pictures only; "
            f"move them to {root}/NAME/"
        )
    return photos


def split(people: Sequence[str], seed: int) -> dict[str, str]:
    """Give each person to one split by a hash of seed and name: 70 % train, 10 % each of the others.

    A person stays where they are when others are added. Somebody is always in ``train``, and with two people
    or more somebody is in ``select``.
    """
    shares = {
        person: int.from_bytes(hashlib.sha256(f"{seed}:{person}".encode()).digest()[:8], "big") / 2**64
        for person in people
    }
    chosen = {person: next(name for name, bound in _SHARES if share < bound) for person, share in shares.items()}
    ranked = sorted(people, key=lambda person: shares[person])
    chosen[ranked[0]] = "train"
    if len(people) > 1 and "select" not in chosen.values():
        training = [person for person in ranked if chosen[person] == "train"]
        chosen[training[-1] if len(training) > 1 else ranked[-1]] = "select"
    return chosen


def read_split(path: str | Path, people: Sequence[str]) -> dict[str, str]:
    """The split of each of ``people`` from a CSV with the columns ``person`` and ``split``.

    Raises:
        InputError: unreadable, columns missing, an unknown split, a person twice or not at all, or nobody in train.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if not {"person", "split"} <= set(reader.fieldnames or ()):
                raise InputError(
                    f"{path}: expected the columns person and split, found {', '.join(reader.fieldnames or ())!r}"
                )
            rows = [(row["person"], row["split"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file with person and split, cannot read it ({error})") from error
    chosen = dict(rows)
    if len(chosen) != len(rows):
        raise InputError(f"{path}: expected each person once, found somebody twice; make the split identity-disjoint")
    if wrong := sorted({name for name in chosen.values() if name not in SPLITS}, key=str):
        raise InputError(f"{path}: expected the splits {', '.join(SPLITS)}, found {wrong[0]!r}")
    if absent := [person for person in people if person not in chosen]:
        raise InputError(
            f"{path}: expected a row for every person, found none for {absent[0]!r} "
            f"({len(absent)} people in all); add them"
        )
    if not any(chosen[person] == "train" for person in people):
        raise InputError(f"{path}: expected somebody in train, found nobody of the {len(people)} people there")
    return chosen
