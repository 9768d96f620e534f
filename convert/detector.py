"""Turn a trained detector into int8: a folder with its file and sheet, which bundles take along.

``python -m convert detector RUN --out FOLDER``; then ``familiar … --detector bundle:FOLDER`` and
``python -m convert model … --detector FOLDER`` use it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.bundle import check_target
from convert.edgetpu import gate
from convert.golden import detector_pictures
from convert.graph import int8_faults, read_graph
from convert.quantize import quantise_detector
from convert.recipe import load_recipe
from edge_runtime.bundle import DETECTOR_GOLDEN, file_digest
from edge_runtime.detectors import DetectorOptions
from edge_runtime.detectors._sheet import DetectorSheet
from edge_runtime.detectors.bundle import SHEET, GridDetector, read_document
from edge_runtime.errors import BundleError, InputError, UsageError
from edge_runtime.faces.align import Template
from edge_runtime.faces.encoder import Preprocessing
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Pixels

DETECTOR_FILE = "detector.tflite"
OWN = "familiar-"
"""Names of our detectors begin so and go on with their file's sha256."""
_RUN_FILE = "run.json"
_KERAS_FILE = "detector.keras"
_SCENES_FILE = "scenes.npz"
_SCORE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="RUN", help="a detector's run of python -m train fit")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to make")
    parser.add_argument("--recipe", default="int8", metavar="NAME|FILE", help="int8, float16, dynamic, or a .toml")
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="figures of train evaluate --out, for the model card"
    )
    parser.add_argument(
        "--score", type=float, default=_SCORE, metavar="S", help=f"least score of a face (default: {_SCORE})"
    )


def run(args: argparse.Namespace) -> int:
    if not 0 < args.score < 1:
        raise UsageError(f"--score {args.score}: expected a number between 0 and 1")
    document = convert_detector(args.source, args.out, args.recipe, args.score, args.evaluation)
    found = document["metrics"]["golden_faces"]
    print(
        f"{args.out}: {document['name']}, {document['metrics']['bytes']:,} bytes, "
        f"{found} faces in {document['metrics']['golden_pictures']} generated pictures; "
        f"Edge TPU: {document['metrics']['edgetpu']}"
    )
    return 0


def convert_detector(
    source: Path, out: Path, recipe_name: str = "int8", score: float = _SCORE, evaluation: Path | None = None
) -> dict[str, Any]:
    """Make a detector's folder; returns its sheet.

    Raises:
        InputError: no run of a detector, or a network that does not convert.
        BundleError: not full int8, or a network that does not map to the Edge TPU where the recipe demands it.
        UsageError: ``out`` may not be written.
    """
    check_target(out, replace=False)
    record, scenes = _read(source)
    figures = _figures(evaluation) if evaluation else None
    recipe = load_recipe(recipe_name)
    spec = record["recipe"]["detector"]
    size_wh = (int(spec["size_wh"][0]), int(spec["size_wh"][1]))
    mean, std = (tuple(float(v) for v in record["normalisation"][key]) for key in ("mean", "std"))
    # The template's points mean nothing here; its size is the picture's.
    preprocessing = Preprocessing("rgb", mean, std, Template(Template.arcface(112).points, size_wh))
    model, versions = quantise_detector(source / _KERAS_FILE, preprocessing, recipe, scenes)
    if recipe.full_int8 and (faults := int8_faults(read_graph(model, _KERAS_FILE), recipe.per_tensor_dense)):
        raise BundleError(f"{source}: not full int8: {faults[0]}; fit it with other layers")
    verdict = gate(model, DETECTOR_FILE)
    if recipe.edgetpu and not verdict.maps_wholly:
        raise BundleError(f"{source}: does not map to the Edge TPU: {verdict.why_not}; use a recipe that allows that")
    name = f"{OWN}{hashlib.sha256(model).hexdigest()[:12]}"
    sheet = DetectorSheet(name, DETECTOR_FILE, size_wh, mean, std, score)
    out.mkdir(parents=True, exist_ok=True)
    (out / DETECTOR_FILE).write_bytes(model)
    golden = make_detector_golden(out / DETECTOR_FILE, sheet)
    np.savez_compressed(out / DETECTOR_GOLDEN, **golden)
    document = sheet.as_json() | {
        "run": {key: record[key] for key in ("recipe_name", "recipe", "seed", "epochs_done", "commit", "versions")},
        "lineage": record["lineage"],
        "metrics": {
            "bytes": len(model),
            "edgetpu": "maps wholly" if verdict.maps_wholly else verdict.why_not,
            "golden_pictures": len(golden["pictures"]),
            "golden_faces": int(golden["faces"].sum()),
            "evaluation": figures,
        },
        "versions": versions,
    }
    (out / SHEET).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return document


