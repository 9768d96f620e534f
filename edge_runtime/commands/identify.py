"""Name the faces in pictures, one line for each face: path,name|unknown,score,face,left,top,right,bottom.

Faces are numbered from left to right; their boxes are in pixels. A face that is too poor to judge has rejected:REASON
in place of the name and no score; a picture without a face gives path,rejected:no face,
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
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_runtime.commands._photos import list_photos, note
from edge_runtime.config import Config, check_output, load_config
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.drawing.faces import draw_faces
from edge_runtime.drawing.picture_file import encode_picture, picture_format
from edge_runtime.errors import ImageError, InputError, UsageError
from edge_runtime.faces.chain import FaceChain, open_chain
from edge_runtime.faces.quality import QualityLimits
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.pictures.reader import read_image
from edge_runtime.recognizer import named_faces
from edge_runtime.storage.files import write_whole
from edge_runtime.types import Pixels

Row = dict[str, Any]
_LONGEST_SIDE_PX, _LEAST_SIDE_PX = 1600, 800


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="picture, or folder of pictures")
    parser.add_argument(
        "--out", type=Path, metavar="OUT.jpg", help="draw what was found; for several pictures a folder"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each face, with all values")


def run(args: argparse.Namespace) -> int:
    """Identify everybody in the pictures; returns the exit code.

    Raises:
        InputError: a picture or folder is missing.
        FamiliarError: bundle or gallery cannot be used.
    """
    paths = list_photos(args.images)
    config = load_config(args.config, args.set)
    drawings = _drawings(config, args.out, paths)
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
            rows = list(faces(chain, matcher, limits, pixels))
            for row in rows:
                print(_line(path, row, args.json), flush=True)
            if path in drawings:
                _draw(drawings[path], pixels, rows)
    if drawings:
        print(f"familiar: drawn: {args.out}", file=sys.stderr)
    return ImageError.exit_code if unreadable else 0


def faces(chain: FaceChain, matcher: Matcher, limits: QualityLimits, pixels: Pixels) -> Iterator[Row]:
    """One mapping for each face, from left to right; a picture without a face gives one without ``xyxy``.

    Args:
        chain: finds and encodes.
        matcher: decides.
        limits: the least a face must have to be judged.
        pixels: uint8 (H, W, 3) RGB.
    """
    found = sorted(named_faces(chain, matcher, limits, pixels), key=lambda face: face.xyxy[0] + face.xyxy[2])
    for number, face in enumerate(found, 1):
        row: Row = {"face": number, "rejected": face.rejected, "xyxy": list(face.xyxy), "quality": face.quality}
        yield row if face.match is None else row | dataclasses.asdict(face.match)
    if not found:
        yield {"rejected": "no face"}


def _drawings(config: Config, out: Path | None, paths: list[Path]) -> dict[Path, Path]:
    """Where each picture is drawn.

    Raises:
        UsageError: several pictures and one file.
        InputError: it cannot be written, or has no picture's ending.
    """
    if out is None:
        return {}
    if not out.is_dir():
        if len(paths) != 1:
            raise UsageError(f"--out {out}: expected one picture, received {len(paths)}; name a folder for several")
        drawings = {paths[0]: out}
    else:
        names = Counter(path.stem for path in paths)
        drawings = {
            path: out / f"{path.stem if names[path.stem] == 1 else f'{number}-{path.stem}'}.jpg"
            for number, path in enumerate(paths, 1)
        }
    for path, drawing in drawings.items():
        picture_format(check_output(config, drawing))
        if drawing.exists() and drawing.samefile(path):
            raise InputError(f"{drawing}: expected another file than the picture itself; name another")
    return drawings


def _draw(path: Path, pixels: Pixels, rows: list[Row]) -> None:
    faces = [(row["xyxy"], f"{row['face']} {_label(row)}", _state(row)) for row in rows if "xyxy" in row]
    # It shows people and says names: for nobody else to read.
    write_whole(path, encode_picture(draw_faces(pixels, faces, _LONGEST_SIDE_PX, _LEAST_SIDE_PX), path), 0o600)


def _label(row: Row) -> str:
    return str(row["rejected"]) if row["rejected"] else f"{row['person'] or 'unknown'} {row['score']:.2f}"


def _state(row: Row) -> str:
    return "rejected" if row["rejected"] else "identified" if row["person"] else "unknown"


def _line(path: Path, row: Row, as_json: bool) -> str:
    if as_json:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        return json.dumps({"path": str(path), **finite})
    if row["rejected"]:
        fields = [str(path), f"rejected:{row['rejected']}", ""]
    else:
        fields = [str(path), row["person"] or "unknown", f"{row['score']:.4f}"]
    if "xyxy" in row:
        fields += [str(row["face"]), *(f"{value:.0f}" for value in row["xyxy"])]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
