"""``python -m train views``: whether views that were made up help people who are enrolled with one photo.

The template of a photo is the mean of its code and of the codes of its views: the photo under other light or blurred
(classic augmentation), or drawn by the run's decoder from a code that was moved: towards other light, another turn of
the head, or along the widest directions. Measured by DIR, everybody enrolled with one photo; what is searched are
photos as they are.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.faces.quality import measure, sideways
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import dir_at_fpir
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.codes.map import Directions
from train.data.files import check_new_folder, write_json
from train.evaluation.conditions import changes
from train.evaluation.figures import rows_figure, save_png
from train.evaluation.recognition import percent
from train.runs.autoencoder import Autoencoder
from train.runs.codes import as_rgb, chips_like, some_fitted
from train.runs.run import load_run

_FITTED = 6000
"""Photos of the people it was fitted on that the directions are taken from."""
_CLASSIC = ("light: half", "light: twice", "eyes: 12 px apart", "blur: 10% of the eyes' distance")
_WIDEST, _FAR = 4, 1.5
"""How many of the widest directions, and how many standard deviations along each, to both sides."""
_MOST_PEOPLE, _FPIRS = 40, (0.01, 0.001)
_SHOWN = 8
View = Callable[[Pixels, Floats], Pixels]
"""A view of faces uint8 (N, h, w, C), in the run's colours, with codes (N, D) of unit length; of the same shape."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train views``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: views.png, views.json")
    parser.add_argument("--people", choices=SPLITS, default="select", help="who is enrolled (default: select)")


def run(args: argparse.Namespace) -> int:
    """Make views, enrol, search, write."""
    check_new_folder(args.out)
    fitted = load_run(args.run_dir)
    chips = chips_like(fitted, None)
    chosen = np.flatnonzero((chips.split == args.people) & (chips.names != ""))
    names = chips.names[chosen].tolist()
    several = sum(count > 1 for count in Counter(names).values())
    if several < 4:
        raise InputError(f"{chips.path}: expected 4 people of {args.people} with several photos, found {several}")
    autoencoder = Autoencoder(fitted)
    faces = fitted.preprocessing.reorder(chips.aligned(chosen, fitted.preprocessing.template))
    unit = both_ways(autoencoder, faces)
    rows, shown = [], {"photo": faces[:_SHOWN]}
    for kind, views in kinds(autoencoder, chips).items():
        made = [view(faces, unit) for view in views.values()]
        shown |= {name: each[:_SHOWN] for name, each in zip(views, made, strict=True)}
        template = normalise(np.mean([unit, *(both_ways(autoencoder, each) for each in made)], 0, dtype=np.float32))[0]
        found = dir_at_fpir(unit, names, _FPIRS, people=min(_MOST_PEOPLE, several // 2), photos=1, enrolled_as=template)
        for rate in found:
            rows.append(
                {
                    "views": kind,
                    "count": len(views),
                    "fpir": rate.fpir,
                    "dir": rate.dir_mean,
                    "dir_spread": rate.dir_std,
                    "people": rate.people,
                }
            )
    document = {"schema": 1, "run": fitted.path.resolve().name, "people": args.people, "photos": len(chosen)}
    with replacing_folder(args.out) as draft:
        pictures = {name: as_rgb(each, fitted.preprocessing) for name, each in shown.items()}
        save_png(rows_figure(pictures, 1.9), draft / "views.png", dpi=80)
        write_json(draft / "views.json", {**document, "rows": rows})
    print("\n".join(_lines(len(chosen), rows)))
    print(f"saved: {args.out}")
    return 0


def both_ways(autoencoder: Autoencoder, faces: Pixels) -> Floats:
    """Codes (N, D) of unit length: the mean of a face's and of its mirror image's, as a device makes them."""
    codes = (normalise(autoencoder.encode(each))[0] for each in (faces, faces[:, :, ::-1]))
    return normalise(np.sum(list(codes), 0, dtype=np.float32))[0]


def kinds(autoencoder: Autoencoder, chips: Chips) -> dict[str, dict[str, View]]:
    """Ways to make views, each with its views by name; the first makes none."""
    given = autoencoder.run.preprocessing
    learned = some_fitted(chips, _FITTED)
    unit = normalise(autoencoder.encode(given.reorder(chips.aligned(learned, given.template))))[0]
    named = {f"{kind}: {level}": change for kind, level, change in changes(given.template)}

    def classic(name: str) -> View:
        return lambda faces, _: np.stack([named[name](face) for face in faces])

    def moved(step: Floats) -> View:
        return lambda _, codes: autoencoder.draw(normalise(codes + step)[0])

    attributes: dict[str, View] = {}
    for name, step in attribute_steps(unit, chips, learned).items():
        attributes |= {f"less {name}": moved(-step), f"more {name}": moved(step)}
    directions = Directions.of(unit)
    widest: dict[str, View] = {}
    for k in range(min(_WIDEST, unit.shape[1])):
        step = np.asarray(_FAR * np.sqrt(directions.variance[k]) * directions.axes[k], np.float32)
        widest |= {f"direction {k + 1}, {sign}": moved(step if sign == "+" else -step) for sign in "-+"}
    itself = {"drawn": moved(np.zeros(unit.shape[1], np.float32))}
    made = {"none": {}, "drawn": itself, "drawn, other light and turn": attributes, "drawn, widest directions": widest}
    if given.colour == "rgb":
        made |= {"light, size and blur": {name: classic(name) for name in _CLASSIC if name in named}}
    return made


def attribute_steps(unit: Floats, chips: Chips, index: NDArray[np.int64]) -> dict[str, Floats]:
    """From the mean code of the third with the least of an attribute to that of the third with the most, (D,) each."""
    values = {
        "light": [measure(chips.crop(int(k)), chips.landmarks[k], 112.0)["light"] for k in index],
        "turn": [sideways(chips.landmarks[k]) for k in index],
    }
    steps = {}
    for name, measured in values.items():
        least, _, most = np.array_split(np.argsort(measured, kind="stable"), 3)
        steps[name] = np.asarray(unit[most].mean(0) - unit[least].mean(0), np.float32)
    return steps


def _lines(photos: int, rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"{photos:,} photos; {rows[0]['people']} people enrolled with one photo each, others are strangers",
        f"{'views added to the photo':<32}" + "".join(f" {f'DIR at FPIR {rate:.1%}':>20}" for rate in _FPIRS),
    ]
    for kind in dict.fromkeys(row["views"] for row in rows):
        mine = [row for row in rows if row["views"] == kind]
        figures = (f"{percent(row['dir'], 1)} ± {100 * row['dir_spread']:.1f}" for row in mine)
        title = f"{kind} ({mine[0]['count']})"
        lines.append(f"{title:<32}" + "".join(f" {figure:>20}" for figure in figures))
    return lines
