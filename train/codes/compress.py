"""``python -m train compress``: what a face costs as a code of few bits, beside JPEG and WebP.

Codes are cut to their widest directions and rounded; the run's decoder draws them. Each way of keeping a face is
measured by its bytes, by how near the picture comes to the original (PSNR, SSIM), and by how often it is still taken
for the person by a reference encoder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure

from edge_runtime.errors import UsageError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.codes.map import Directions
from train.data.files import check_new_folder, write_json
from train.encoder.reference import add_reference, encode_all, open_reference
from train.evaluation.acceptance import accepted
from train.evaluation.figures import LIGHT, axes_of, rows_figure, save_png
from train.evaluation.recognition import percent
from train.evaluation.reconstruction import psnr, ssim
from train.runs.autoencoder import Autoencoder, unit_range
from train.runs.codes import as_rgb, chips_like, encode_chips, photos_of, some_fitted
from train.runs.run import load_run

_FITTED = 6000
"""Photos of the people it was fitted on that the directions are taken from."""
_FMR = 1e-3
_FEWEST, _SHOWN = 10, 6
_LENGTHS, _BITS = (16, 32, 64, 128), (4, 8)
_REACH = 3.0
"""Standard deviations of a direction that its numbers of few bits reach to either side."""
_SCALES, _QUALITIES = (1.0, 0.5, 0.25), (5, 15, 30, 60)


class Kept(NamedTuple):
    """Faces after they were kept in one way.

    Attributes:
        kind: ``code``, ``jpeg`` or ``webp``.
        how: settings, in words.
        bytes: mean of a face.
        faces: uint8 (N, h, w, 3) RGB.
    """

    kind: str
    how: str
    bytes: float
    faces: Pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train compress``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: pictures, compress.json")
    parser.add_argument("--people", choices=SPLITS, default="select", help="whose faces (default: select)")
    parser.add_argument("--photos", type=int, default=1500, metavar="N", help="at most so many (default: 1500)")
    add_reference(parser, "that says who is still recognised", required=True)


def run(args: argparse.Namespace) -> int:
    """Keep the faces in each way, measure, write."""
    check_new_folder(args.out)
    if args.photos < _FEWEST:
        raise UsageError(f"--photos {args.photos}: expected at least {_FEWEST}")
    fitted = load_run(args.run_dir)
    reference = open_reference(args)
    assert reference
    autoencoder = Autoencoder(fitted)
    chips = chips_like(fitted, None)
    chosen = photos_of(chips, args.people, _FEWEST, args.photos)
    directions = Directions.of(normalise(encode_chips(fitted, chips, some_fitted(chips, _FITTED))[0])[0])
    template = fitted.preprocessing.template
    originals = chips.aligned(chosen, template)
    unit = normalise(autoencoder.encode(fitted.preprocessing.reorder(originals)))[0]
    true = encode_all(reference, originals, template)
    names = chips.names[chosen].tolist()
    rows: list[dict[str, Any]] = []
    picked = np.linspace(0, len(chosen) - 1, _SHOWN).astype(int)
    shown = {"original": originals[picked]}
    for kept in (*_codes(autoencoder, directions, unit), *_pictures(originals)):
        found = accepted(true, encode_all(reference, kept.faces, template), names, _FMR)
        whole, other = unit_range(originals), unit_range(kept.faces)
        row = {"kind": kept.kind, "how": kept.how, "bytes": kept.bytes, "psnr": float(psnr(whole, other).mean())}
        rows.append({**row, "ssim": float(ssim(whole, other).mean()), "photo": found["photo"], "kept": found["drawn"]})
        shown[f"{kept.kind}, {kept.how}: {kept.bytes:.0f} bytes"] = kept.faces[picked]
    document = {
        "schema": 1,
        "run": fitted.path.resolve().name,
        "people": args.people,
        "photos": len(chosen),
        "fmr": _FMR,
        "rows": rows,
    }
    with replacing_folder(args.out) as draft:
        save_png(curves_figure(rows), draft / "curves.png")
        save_png(rows_figure(shown, 2.6), draft / "faces.png", dpi=80)
        write_json(draft / "compress.json", document)
    print("\n".join(_lines(document)))
    print(f"saved: {args.out}")
    return 0


def shortened(directions: Directions, unit: Floats, length: int, bits: int) -> Floats:
    """Codes (N, D) after they were kept as ``length`` numbers of ``bits`` bits, float32 (N, D) of unit length.

    Each number is a place along one of the widest directions, in even steps over ``_REACH`` standard deviations.
    """
    reach = _REACH * np.sqrt(np.maximum(directions.variance[:length], 1e-12))
    steps = (1 << bits) - 1
    places = (unit - directions.mean) @ directions.axes[:length].T
    rounded = np.rint((np.clip(places / reach, -1, 1) + 1) / 2 * steps)
    restored = (rounded / steps * 2 - 1) * reach
    return normalise((restored @ directions.axes[:length] + directions.mean).astype(np.float32))[0]


def _codes(autoencoder: Autoencoder, directions: Directions, unit: Floats) -> Iterator[Kept]:
    size = unit.shape[1]
    for length in sorted({*(k for k in _LENGTHS if k < size), size}):
        for bits in _BITS:
            drawn = autoencoder.draw(shortened(directions, unit, length, bits))
            faces = as_rgb(drawn, autoencoder.run.preprocessing)
            yield Kept("code", f"{length} numbers of {bits} bits", length * bits / 8, faces)


def _pictures(originals: Pixels) -> Iterator[Kept]:
    formats = {"jpeg": (".jpg", cv2.IMWRITE_JPEG_QUALITY), "webp": (".webp", cv2.IMWRITE_WEBP_QUALITY)}
    for kind, (suffix, key) in formats.items():
        for scale in _SCALES:
            for quality in _QUALITIES:
                files, faces = [], []
                for face in originals:
                    wh = face.shape[1::-1]
                    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                    written, data = cv2.imencode(suffix, small[..., ::-1], [key, quality])
                    assert written
                    files.append(len(data))
                    read = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
                    faces.append(cv2.resize(read, wh, interpolation=cv2.INTER_CUBIC) if scale < 1 else read)
                how = f"{scale:.0%} of the size, quality {quality}"
                yield Kept(kind, how, float(np.mean(files)), np.stack(faces).astype(np.uint8))


def curves_figure(rows: list[dict[str, Any]]) -> Figure:
    """PSNR and recognition over bytes, a line for each kind through the best that so many bytes buy."""
    figure = Figure(figsize=(10, 3.8), layout="constrained", facecolor=LIGHT.paper)
    for place, (key, label, factor) in enumerate(
        (("psnr", "PSNR, dB", 1), ("kept", "still taken for the person, %", 100))
    ):
        axis = axes_of(figure, LIGHT, (1, 2, place + 1))
        for colour, kind in zip(LIGHT.lines, ("code", "jpeg", "webp"), strict=False):
            mine = sorted((row["bytes"], factor * row[key]) for row in rows if row["kind"] == kind)
            best = [point for k, point in enumerate(mine) if point[1] >= max(other[1] for other in mine[: k + 1])]
            axis.semilogx(*zip(*mine, strict=True), ".", color=colour, alpha=0.35)
            axis.semilogx(*zip(*best, strict=True), "o-", color=colour, label=kind)
        if key == "kept":
            axis.axhline(100 * rows[0]["photo"], color=LIGHT.ink, linestyle=":", label="the photos themselves")
        axis.set(xlabel="bytes a face", ylabel=label)
        axis.legend(fontsize=8)
    return figure


def _lines(document: dict[str, Any]) -> list[str]:
    rows = document["rows"]
    lines = [
        f"{document['photos']:,} photos; a photo matches another one of the person in {percent(rows[0]['photo'], 1)} "
        f"at FMR {_FMR:.1%} by the reference encoder",
        f"{'kept as':<40} {'bytes':>7} {'PSNR, dB':>9} {'SSIM':>6} {'still matches':>14}",
    ]
    for row in sorted(rows, key=lambda row: (row["kind"], row["bytes"])):
        lines.append(
            f"{row['kind'] + ', ' + row['how']:<40} {row['bytes']:>7,.0f} {row['psnr']:>9.1f} {row['ssim']:>6.3f} "
            f"{percent(row['kept'], 1):>14}"
        )
    return lines
