"""Folders of photos, and which people of them fit, choose, measure, or stand for strangers."""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.errors import InputError, UsageError
from edge_runtime.gallery.names import folded
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.folder import list_images
from train.data.holdout import part_of

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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command has which goes through folders of photos."""
    parser.add_argument("--split", metavar="CSV", help="columns person and split; default: by a hash of the name")
    parser.add_argument("--unlabelled", action="store_true", help="nobody knows who is who: no names, all for training")
    parser.add_argument(
        "--hold-out",
        action="store_true",
        help="of --unlabelled: a sixth each to the splits cohort and check, by a hash of the file's name",
    )
    parser.add_argument("--leave-out", metavar="FILE", help="pictures to pass over: paths below --data, one a line")
    parser.add_argument("--source", metavar="TEXT", help="what the photos are, and their licence, for the model card")
    parser.add_argument("--seed", type=int, default=0, help="of the split made without --split (default: 0)")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N pictures, for a trial")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all)")


def check_options(args: argparse.Namespace) -> Path:
    """The file to write, ``args.out``, once it and the options of ``add_options`` are seen to make sense.

    Raises:
        UsageError: they do not.
    """
    if args.jobs < 1 or (args.limit is not None and args.limit < 1):
        raise UsageError("--jobs and --limit: expected at least 1")
    if args.unlabelled and args.split:
        raise UsageError("--unlabelled and --split: expected one of them; photos without names cannot be split by name")
    if args.hold_out and not args.unlabelled:
        raise UsageError("--hold-out: expected together with --unlabelled; photos with names are split by name")
    out = Path(args.out)
    if out.is_dir() or out.suffix != ".npz":
        raise UsageError(f"--out {out}: expected the name of an .npz file")
    return out


def splits_of(photos: Sequence[Photo], csv_path: str | None = None, seed: int = 0, hold_out: bool = False) -> list[str]:
    """The split of each of ``photos``: by a file or else by a hash of the person.

    Photos without names are for training, but for a third of them with ``hold_out`` (``train.data.holdout``).
    """
    people = sorted({photo.person for photo in photos})
    if people == [""]:
        return [part_of(photo.path.name) if hold_out else "train" for photo in photos]
    chosen = read_split(csv_path, people) if csv_path else split(people, seed)
    return [chosen[photo.person] for photo in photos]


def find_photos(root: Path, unlabelled: bool = False, leave_out: str | Path | None = None) -> list[Photo]:
    """Every picture below ``root`` with its person, sorted.

    Args:
        root: a folder that holds one folder a person; with ``unlabelled``, any folder of pictures.
        unlabelled: give nobody a name.
        leave_out: a file that names pictures to pass over, relative to ``root``, POSIX, one a line.

    Raises:
        InputError: no such folder, no pictures, not a single folder of a person, or a picture to leave out that
            is not there.
    """
    photos, loose = [], []
    unwanted = _listed(leave_out) if leave_out else set()
    for path in list_images(root, _tell):
        relative = path.relative_to(root)
        if relative.as_posix() in unwanted:
            unwanted.remove(relative.as_posix())
            continue
        if unlabelled or len(relative.parts) > 1:
            photos.append(Photo(path, relative.as_posix(), "" if unlabelled else relative.parts[0]))
        else:
            loose.append(path)
    if unwanted:
        raise InputError(
            f"{leave_out}: expected pictures below {root}, found no {min(unwanted)} there "
            f"({len(unwanted)} absent in all); name them as they lie there"
        )
    if photos and loose:
        print(f"{loose[0]}: in no person's folder, passed over ({len(loose)} in all)", file=sys.stderr)
    if not photos:
        raise InputError(
            f"{root}: expected a folder per person with photos in it, found loose pictures only; "
            f"move them to {root}/NAME/"
        )
    return photos if unlabelled else _one_each(photos)


def _tell(line: str) -> None:
    print(f"train: note: {line}", file=sys.stderr)


def _one_each(photos: list[Photo]) -> list[Photo]:
    """The same, with one name for all folders that are the same person's; a file under two people is told.

    Names are compared as a gallery does: neither case, nor composition (Unicode NFC, NFD), nor spaces around count.
    """
    folders = defaultdict[str, dict[str, None]](dict)
    for photo in photos:
        folders[folded(photo.person)][photo.person] = None
    for written in folders.values():
        if len(written) > 1:
            _tell(f"the folders {' and '.join(map(repr, written))} are one person's")
    names = {
        key: " ".join(unicodedata.normalize("NFC", next(iter(written))).split()) for key, written in folders.items()
    }
    merged = [replace(photo, person=names[folded(photo.person)] or photo.person) for photo in photos]
    for one, another in _same_files(merged):
        _tell(f"{one.relative} and {another.relative} are the same file, of two people; delete the wrong one")
    return merged


def _same_files(photos: Sequence[Photo]) -> list[tuple[Photo, Photo]]:
    """Pictures whose files are equal and whose people are not, each with the first of its kind."""
    sizes, first, found = defaultdict[int, list[Photo]](list), dict[bytes, Photo](), list[tuple[Photo, Photo]]()
    for photo in photos:
        sizes[photo.path.stat().st_size].append(photo)
    for alike in sizes.values():
        if len({photo.person for photo in alike}) < 2:
            continue
        for photo in alike:
            other = first.setdefault(hashlib.sha256(photo.path.read_bytes()).digest(), photo)
            if other.person != photo.person:
                found.append((other, photo))
    return found


def _listed(path: str | Path) -> set[str]:
    try:
        return set(Path(path).read_text(encoding="utf-8").split("\n")) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a list of pictures, one a line, cannot read it ({error})") from error


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
    chosen = {folded(name): part for name, part in rows}
    if len(chosen) != len(rows):
        raise InputError(f"{path}: expected each person once, found somebody twice; make the split identity-disjoint")
    if wrong := sorted({name for name in chosen.values() if name not in SPLITS}, key=str):
        raise InputError(f"{path}: expected the splits {', '.join(SPLITS)}, found {wrong[0]!r}")
    if absent := [person for person in people if folded(person) not in chosen]:
        raise InputError(
            f"{path}: expected a row for every person, found none for {absent[0]!r} "
            f"({len(absent)} people in all); add them"
        )
    parts = {person: chosen[folded(person)] for person in people}
    if "train" not in parts.values():
        raise InputError(f"{path}: expected somebody in train, found nobody of the {len(people)} people there")
    return parts
