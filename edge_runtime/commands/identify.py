"""Name the faces in pictures, one line for each face: path,name|unknown,score.

A face that is too poor to judge gives path,rejected:REASON, and a picture without a face gives path,rejected:no face,
Fields are quoted as in CSV if they need it. A picture that cannot be read is named on standard error.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_runtime.commands._photos import list_photos, note
from edge_runtime.config import load_config
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.errors import ImageError
from edge_runtime.faces.chain import FaceChain, open_chain
from edge_runtime.faces.quality import QualityLimits
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.pictures.reader import read_image
from edge_runtime.recognizer import named_faces
from edge_runtime.types import Pixels

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="picture, or folder of pictures")
    parser.add_argument("--json", action="store_true", help="one JSON object for each face, with all values")


def run(args: argparse.Namespace) -> int:
    """Identify everybody in the pictures; returns the exit code.

    Raises:
        InputError: a picture or folder is missing.
        FamiliarError: bundle or gallery cannot be used.
    """
    paths = list_photos(args.images)
    config = load_config(args.config, args.set)
    limits = QualityLimits(face_px=config.quality.min_face_px)
    unreadable = 0
    with open_chain(config) as chain:
        with open_gallery(config, chain, create=False) as gallery:
            templates = gallery.templates()
        matcher = make_matcher(templates, chain.bundle, config.decide)
        if matcher.calibration.note:
            note(matcher.calibration.note)
        for path in paths:
            try:
                pixels = read_image(path, config.images.max_megapixels)
            except ImageError as error:
                unreadable += 1
                print(f"familiar: {error}", file=sys.stderr)
                continue
            for row in faces(chain, matcher, limits, pixels):
                print(_line(path, row, args.json), flush=True)
    return ImageError.exit_code if unreadable else 0


def faces(chain: FaceChain, matcher: Matcher, limits: QualityLimits, pixels: Pixels) -> Iterator[Row]:
    """One mapping for each face, surest first; a picture without a face gives one without ``xyxy``.

    Args:
        chain: finds and encodes.
        matcher: decides.
        limits: the least a face must have to be judged.
        pixels: uint8 (H, W, 3) RGB.
    """
    found = list(named_faces(chain, matcher, limits, pixels))
    for face in found:
        row: Row = {"rejected": face.rejected, "xyxy": list(face.xyxy), "quality": face.quality}
        yield row if face.match is None else row | dataclasses.asdict(face.match)
    if not found:
        yield {"rejected": "no face"}


def _line(path: Path, row: Row, as_json: bool) -> str:
    if as_json:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        return json.dumps({"path": str(path), **finite})
    if row["rejected"]:
        fields = [str(path), f"rejected:{row['rejected']}", ""]
    else:
        fields = [str(path), row["person"] or "unknown", f"{row['score']:.4f}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
