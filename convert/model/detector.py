"""Turn a trained detector into int8: a folder with its file and sheet, which bundles take along.

``python -m convert detector RUN --refiner RUN --out FOLDER``; then ``familiar … --detector bundle:FOLDER`` and
``python -m convert model … --detector FOLDER`` use it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.edgetpu.graph import int8_faults, read_graph
from convert.edgetpu.verdict import Verdict, gate
from convert.model.golden import detector_pictures
from convert.model.quantize import quantise_detector
from convert.model.writer import check_target, write_arrays
from convert.recipe import Recipe, load_recipe
from edge_runtime.bundle.detector_spec import DetectorSheet, DetectorSpec, RefinerSpec
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.detectors import DetectorOptions
from edge_runtime.detectors.bundle import SHEET, open_grid_detector, read_sheet, read_whole_sheet
from edge_runtime.errors import BundleError, InputError, UsageError
from edge_runtime.faces.golden import DETECTOR_GOLDEN
from edge_runtime.geometry.alignment import Template
from edge_runtime.types import Pixels

DETECTOR_FILE = "detector.tflite"
REFINER_FILE = "refiner.tflite"
OWN = "familiar-"
"""Names of our detectors begin so and go on with their files' sha256."""
_RUN_FILE = "run.json"
_SCENES_FILE = "scenes.npz"
_OF_REFINER = "refiner: "
_SCORE = 0.5
_CANDIDATES = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="RUN", help="a detector's run; or one converted before, or a bundle"
    )
    parser.add_argument("--refiner", type=Path, metavar="RUN", help="run of a refiner that looks at its faces again")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to make")
    parser.add_argument("--recipe", default="int8", metavar="NAME|FILE", help="int8, float16, dynamic, or a .toml")
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="figures of train evaluate --out, for the model card"
    )
    parser.add_argument(
        "--score", type=float, default=_SCORE, metavar="S", help=f"least score of a face (default: {_SCORE})"
    )
    look = f"first look's score below which no second one makes more of a face (default: {_CANDIDATES})"
    parser.add_argument("--candidates", type=float, default=_CANDIDATES, metavar="S", help=look)


def run(args: argparse.Namespace) -> int:
    for option, value in (("--score", args.score), ("--candidates", args.candidates)):
        if not 0 < value < 1:
            raise UsageError(f"{option} {value}: expected a number between 0 and 1")
    sheet = convert_detector(
        args.source, args.out, args.recipe, args.score, args.evaluation, args.refiner, args.candidates
    )
    metrics = sheet.metrics
    print(
        f"{args.out}: {sheet.name}, {metrics['bytes']:,} bytes, "
        f"{metrics['golden_faces']} faces in {metrics['golden_pictures']} generated pictures; "
        f"Edge TPU: {metrics['edgetpu']}"
    )
    return 0