def _figures(path: Path) -> dict[str, Any]:
    """What ``train evaluate`` measured; the name in it is of the same network with another score."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        figures = {key: document[key] for key in ("people", "labels", "photos", "faceless", "turned", "scenes")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected figures of python -m train evaluate of a detector ({error})") from error
    return figures


def make_detector_golden(file: Path, sheet: DetectorSheet) -> dict[str, NDArray[Any]]:
    """Generated pictures and what a detector finds in them.

    Args:
        file: its .tflite.
        sheet: what there is to know about it.

    Returns:
        ``pictures`` uint8 (N, H, W, 3); ``faces`` int64 (N,), how many in each; ``xyxy``, ``score``, ``landmarks`` of
        all of them, one after the other.

    Raises:
        BundleError: it finds no face where there are some.
    """
    detector = GridDetector(open_interpreter("auto", file, 1), sheet, DetectorOptions(min_face_px=1))
    pictures = detector_pictures()
    try:
        found = [detector.detect(picture) for picture in pictures]
    finally:
        detector.close()
    if not sum(map(len, found)):
        raise BundleError(f"{file}: expected faces in generated pictures, found none; train the detector longer")
    return {
        "pictures": pictures,
        "faces": np.array([len(faces) for faces in found], np.int64),
        "xyxy": np.concatenate([faces.xyxy for faces in found]),
        "score": np.concatenate([faces.score for faces in found]),
        "landmarks": np.concatenate([faces.landmarks for faces in found]),
    }


def take_along(detector: Path, draft: Path, made_with: str) -> dict[str, Any]:
    """Put a detector's files into a bundle that is being made; returns the manifest's section.

    Args:
        detector: a folder of :func:`convert_detector`, or a bundle that has a detector.
        draft: the bundle's folder.
        made_with: name of the detector that the chips were made with.

    Raises:
        InputError: the chips were made with another detector.
        BundleError: no detector there.
    """
    document = dict(read_document(detector))
    sheet = DetectorSheet.from_json(document, str(detector))
    if not sheet.name.endswith(file_digest(detector / sheet.file)[0][:12]):
        raise BundleError(f"{detector / sheet.file}: not the file that its sheet names; copy the detector again")
    if document["name"] != made_with:
        raise InputError(
            f"{detector}: expected the detector of the chips, {made_with}, found {document['name']}; "
            f"make the chips again: python -m train prepare --detector bundle:{detector}"
        )
    for name in (sheet.file, DETECTOR_GOLDEN):
        (draft / name).write_bytes((detector / name).read_bytes())
    return document


def _read(source: Path) -> tuple[dict[str, Any], Pixels]:
    """A detector's run: its record and the scenes to calibrate on."""
    try:
        record = json.loads((source / _RUN_FILE).read_text(encoding="utf-8"))
        if record.get("kind") != "detector":
            raise InputError(f"{source}: expected a detector's run, found another; python -m convert model takes it")
        with np.load(source / _SCENES_FILE, allow_pickle=False) as archive:
            scenes = archive["pictures"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{source}: expected a finished run of a detector's recipe, cannot read it ({error}); fit it to its end"
        ) from error
    return record, scenes
