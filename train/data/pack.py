"""``python -m train pack``: chips in files small enough to be carried to a machine that lends its accelerator.

A pack is a chips file like any other, for ``fit --chips`` and ``--also``: its crops have fewer pixels and more loss,
and are enlarged again when they are opened.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError, UsageError
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.chips import CROP_TEMPLATE, Chips
from train.data.archive import encoded
from train.data.chips import Crop, write_chips

_FITTED = "train,select"
_ROW_BYTES = 1024
"""More than a face takes beside its picture: names, split, paths and landmarks, uncompressed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train pack``."""
    parser.add_argument("chips", type=Path, metavar="FILE", help="a chips file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for NAME-0.npz, NAME-1.npz, …")
    parser.add_argument("--mib", type=float, default=50, help="largest size of a file (default: 50)")
    parser.add_argument("--side", type=int, default=112, metavar="PX", help="side of a crop (default: 112)")
    parser.add_argument("--quality", type=int, default=90, help="of its JPEG (default: 90)")
    parser.add_argument("--splits", default=_FITTED, help=f"faces to take along (default: {_FITTED})")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    splits = args.splits.split(",")
    if unknown := sorted(set(splits) - set(SPLITS)):
        raise UsageError(f"--splits: expected some of {', '.join(SPLITS)}, received {unknown[0]!r}")
    if not 16 <= args.side <= CROP_TEMPLATE.size_wh[0] or not 1 <= args.quality <= 100 or args.mib <= 0:
        raise UsageError(
            f"--side, --quality, --mib: expected 16 to {CROP_TEMPLATE.size_wh[0]} px, 1 to 100, and a size above 0"
        )
    for path, faces in pack(Chips.load(args.chips), args.out, splits, args.mib, args.side, args.quality):
        print(f"{path}: {faces} faces, {path.stat().st_size / 2**20:.1f} MiB")
    return 0


def pack(
    chips: Chips, folder: Path, splits: Sequence[str], mib: float, side: int = 112, quality: int = 90
) -> list[tuple[Path, int]]:
    """Write the faces of some splits in files of at most ``mib`` MiB, in the order they have.

    Returns:
        each file and how many faces it holds.

    Raises:
        InputError: no such faces.
    """
    index = np.flatnonzero(np.isin(chips.split, list(splits))).astype(np.int64)
    if not len(index):
        raise InputError(f"{chips.path}: expected faces of {', '.join(splits)}, found none; name other splits")
    jpegs = [_smaller(chips, int(i), side, quality) for i in index]
    sizes = np.cumsum([len(jpeg) + _ROW_BYTES for jpeg in jpegs])
    # Even parts, as many as are needed.
    parts = int(np.ceil(sizes[-1] / (mib * 2**20)))
    part = np.minimum(sizes * parts // (sizes[-1] + 1), parts - 1)
    written = []
    for number in range(parts):
        mine = np.flatnonzero(part == number)
        path = folder / f"{chips.path.stem}-{number}.npz"
        _write(path, chips, index[mine], [jpegs[i] for i in mine])
        written.append((path, len(mine)))
    return written


def _smaller(chips: Chips, index: int, side: int, quality: int) -> bytes:
    crop = cv2.resize(chips.crop(index), (side, side), interpolation=cv2.INTER_AREA)
    return encoded(np.asarray(crop, np.uint8), quality)


def _write(path: Path, chips: Chips, index: NDArray[np.int64], jpegs: Sequence[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    crops = [Crop(jpeg, points) for jpeg, points in zip(jpegs, chips.landmarks[index], strict=True)]
    names, split, paths = (column[index].tolist() for column in (chips.names, chips.split, chips.paths))
    write_chips(path, crops, names, split, paths, chips.detector, chips.source)
