"""``python -m train cluster``: who appears on the photos of an album that nobody has labelled, and how often.

Average linkage over cosines: two groups become one while the mean cosine between their photos is above a threshold.
"""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, bundle_path
from edge_runtime.errors import ImageError, InputError, UsageError
from edge_runtime.pictures.reader import read_image
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.data.files import check_new_folder
from train.evaluation.recognition import Photos, load_codes, load_split, percent

MOST = 15_000
"""Faces: the cosines of all pairs are held in memory, 1.8 GB as float64."""
_PAIRS_ABOVE = 0.01
"""Share of the bundle's pairs of strangers that the threshold lets pass."""
_ON_A_SHEET = 24
_SHEETS = 60
_TILE = 112
_AROUND = 1.35
"""Side of what is shown of a photo, in sides of the face's box."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train cluster``."""
    parser.add_argument("codes", type=Path, metavar="CODES.npz", help="of familiar embed DIR, one face a photo")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for clusters.csv and sheets")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="the photos, for a contact sheet a person")
    parser.add_argument(
        "--threshold", type=float, metavar="COSINE", help="mean cosine above which groups join (default: of --bundle)"
    )
    parser.add_argument(
        "--bundle", metavar="BUNDLE", help="whose strangers say what people are like who are not the same"
    )
    labels = parser.add_argument_group("to measure it: the folder of each photo says who it is")
    labels.add_argument("--split", type=Path, metavar="CSV", help="each person's split (columns person, split)")
    labels.add_argument("--people", metavar="SPLIT", help="only people of this split, and figures against the folders")


def run(args: argparse.Namespace) -> int:
    """Cluster, write, print."""
    if bool(args.split) != bool(args.people):
        raise UsageError("--split and --people: expected both or neither, received one")
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise UsageError(f"--threshold {args.threshold}: expected a cosine between 0 and 1")
    check_new_folder(args.out)
    photos = _faces(load_codes(args.codes), args.split, args.people)
    threshold = args.threshold or bundle_threshold(Bundle(args.bundle or bundle_path(Config())), photos)
    groups = cluster(photos.codes, threshold)
    sizes = np.bincount(groups)
    with replacing_folder(args.out) as draft:
        (draft / "clusters.csv").write_text(listing(photos, groups), encoding="utf-8")
        if args.photos:
            _write_sheets(draft, args.photos, args.codes, photos, groups)
    often = ", ".join(str(size) for size in sizes[:10])
    print(f"{args.out}: {len(groups):,} faces of {len(sizes):,} people (cosine above {threshold:.3f})")
    print(f"{int((sizes == 1).sum()):,} people are on one photo; the most frequent on {often}")
    if args.people:
        print("\n".join(agreement(photos.names, groups).lines()))
    return 0


def _faces(photos: Photos, split: Path | None, people: str | None) -> Photos:
    """The photos with a face, of the people asked for."""
    kept = np.asarray(photos.codes.any(1))
    if split:
        splits = load_split(split)
        kept &= np.array([splits.get(name) == people for name in photos.names.tolist()])
    if not 2 <= kept.sum() <= MOST:
        raise InputError(
            f"codes: expected 2 to {MOST:,} photos with a face, found {kept.sum():,}; embed an album in parts"
        )
    return photos.select(kept)


def bundle_threshold(bundle: Bundle, photos: Photos) -> float:
    """The cosine that one in a hundred pairs of a bundle's strangers exceeds.

    Raises:
        InputError: codes of another length than the bundle's.
    """
    strangers = bundle.strangers()
    if strangers.shape[1] != photos.codes.shape[1]:
        raise InputError(
            f"{bundle.path}: expected a bundle whose codes have {photos.codes.shape[1]} numbers, found "
            f"{strangers.shape[1]}; name the bundle they were made with, or a --threshold"
        )
    cosines = (strangers @ strangers.T)[np.triu_indices(len(strangers), 1)]
    return float(np.quantile(cosines, 1 - _PAIRS_ABOVE))


def cluster(codes: Floats, threshold: float) -> NDArray[np.int64]:
    """Who is on each photo: a number from 0, the most frequent person first.

    Args:
        codes: float32 (N, D) of unit length.
        threshold: groups join while the mean cosine between them is above it.
    """
    from sklearn.cluster import AgglomerativeClustering

    distances = np.maximum(1 - codes @ codes.T, 0).astype(np.float64)
    joined = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    labels = joined.fit_predict(distances)
    rank = np.argsort(np.argsort(-np.bincount(labels), kind="stable"))
    return np.asarray(rank[labels], np.int64)