def convert_detector(
    source: Path,
    out: Path,
    recipe_name: str = "int8",
    score: float = _SCORE,
    evaluation: Path | None = None,
    refiner: Path | None = None,
    candidates: float = _CANDIDATES,
) -> DetectorSheet:
    """Make a detector's folder; returns its sheet.

    Args:
        source: a detector's run; or a folder of an earlier conversion, or a bundle, to give its detector a refiner.
        out: the folder to make.
        recipe_name: how to convert.
        score: the least of a face, after the refiner's look if there is one.
        evaluation: figures of ``train evaluate``, for the model card.
        refiner: run of a refiner; None: it gets no refiner.
        candidates: the first look's score below which no second one makes more of a face.

    Raises:
        InputError: no such runs, or a network that does not convert.
        BundleError: not full int8, or a network that does not map to the Edge TPU where the recipe demands it.
        UsageError: ``out`` may not be written.
    """
    check_target(out, replace=False)
    second = _read(refiner, "refiner") if refiner else None
    figures = _figures(evaluation) if evaluation else None
    recipe = load_recipe(recipe_name)
    first = _converted(source) if _is_converted(source) else _fitted(source, recipe)
    files, verdict, looked = {DETECTOR_FILE: first.model}, first.edgetpu, None
    lineage, refiner_run = list(first.lineage), {}
    if refiner and second:
        files[REFINER_FILE], looked, maps = _second_look(refiner, *second, recipe, candidates)
        verdict = verdict if maps.maps_wholly else _said(maps)
        lineage += [f"{_OF_REFINER}{line}" for line in second[0]["lineage"]]
        refiner_run = _run(second[0])
    spec = DetectorSpec(
        own_name(list(files.values())), DETECTOR_FILE, first.size_wh, first.mean, first.std, score, looked
    )
    out.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        (out / file).write_bytes(data)
    golden = make_detector_golden(out, spec)
    write_arrays(out / DETECTOR_GOLDEN, golden)
    metrics = {
        "bytes": sum(map(len, files.values())),
        "edgetpu": verdict,
        "golden_pictures": len(golden["pictures"]),
        "golden_faces": int(golden["faces"].sum()),
        "evaluation": figures,
    }
    sheet = DetectorSheet(spec.name, spec, first.run, refiner_run, tuple(lineage), metrics, first.versions)
    (out / SHEET).write_text(json.dumps(sheet.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return sheet


def _second_look(
    source: Path, record: dict[str, Any], pictures: Pixels, recipe: Recipe, candidates: float
) -> tuple[bytes, RefinerSpec, Verdict]:
    """A refiner's .tflite file, what there is to know about it, and what the Edge TPU does with it."""
    size = int(record["recipe"]["refiner"]["size"])
    model, verdict, _ = _quantised(source, record, pictures, (size, size), recipe)
    return model, RefinerSpec(REFINER_FILE, size, *_channels(record), candidates), verdict


@dataclass(frozen=True)
class _First:
    """A detector without its refiner, and what its sheet says of it."""

    model: bytes
    size_wh: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    run: dict[str, Any]
    lineage: tuple[str, ...]
    edgetpu: str
    versions: dict[str, str]


def _fitted(source: Path, recipe: Recipe) -> _First:
    """A run's detector, converted now."""
    record, scenes = _read(source, "detector")
    width, height = (int(side) for side in record["recipe"]["detector"]["size_wh"])
    model, verdict, versions = _quantised(source, record, scenes, (width, height), recipe)
    mean, std = _channels(record)
    lineage = tuple(record["lineage"])
    return _First(model, (width, height), mean, std, _run(record), lineage, _said(verdict), versions)


def _is_converted(source: Path) -> bool:
    return (source / SHEET).is_file() or (source / MANIFEST).is_file()


def _converted(source: Path) -> _First:
    """The detector of a folder of an earlier conversion, or of a bundle; a refiner it has stays behind.

    Raises:
        BundleError: no detector there.
    """
    spec, sheet = read_sheet(source), read_whole_sheet(source)
    lineage = tuple(line for line in sheet.lineage if not line.startswith(_OF_REFINER))
    model = (source / spec.file).read_bytes()
    said = _said(gate(model, spec.file))
    return _First(model, spec.size_wh, spec.mean, spec.std, sheet.run, lineage, said, sheet.versions)


def _said(verdict: Verdict) -> str:
    """What a sheet says of the Edge TPU."""
    return "maps wholly" if verdict.maps_wholly else verdict.why_not or ""


def own_name(files: Sequence[bytes]) -> str:
    """The name of a detector of ours that consists of these files."""
    return f"{OWN}{hashlib.sha256(b''.join(files)).hexdigest()[:12]}"


def _quantised(
    source: Path, record: dict[str, Any], pictures: Pixels, size_wh: tuple[int, int], recipe: Recipe
) -> tuple[bytes, Verdict, dict[str, str]]:
    """A run's network as a .tflite file, what the Edge TPU does with it, and the versions that made it.

    Raises:
        InputError: it does not convert.
        BundleError: not full int8, or it does not map although the recipe demands that.
    """
    file = f"{record['kind']}.keras"
    # The template's points mean nothing here; its size is the picture's.
    preprocessing = Preprocessing("rgb", *_channels(record), Template(Template.arcface(112).points, size_wh))
    model, versions = quantise_detector(source / file, preprocessing, recipe, pictures)
    if recipe.full_int8 and (faults := int8_faults(read_graph(model, file), recipe.per_tensor_dense)):
        raise BundleError(f"{source}: not full int8: {faults[0]}; fit it with other layers")
    verdict = gate(model, f"{record['kind']}.tflite")
    if recipe.edgetpu and not verdict.maps_wholly:
        raise BundleError(f"{source}: does not map to the Edge TPU: {verdict.why_not}; use a recipe that allows that")
    return model, verdict, versions


def _channels(record: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = (tuple(float(v) for v in record["normalisation"][key]) for key in ("mean", "std"))
    return mean, std


def _run(record: dict[str, Any]) -> dict[str, Any]:
    """What a sheet says of a run."""
    return {key: record[key] for key in ("recipe_name", "recipe", "seed", "epochs_done", "commit", "versions")}


def _figures(path: Path) -> dict[str, Any]:
    """What ``train evaluate`` measured; the name in it is of the same network with another score."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        figures = {key: document[key] for key in ("people", "labels", "photos", "faceless", "turned", "scenes")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected figures of python -m train evaluate of a detector ({error})") from error
    return figures


def make_detector_golden(folder: Path, sheet: DetectorSpec) -> dict[str, NDArray[Any]]:
    """Generated pictures and what a detector finds in them.

    Args:
        folder: of its files.
        sheet: what there is to know about it.

    Returns:
        ``pictures`` uint8 (N, H, W, 3); ``faces`` int64 (N,), how many in each; ``xyxy``, ``score``, ``landmarks`` of
        all of them, one after the other.

    Raises:
        BundleError: it finds no face where there are some.
    """
    detector = open_grid_detector(folder, sheet, DetectorOptions(min_face_px=1))
    pictures = detector_pictures()
    try:
        found = [detector.detect(picture) for picture in pictures]
    finally:
        detector.close()
    if not sum(map(len, found)):
        raise BundleError(f"{folder}: expected faces in generated pictures, found none; train the detector longer")
    return {
        "pictures": pictures,
        "faces": np.array([len(faces) for faces in found], np.int64),
        "xyxy": np.concatenate([faces.xyxy for faces in found]),
        "score": np.concatenate([faces.score for faces in found]),
        "landmarks": np.concatenate([faces.landmarks for faces in found]),
    }


def take_along(detector: Path, draft: Path, made_with: str) -> DetectorSheet:
    """Put a detector's files into a bundle that is being made; returns what the manifest says of it.

    Args:
        detector: a folder of :func:`convert_detector`, or a bundle that has a detector.
        draft: the bundle's folder.
        made_with: name of the detector that the chips were made with.

    Raises:
        InputError: the chips were made with another detector.
        BundleError: no detector there.
    """
    spec = read_sheet(detector)
    if spec.name != own_name([(detector / file).read_bytes() for file in spec.files]):
        raise BundleError(f"{detector}: not the files that its sheet names; copy the detector again")
    if spec.name != made_with:
        raise InputError(
            f"{detector}: expected the detector of the chips, {made_with}, found {spec.name}; "
            f"make the chips again: python -m train prepare --detector bundle:{detector}"
        )
    for name in (*spec.files, DETECTOR_GOLDEN):
        (draft / name).write_bytes((detector / name).read_bytes())
    refiner = spec.refiner and replace(spec.refiner, edgetpu_file=None)
    return replace(read_whole_sheet(detector), spec=replace(spec, edgetpu_file=None, refiner=refiner))


def _read(source: Path, kind: str) -> tuple[dict[str, Any], Pixels]:
    """A run of a detector or a refiner: its record and the pictures to calibrate on."""
    with _readable(source, kind):
        record = json.loads((source / _RUN_FILE).read_text(encoding="utf-8"))
        found = record.get("kind", "encoder")
    if found != kind:
        raise InputError(f"{source}: expected the run of a {kind}, found that of another network ({found})")
    with _readable(source, kind), np.load(source / _SCENES_FILE, allow_pickle=False) as archive:
        return record, archive["pictures"]


@contextmanager
def _readable(source: Path, kind: str) -> Iterator[None]:
    """One line for whatever a damaged or unfinished run comes to."""
    try:
        yield
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{source}: expected a finished run of a {kind}'s recipe, cannot read it ({error}); fit it to its end"
        ) from error
