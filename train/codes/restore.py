"""``python -m train restore``: faces that were damaged, drawn anew from their codes, beside what classic filters make.

Measured against the undamaged picture (PSNR, SSIM), and by whether a restored face is recognised better than the
damaged one. A restored face is an invention that fits the code: it is for looking at. No decision is made with it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from edge_runtime.errors import UsageError
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.data.files import check_new_folder, write_json
from train.encoder.reference import add_reference, encode_all, open_reference
from train.evaluation.conditions import Change, Probes, conditions
from train.evaluation.figures import save_png
from train.evaluation.recognition import percent
from train.evaluation.reconstruction import psnr, ssim
from train.runs.autoencoder import Autoencoder, unit_range
from train.runs.codes import as_rgb, chips_like, photos_of
from train.runs.run import load_run

_FMR = 1e-3
_FEWEST = 10
_EQUAL_DB = 60.0
_NOISES = (10, 25)
"""Standard deviations, of 255."""
_BLURS, _EYES_PX, _QUALITY = (0.1, 0.2), (9, 6), 10
_SHARPEN = 1.5
"""How much of what a second blur takes away is added."""


@dataclass(frozen=True)
class Damage:
    """What happened to a face, and the filter that is used against it.

    Attributes:
        name: in words.
        filter: its name.
        damage: of a chip uint8 (h, w, 3) RGB.
        filtered: damage and filter, one after the other.
    """

    name: str
    filter: str
    damage: Change
    filtered: Change


def damages(template: Template) -> list[Damage]:
    """What a chip of ``template`` is put through, and what is tried against it besides the autoencoder."""
    right, left = template.as_array()[:2]
    eyes = float(np.linalg.norm(left - right))
    listed = []
    for sigma in _NOISES:
        noisy = _noisy(sigma)
        listed.append(Damage(f"noise of {sigma}", "non-local means", noisy, _then(noisy, _denoised(sigma))))
    for share in _BLURS:
        blurred = _blurred(share * eyes)
        listed.append(Damage(f"blur of {share:.0%}", "unsharp mask", blurred, _then(blurred, _sharpened(share * eyes))))
    for px in _EYES_PX:
        small = partial(_small, px / eyes)
        listed.append(Damage(f"eyes {px} px apart", "Lanczos", small, partial(small, interpolation=cv2.INTER_LANCZOS4)))
    listed.append(Damage(f"JPEG of quality {_QUALITY}", "bilateral", _compressed, _then(_compressed, _smoothed)))
    return listed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train restore``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: faces.png, restore.json")
    parser.add_argument("--people", choices=SPLITS, default="select", help="whose faces (default: select)")
    parser.add_argument("--photos", type=int, default=1500, metavar="N", help="at most so many (default: 1500)")
    parser.add_argument("--chips", type=Path, metavar="FILE", help="chips to restore instead of the run's own")
    add_reference(parser, "that also looks at what is restored")


def run(args: argparse.Namespace) -> int:
    """Damage, restore, measure, write."""
    check_new_folder(args.out)
    if args.photos < _FEWEST:
        raise UsageError(f"--photos {args.photos}: expected at least {_FEWEST}")
    fitted = load_run(args.run_dir)
    reference = open_reference(args)
    chips = chips_like(fitted, args.chips)
    chosen = photos_of(chips, args.people, _FEWEST, args.photos)
    autoencoder = Autoencoder(fitted)
    template = fitted.preprocessing.template

    def own(faces: Pixels) -> Floats:
        return autoencoder.encode(fitted.preprocessing.reorder(faces))

    encoders = {"encoder": own}
    if reference:
        encoders["reference"] = lambda faces: encode_all(reference, faces, template)
    originals = chips.aligned(chosen, template)
    names = chips.names[chosen].tolist()
    probes: dict[str, list[Probes]] = {name: [] for name in encoders}
    rows, shown = [], []
    for damage in damages(template):
        damaged = np.stack([damage.damage(face) for face in originals])
        drawn = as_rgb(autoencoder.draw(own(damaged)), fitted.preprocessing)
        candidates = {
            "damaged": damaged,
            damage.filter: np.stack([damage.filtered(face) for face in originals]),
            "autoencoder": drawn,
        }
        for candidate, faces in candidates.items():
            rows.append({"damage": damage.name, "candidate": candidate, **_alike(originals, faces)})
            for name, encode in encoders.items():
                probes[name].append(Probes(damage.name, candidate, np.arange(len(faces)), encode(faces)))
        shown.append((damage, candidates))
    for name, encode in encoders.items():
        found = conditions(encode(originals), names, _FMR, probes[name])["rows"][1:]
        for row, measured in zip(rows, found, strict=True):
            row[name] = measured["tmr"]
    document = {
        "schema": 1,
        "run": fitted.path.resolve().name,
        "people": args.people,
        "photos": len(chosen),
        "fmr": _FMR,
        "rows": rows,
    }
    with replacing_folder(args.out) as draft:
        save_png(_figure(originals, shown), draft / "faces.png", dpi=80)
        write_json(draft / "restore.json", document)
    print("\n".join(_lines(document)))
    print(f"saved: {args.out}")
    return 0


def _alike(originals: Pixels, faces: Pixels) -> dict[str, float]:
    """Mean PSNR, of equal pictures 60 dB, and mean SSIM."""
    whole, other = unit_range(originals), unit_range(faces)
    return {"psnr": float(psnr(whole, other).clip(max=_EQUAL_DB).mean()), "ssim": float(ssim(whole, other).mean())}


def _then(first: Change, second: Change) -> Change:
    return lambda chip: second(first(chip))


def _noisy(sigma: float) -> Change:
    def change(chip: Pixels) -> Pixels:
        # The same picture gets the same noise, in whatever order pictures come.
        rng = np.random.default_rng(int(chip.sum()))
        return np.clip(np.rint(chip + rng.normal(0, sigma, chip.shape)), 0, 255).astype(np.uint8)

    return change


def _denoised(sigma: float) -> Change:
    """Buades, Coll, Morel: "A non-local algorithm for image denoising", 2005."""
    return lambda chip: np.asarray(cv2.fastNlMeansDenoisingColored(chip, None, sigma, sigma, 5, 15), np.uint8)


def _blurred(sigma: float) -> Change:
    return lambda chip: np.asarray(cv2.GaussianBlur(chip, (0, 0), sigma), np.uint8)


def _sharpened(sigma: float) -> Change:
    def change(chip: Pixels) -> Pixels:
        again = cv2.GaussianBlur(chip, (0, 0), sigma)
        return np.asarray(cv2.addWeighted(chip, 1 + _SHARPEN, again, -_SHARPEN, 0), np.uint8)

    return change


def _small(share: float, chip: Pixels, interpolation: int = cv2.INTER_LINEAR) -> Pixels:
    """Shrunk, and enlarged again."""
    height, width = chip.shape[:2]
    shrunk = cv2.resize(chip, (round(share * width), round(share * height)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=interpolation), np.uint8)


def _compressed(chip: Pixels) -> Pixels:
    written, data = cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert written
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _smoothed(chip: Pixels) -> Pixels:
    """Tomasi, Manduchi: "Bilateral filtering for gray and color images", 1998."""
    return np.asarray(cv2.bilateralFilter(chip, 5, 30, 3), np.uint8)


def _figure(originals: Pixels, shown: list[tuple[Damage, dict[str, Pixels]]]) -> Figure:
    """One face a damage, evenly over the photos: as it was, damaged, filtered, drawn by the autoencoder."""
    figure = Figure(figsize=(5.6, 1.25 * len(shown) + 0.3), layout="constrained", facecolor="white")
    for row, (damage, candidates) in enumerate(shown):
        k = row * len(originals) // len(shown)
        pictures = {"as it was": originals[k], **{name: faces[k] for name, faces in candidates.items()}}
        for column, (name, picture) in enumerate(pictures.items()):
            axis = figure.add_subplot(len(shown), 4, 4 * row + column + 1)
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(name, fontsize=7)
            if column == 0:
                axis.set_ylabel(damage.name, fontsize=7)
    return figure


def _lines(document: dict[str, Any]) -> list[str]:
    encoders = [name for name in ("encoder", "reference") if name in document["rows"][0]]
    titles = {"encoder": "run's encoder", "reference": "reference"}
    lines = [
        f"{document['photos']:,} photos; share of other photos of the person that match, at FMR {_FMR:.1%}",
        f"{'damage':<22} {'':<16} {'PSNR, dB':>9} {'SSIM':>6}" + "".join(f" {titles[e]:>14}" for e in encoders),
    ]
    for row in document["rows"]:
        matched = "".join(f" {'-' if row[e] is None else percent(row[e], 1):>14}" for e in encoders)
        lines.append(f"{row['damage']:<22} {row['candidate']:<16} {row['psnr']:>9.1f} {row['ssim']:>6.3f}{matched}")
    return lines