@dataclass(frozen=True)
class Agreement:
    """How clusters agree with who the photos show.

    Attributes:
        pairs: precision and recall over pairs of photos, whether they show one person.
        bcubed: precision and recall averaged over photos (Amigo et al., "A comparison of extrinsic clustering
            evaluation metrics", 2009): of a photo's cluster the share that is that person, and of that person's
            photos the share in the cluster.
        people: how many there are.
    """

    pairs: tuple[float, float]
    bcubed: tuple[float, float]
    people: int

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = [f"the folders tell {self.people:,} people apart"]
        for name, (precision, recall) in (("pairwise", self.pairs), ("BCubed", self.bcubed)):
            figures = f"F {percent(_harmonic(precision, recall))}, precision {percent(precision)}"
            lines.append(f"{name:<9} {figures}, recall {percent(recall)}")
        return lines


def agreement(names: NDArray[np.str_], groups: NDArray[np.int64]) -> Agreement:
    """Compare clusters (N,) with the true names (N,)."""
    people, truth = np.unique(names, return_inverse=True)
    together = np.zeros((len(people), int(groups.max()) + 1), np.int64)
    np.add.at(together, (truth, groups), 1)

    def pairs(counts: NDArray[np.int64]) -> int:
        return int((counts * (counts - 1) // 2).sum())

    right, said, true = pairs(together), pairs(together.sum(0)), pairs(together.sum(1))
    share = together.astype(np.float64) ** 2 / len(names)
    precision, recall = share / together.sum(0), share / together.sum(1, keepdims=True)
    return Agreement(
        (right / said if said else 1.0, right / true if true else 1.0),
        (float(precision.sum()), float(recall.sum())),
        len(people),
    )


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def listing(photos: Photos, groups: NDArray[np.int64]) -> str:
    """CSV text: person, photos of that person, path; the photo nearest to a person's mean comes first."""
    sizes = np.bincount(groups)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["person", "photos", "path"])
    for group in range(len(sizes)):
        rows.writerows((group + 1, sizes[group], photos.paths[k]) for k in _nearest(photos.codes, groups, group))
    return text.getvalue()


def _nearest(codes: Floats, groups: NDArray[np.int64], group: int) -> NDArray[np.int64]:
    """Indices of a group's photos, that nearest to its mean first."""
    members = np.flatnonzero(groups == group)
    return members[np.argsort(-(codes[members] @ codes[members].mean(0)), kind="stable")]


def _write_sheets(folder: Path, album: Path, codes_path: Path, photos: Photos, groups: NDArray[np.int64]) -> None:
    """A picture for each of the most frequent people, and one of everybody's best photo."""
    with np.load(codes_path, allow_pickle=False) as archive:
        boxes = dict(zip(archive["paths"].tolist(), archive["xyxy"], strict=True))
    best: list[Pixels] = []
    for group in range(min(int(groups.max()) + 1, _SHEETS)):
        chosen = photos.paths[_nearest(photos.codes, groups, group)[:_ON_A_SHEET]]
        tiles = [_tile(album / path, boxes[path]) for path in chosen.tolist()]
        best.append(tiles[0])
        if len(tiles) > 1:
            _write_sheet(folder / f"person-{group + 1:03d}.png", tiles)
    _write_sheet(folder / "people.png", best)


def _tile(path: Path, box: Floats) -> Pixels:
    """The face of a photo with what is around it, uint8 (_TILE, _TILE, 3); grey where the photo cannot be read."""
    try:
        pixels = read_image(path)
    except ImageError:
        return np.full((_TILE, _TILE, 3), 128, np.uint8)
    side = _AROUND * max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0)
    corner = [(float(box[k]) + float(box[k + 2]) - side) / 2 for k in range(2)]
    scale = _TILE / side
    matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    return np.asarray(cv2.warpAffine(pixels, matrix, (_TILE, _TILE), flags=cv2.INTER_AREA), np.uint8)


def _write_sheet(path: Path, tiles: list[Pixels]) -> None:
    columns = min(len(tiles), 8)
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows, columns, _TILE, _TILE, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        sheet[k // columns, k % columns] = tile
    picture = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * _TILE, columns * _TILE, 3)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
