"""``python -m train doubt``: what in a code, or in what is drawn of it, says that a picture is no face, or a bad one.

Three signals of the same autoencoder: how far the drawn face is from the picture, the length of the code, and how
alike the codes of a picture and of its mirror image are. Each is measured by how well it tells good photos from worse
faces and from what is no face (AUC; share refused where one in a hundred good photos is).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_runtime.errors import UsageError
from edge_runtime.faces.quality import sideways
from edge_runtime.geometry.alignment import Template, align
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Pixels
from train.data.files import check_new_folder, write_json
from train.detector.backgrounds import unseen
from train.evaluation.conditions import changes
from train.evaluation.figures import LIGHT, axes_of, save_png
from train.evaluation.recognition import percent
from train.evaluation.reconstruction import mse
from train.runs.autoencoder import Autoencoder, unit_range
from train.runs.codes import chips_like, photos_of
from train.runs.run import load_run

_FEWEST = 20
_REFUSED = 0.01
"""Share of good photos that a limit may refuse."""
_ASIDE = 0.75
"""How far the landmarks of a false detection lie from the true ones, in distances of the eyes."""
SIGNALS = {"error": "error of the drawing", "length": "length of the code", "mirror": "likeness to the mirror image"}
Signals = dict[str, NDArray[np.float64]]
"""Each (N,), more is worse."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train doubt``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: roc.png, doubt.json")
    parser.add_argument("--people", choices=SPLITS, default="select", help="whose faces (default: select)")
    parser.add_argument("--photos", type=int, default=1500, metavar="N", help="at most so many (default: 1500)")
    parser.add_argument("--chips", type=Path, metavar="FILE", help="chips to look at instead of the run's own")


def run(args: argparse.Namespace) -> int:
    """Measure each kind of picture, write."""
    check_new_folder(args.out)
    if args.photos < _FEWEST:
        raise UsageError(f"--photos {args.photos}: expected at least {_FEWEST}")
    fitted = load_run(args.run_dir)
    chips = chips_like(fitted, args.chips)
    chosen = photos_of(chips, args.people, _FEWEST, args.photos, named=False)
    autoencoder = Autoencoder(fitted)
    good = signals(autoencoder, chips.aligned(chosen, fitted.preprocessing.template))
    measured = {
        name: signals(autoencoder, faces) for name, faces in worse(chips, chosen, fitted.preprocessing.template)
    }
    rows = [{"kind": name, "pictures": len(of["error"]), **judged(good, of)} for name, of in measured.items()]
    document = {
        "schema": 1,
        "run": fitted.path.resolve().name,
        "people": args.people,
        "photos": len(chosen),
        "refused": _REFUSED,
        "rows": rows,
    }
    with replacing_folder(args.out) as draft:
        save_png(roc_figure(good, measured), draft / "roc.png")
        write_json(draft / "doubt.json", document)
    print("\n".join(_lines(document)))
    print(f"saved: {args.out}")
    return 0


def signals(autoencoder: Autoencoder, faces: Pixels) -> Signals:
    """Of aligned faces uint8 (N, h, w, 3) RGB."""
    seen = autoencoder.run.preprocessing.reorder(faces)
    codes = autoencoder.encode(seen)
    unit, mirrored = (normalise(each)[0] for each in (codes, autoencoder.encode(seen[:, :, ::-1])))
    return {
        "error": mse(unit_range(seen), unit_range(autoencoder.draw(codes))),
        "length": -np.linalg.norm(codes, axis=1).astype(np.float64),
        "mirror": -(unit * mirrored).sum(1).astype(np.float64),
    }


def worse(chips: Chips, chosen: NDArray[np.int64], template: Template) -> Iterator[tuple[str, Pixels]]:
    """Kinds of worse faces, and of what is no face, as ``template`` aligns them, uint8 (N, h, w, 3) RGB."""
    faces = chips.aligned(chosen, template)
    for kind, level, change in changes(template):
        yield f"{kind}: {level}", np.stack([change(face) for face in faces])
    turned = np.argsort([abs(sideways(chips.landmarks[k])) for k in chosen])[-len(chosen) // 10 :]
    yield "the tenth that is turned most", faces[turned]
    yield "on its side", np.ascontiguousarray(faces.transpose(0, 2, 1, 3))
    yield "upside down", np.ascontiguousarray(faces[:, ::-1])
    yield "beside a face", _beside(chips, chosen, template)
    for name, animals in (("drawn animals", True), ("drawn patterns", False)):
        yield name, np.stack(unseen(template.size_wh, len(chosen), animals))


def _beside(chips: Chips, chosen: NDArray[np.int64], template: Template) -> Pixels:
    """Cut where a detector would have missed the face, in the four directions in turn."""
    cut = []
    for n, k in enumerate(chosen):
        points = chips.landmarks[k]
        eyes = float(np.linalg.norm(points[1] - points[0]))
        shift = np.float32(_ASIDE * eyes) * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)], np.float32)[n % 4]
        cut.append(align(chips.crop(int(k)), (points + shift)[None], template)[0])
    return np.stack(cut)


def judged(good: Signals, other: Signals) -> dict[str, dict[str, float]]:
    """By signal: the area under its ROC curve, and the share refused where ``_REFUSED`` of the good are."""
    found = {}
    for name in SIGNALS:
        limit = np.quantile(good[name], 1 - _REFUSED)
        found[name] = {"auc": auc(good[name], other[name]), "refused": float((other[name] > limit).mean())}
    return found


def auc(good: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How often a picture of ``other`` has more of a signal than a good one, an equal pair counting half."""
    ordered = np.sort(good)
    below, upto = np.searchsorted(ordered, other, "left"), np.searchsorted(ordered, other, "right")
    return float((below + upto).mean() / (2 * len(good)))


def roc_figure(good: Signals, measured: dict[str, Signals]) -> Figure:
    """One panel a signal, one curve a kind."""
    figure = Figure(figsize=(12, 4.6), layout="constrained", facecolor=LIGHT.paper)
    for place, (name, title) in enumerate(SIGNALS.items()):
        axis = axes_of(figure, LIGHT, (1, 3, place + 1))
        limits = np.quantile(good[name], np.linspace(1, 0, 201))
        for k, (kind, of) in enumerate(measured.items()):
            refused = [(of[name] > limit).mean() for limit in limits]
            axis.plot(
                np.linspace(0, 100, 201),
                100 * np.array(refused),
                color=f"C{k % 10}",
                linewidth=1.2,
                label=kind,
                linestyle="-" if k < 10 else "--",
            )
        axis.set(xlabel="good photos refused, %", ylabel="refused, %", title=title, xlim=(0, 30))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [
        f"{document['photos']:,} good photos; AUC, and share refused where {_REFUSED:.0%} of them is",
        f"{'':<34}" + "".join(f" {title:>29}" for title in SIGNALS.values()),
    ]
    for row in document["rows"]:
        figures = (f"{row[name]['auc']:.3f}, {percent(row[name]['refused'], 1)}" for name in SIGNALS)
        lines.append(f"{row['kind']:<34}" + "".join(f" {figure:>29}" for figure in figures))
    return lines
