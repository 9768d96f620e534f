"""``python -m train prepare``: a folder per person in, one chips file out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
from tqdm import tqdm

from edge_runtime.config import Config, bundle_path
from edge_runtime.decision.tail import FEWEST_TO_FIT
from edge_runtime.detectors import open_detector
from edge_runtime.errors import FamiliarError, ImageError, InputError
from edge_runtime.faces.chain import central_face
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.reader import read_image
from edge_runtime.protocols import Detector
from edge_runtime.storage.files import write_whole
from edge_runtime.system.workers import spread
from edge_runtime.types import Detections, Pixels
from train.data.chips import Crop, make_crop, write_chips
from train.data.photos import Photo, add_options, check_options, find_photos, splits_of

LFW_URL = "http://vis-www.cs.umass.edu/lfw/lfw-deepfunneled.tgz"
LFW_MD5 = "68331da3eb755a505a502b5aacb3c201"
_LFW_SOURCE = "Labeled Faces in the Wild, deep-funneled (research use)"
_SHOWN = 5
_CHUNK = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="DIR|lfw", help="a folder per person; lfw downloads LFW")
    parser.add_argument("--out", required=True, metavar="FILE", help="the chips file to write (.npz)")
    parser.add_argument(
        "--detector", metavar="NAME", help="bundle:FOLDER or yunet:FILE.onnx (default: the released bundle's)"
    )
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    out = check_options(args)
    root = download_lfw() if args.data == "lfw" else Path(args.data)
    source = args.source or (_LFW_SOURCE if args.data == "lfw" else f"photos of the folder {root.resolve().name}")
    photos = find_photos(root, args.unlabelled, args.leave_out)[: args.limit]
    splits = splits_of(photos, args.split, args.seed, args.hold_out)
    noted = _note_few_strangers(dict(zip((photo.person for photo in photos), splits, strict=True)))
    detector = args.detector or f"bundle:{bundle_path(Config())}"
    detector_name = open_detector(detector).name
    found = find_faces(photos, detector, args.jobs)
    kept = [(p, crop, part) for p, crop, part in zip(photos, found, splits, strict=True) if isinstance(crop, Crop)]
    lost = [(photo, result) for photo, result in zip(photos, found, strict=True) if isinstance(result, str)]
    if not kept:
        raise InputError(
            f"{root}: expected faces, found none in {len(photos)} pictures; check the photos or try another --detector"
        )
    write_chips(
        out,
        [crop for _, crop, _ in kept],
        [photo.person for photo, _, _ in kept],
        [part for _, _, part in kept],
        [photo.relative for photo, _, _ in kept],
        detector_name,
        source,
    )
    _report(out, [(photo, part) for photo, _, part in kept], lost)
    if not noted:  # the photos would have done, the faces found in them do not
        _note_few_strangers({photo.person: part for photo, _, part in kept})
    return 0


def find_faces(photos: Sequence[Photo], detector: str, jobs: int) -> list[Crop | str]:
    """For every photo its central face, or why no face was found, in order, from ``jobs`` processes."""
    paths = [photo.path for photo in photos]
    with spread(_crop_one, paths, jobs, _CHUNK, _start_worker, (detector,)) as crops:
        return list(tqdm(crops, total=len(paths), unit="photo", disable=None, delay=2))


_worker_detector: Detector | None = None
"""Opened once in each worker process."""


def _start_worker(spec: str) -> None:
    global _worker_detector
    cv2.setNumThreads(1)
    _worker_detector = open_detector(spec)


def _crop_one(path: Path) -> Crop | str:
    assert _worker_detector is not None
    return _crop(path, _worker_detector.detect)


def _crop(path: Path, detect: Callable[[Pixels], Detections]) -> Crop | str:
    try:
        pixels = read_image(path)
        faces = detect(pixels)
        if not len(faces):
            return "no face"
        return make_crop(pixels, faces.landmarks[central_face(faces, (pixels.shape[1], pixels.shape[0]))])
    except ImageError as error:
        return f"unreadable: {error}"
    except FamiliarError as error:
        return f"no usable face: {error}"


def download_lfw(url: str = LFW_URL, md5: str = LFW_MD5, cache: Path | None = None) -> Path:
    """Download LFW (deep-funneled), check it, unpack it; a file already there and whole is not fetched again.

    Args:
        url: of the .tgz.
        md5: of the .tgz, hex.
        cache: folder to keep it in; None: Keras's own.

    Returns:
        the folder that holds a folder per person.

    Raises:
        InputError: no way to the file, or it is not the one expected.
    """
    import keras

    name = url.rpartition("/")[2]
    try:
        unpacked = keras.utils.get_file(
            name, url, file_hash=md5, hash_algorithm="md5", extract=True, cache_dir=cache and str(cache)
        )
    except Exception as error:  # keras raises bare Exception for a failed download
        raise InputError(
            f"lfw: expected to download {url}, which failed ({' '.join(str(error).split())}); "
            "get LFW elsewhere and pass its folder: --data DIR"
        ) from error
    return next(iter(sorted(Path(unpacked).rglob(name.partition(".")[0]))), Path(unpacked))


def _note_few_strangers(split_of: Mapping[str, str]) -> bool:
    """Say, before it takes long, that a bundle needs more strangers than people are held out; whether it was said."""
    parts = [part for person, part in split_of.items() if person]
    strangers = max(parts.count("cohort"), parts.count("select"))
    if not parts or strangers >= FEWEST_TO_FIT:
        return False
    print(
        f"train prepare: note: {strangers} people are held out as strangers; a bundle that convert makes of "
        f"fewer than {FEWEST_TO_FIT} names nobody at the default target of 1 in 1,000; add people, or give "
        "convert chips of others with --cohort FILE",
        file=sys.stderr,
    )
    return True


def _report(out: Path, kept: Sequence[tuple[Photo, str]], lost: Sequence[tuple[Photo, str]]) -> None:
    """Say what was kept for which split; list the rest in a file beside the chips, its first lines on stderr too."""
    faceless = sum(reason == "no face" for _, reason in lost)
    skipped = out.with_suffix(".skipped.txt")
    write_whole(skipped, "".join(f"{photo.relative}\t{reason}\n" for photo, reason in lost))
    for photo, reason in lost[:_SHOWN]:
        print(f"train prepare: {photo.relative}: {reason}", file=sys.stderr)
    if len(lost) > _SHOWN:
        print(f"train prepare: and {len(lost) - _SHOWN} more, all in {skipped}", file=sys.stderr)
    named = {photo.person: part for photo, part in kept if photo.person}
    parts = list(named.values() if named else (part for _, part in kept))
    what = f"faces of {len(named)} people" if named else "faces without a name"
    print(f"{out}: {len(kept)} {what}: " + ", ".join(f"{name} {parts.count(name)}" for name in SPLITS))
    print(f"no face: {faceless}, unusable: {len(lost) - faceless} (listed in {skipped})")
