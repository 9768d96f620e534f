"""``python -m train map``: what the space of a run's codes looks like, on people it was not fitted on.

Four pictures and ``map.json``: the codes on a plane, coloured by person, light and turn; how many directions they
use; what each direction draws; and how short a code may be before people are confused.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_runtime.faces.quality import measure
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import dir_at_fpir, tmr_at_fmr
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats
from train.data.files import check_new_folder, write_json
from train.evaluation.figures import LIGHT, axes_of, save_png
from train.evaluation.recognition import FMR, percent
from train.runs.codes import as_rgb, chips_like, encode_chips, photos_of, some_fitted
from train.runs.models import open_model
from train.runs.run import Run, load_run

_FITTED = 6000
"""Photos of the people it was fitted on that the directions are taken from."""
_COLOURED = 10
"""People with a colour of their own, those with the most photos."""
_DRAWN = 10
_STEPS = (-3, -2, -1, 0, 1, 2, 3)
_SHORTEST = 8
_FPIR = 0.01
_FEWEST = 50
_ENROLLED, _PHOTOS = 40, 3


@dataclass(frozen=True)
class Directions:
    """Principal axes of codes of unit length (Pearson, 1901), the one along which they vary most first.

    Attributes:
        mean: float64 (D,).
        axes: float64 (D, D), one a row.
        variance: float64 (D,), along each.
        by_number: float64 (D,), variance of each number of the code itself.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variance: NDArray[np.float64]
    by_number: NDArray[np.float64]

    @classmethod
    def of(cls, unit: Floats) -> Directions:
        """Those of codes (N, D)."""
        mean = unit.mean(0, dtype=np.float64)
        values, vectors = np.linalg.eigh(np.cov((unit - mean).T))
        order = np.argsort(-values)
        return cls(mean, vectors.T[order], np.maximum(values[order], 0), unit.var(0, dtype=np.float64))

    @property
    def used(self) -> float:
        """How many directions would give this spread if each had the same: the participation ratio."""
        return float(self.variance.sum() ** 2 / (self.variance**2).sum())

    def for_share(self, share: float) -> int:
        """How many directions hold this share of the variance."""
        return int(np.searchsorted(np.cumsum(self.variance) / self.variance.sum(), share) + 1)

    def shorter(self, unit: Floats, length: int) -> Floats:
        """Codes (N, D) as float32 (N, length), along the first directions."""
        return np.asarray((unit - self.mean) @ self.axes[:length].T + self.mean @ self.axes[:length].T, np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train map``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for pictures and map.json")
    parser.add_argument("--people", choices=SPLITS, default="select", help="who is shown (default: select)")
    parser.add_argument("--chips", type=Path, metavar="FILE", help="chips to show instead of the run's own")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    check_new_folder(args.out)
    fitted = load_run(args.run_dir)
    chips = chips_like(fitted, args.chips)
    shown = photos_of(chips, args.people, _FEWEST)
    learned = fitted.chips()
    some = some_fitted(learned, _FITTED)
    directions = Directions.of(normalise(encode_chips(fitted, learned, some)[0])[0])
    unit = normalise(encode_chips(fitted, chips, shown)[0])[0]
    lengths = by_length(directions, unit, chips.names[shown].tolist())
    with replacing_folder(args.out) as draft:
        save_png(plane_figure(unit, chips, shown), draft / "plane.png")
        save_png(variance_figure(directions), draft / "directions.png")
        save_png(strips_figure(fitted, directions), draft / "strips.png", dpi=65)
        save_png(length_figure(lengths), draft / "lengths.png")
        write_json(draft / "map.json", _document(fitted, directions, lengths, len(shown), args.people))
    print("\n".join(_lines(directions, lengths)))
    print(f"saved: {args.out}")
    return 0


def by_length(directions: Directions, unit: Floats, names: list[str]) -> list[dict[str, float]]:
    """TMR and DIR of codes (N, D) cut to the first directions: whole, then half as long each time."""
    rows = []
    whole = length = unit.shape[1]
    people = min(_ENROLLED, sum(count > _PHOTOS for count in Counter(names).values()) // 2)
    lengths = [whole]
    while (length := 1 << ((length - 1).bit_length() - 1)) >= _SHORTEST:
        lengths.append(length)
    for length in lengths:
        cut = normalise(directions.shorter(unit, length))[0] if length < whole else unit
        found = dir_at_fpir(cut, names, [_FPIR], people=people, photos=_PHOTOS)[0]
        rows.append(
            {
                "length": length,
                "dir": found.dir_mean,
                "dir_spread": found.dir_std,
                "tmr": tmr_at_fmr(cut, names, FMR).tmr,
            }
        )
    return rows


def plane_figure(unit: Floats, chips: Chips, shown: NDArray[np.int64]) -> Figure:
    """Codes (N, D) on their first two principal axes, and by t-SNE (van der Maaten and Hinton, 2008), coloured."""
    from sklearn.manifold import TSNE

    own = Directions.of(unit)
    straight = (unit - own.mean) @ own.axes[:2].T
    near = TSNE(metric="cosine", init="random", perplexity=min(30.0, len(unit) / 4), random_state=0).fit_transform(unit)
    names, counts = np.unique(chips.names[shown], return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")][:_COLOURED]
    measured = [measure(chips.crop(int(k)), chips.landmarks[k], 112.0) for k in shown]
    figure = Figure(figsize=(11, 10), layout="constrained")
    panels = (
        (straight, "principal axes, by person"),
        (near, "t-SNE, by person"),
        (near, "by light"),
        (near, "by turn"),
    )
    for number, (points, title) in enumerate(panels):
        axis = axes_of(figure, LIGHT, (2, 2, number + 1))
        axis.set_title(title, color=LIGHT.ink, loc="left", fontsize=11)
        axis.set(xticklabels=[], yticklabels=[])
        if number < 2:
            axis.scatter(points[:, 0], points[:, 1], s=5, color="#c8cdd4", label="others")
            for k, name in enumerate(frequent):
                mine = points[chips.names[shown] == name]
                axis.scatter(mine[:, 0], mine[:, 1], s=9, color=f"C{k}", label=f"{len(mine)} photos")
            axis.legend(fontsize=7, markerscale=2, loc="best")
            continue
        kind = ("light", "turn")[number - 2]
        values = np.array([one[kind] for one in measured])
        ranks = np.argsort(np.argsort(values)) / max(len(values) - 1, 1)
        dots = axis.scatter(points[:, 0], points[:, 1], s=7, c=ranks, cmap="viridis")
        figure.colorbar(dots, ax=axis, label=f"rank of {kind}, low to high", shrink=0.7)
    return figure


def variance_figure(directions: Directions) -> Figure:
    """Share of the variance over directions, and how evenly the numbers of a code are used."""
    figure = Figure(figsize=(10, 3.6), layout="constrained", facecolor=LIGHT.paper)
    axis = axes_of(figure, LIGHT, (1, 2, 1))
    share = np.cumsum(directions.variance) / directions.variance.sum()
    axis.plot(np.arange(1, len(share) + 1), share, color=LIGHT.lines[0], linewidth=2)
    axis.axvline(directions.used, color=LIGHT.lines[1], linestyle="--", label=f"in use: {directions.used:.0f}")
    axis.set(xlabel="directions, the widest first", ylabel="share of the variance", ylim=(0, 1.02), xlim=(0, None))
    axis.legend(fontsize=9)
    axis = axes_of(figure, LIGHT, (1, 2, 2))
    numbers = np.sort(directions.by_number)[::-1] / directions.by_number.mean()
    axis.bar(np.arange(1, len(numbers) + 1), numbers, width=1.0, color=LIGHT.lines[2])
    axis.set(xlabel="numbers of a code, the widest first", ylabel="variance, 1: the mean")
    return figure


def strips_figure(fitted: Run, directions: Directions) -> Figure:
    """What the decoder draws along each of the first directions, in standard deviations from the mean code."""
    decoder = open_model(fitted.decoder_path)
    axes, spread = directions.axes[:_DRAWN], np.sqrt(directions.variance[:_DRAWN])
    codes = directions.mean + np.multiply.outer(spread, _STEPS)[..., None] * axes[:, None]
    flat = normalise(codes.reshape(-1, codes.shape[-1]).astype(np.float32))[0]
    drawn = as_rgb(np.clip(np.asarray(decoder.predict_on_batch(flat), np.float32), 0, 1), fitted.preprocessing)
    pictures = drawn.reshape(*codes.shape[:2], *drawn.shape[1:])
    figure = Figure(figsize=(len(_STEPS) * 1.05 + 0.6, _DRAWN * 1.05 + 0.3), layout="constrained")
    for row, strip in enumerate(pictures):
        for column, picture in enumerate(strip):
            axis = figure.add_subplot(len(pictures), len(_STEPS), row * len(_STEPS) + column + 1)
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(f"{_STEPS[column]:+d} sd" if _STEPS[column] else "mean", fontsize=8)
            if column == 0:
                axis.set_ylabel(f"{directions.variance[row] / directions.variance.sum():.1%}", fontsize=8)
    return figure


def length_figure(rows: list[dict[str, float]]) -> Figure:
    """DIR and TMR over the length of a code."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained", facecolor=LIGHT.paper)
    axis = axes_of(figure, LIGHT, (1, 1, 1))
    length = [row["length"] for row in rows]
    # Where the whole code is less than half as long again as the next, their labels would touch.
    marked = [k for n, k in enumerate(length) if n == 0 or length[0] >= 1.5 * k]
    for key, colour, label in (("dir", 0, "DIR at FPIR 1 %"), ("tmr", 1, "TMR at FMR 0.01 %")):
        axis.semilogx(length, [100 * row[key] for row in rows], "o-", color=LIGHT.lines[colour], base=2, label=label)
    axis.set(xlabel="length of the code", ylabel="%", xticks=marked, xticklabels=[f"{k:.0f}" for k in marked])
    axis.legend(fontsize=9)
    return figure


def _document(
    fitted: Run, directions: Directions, lengths: list[dict[str, float]], photos: int, people: str
) -> dict[str, Any]:
    return {
        "schema": 1,
        "run": fitted.path.resolve().name,
        "people": people,
        "photos": photos,
        "directions_in_use": directions.used,
        "directions_for": {f"{share:g}": directions.for_share(share) for share in (0.5, 0.9, 0.99)},
        "variance": directions.variance.tolist(),
        "lengths": lengths,
    }


def _lines(directions: Directions, lengths: list[dict[str, float]]) -> list[str]:
    half, most = directions.for_share(0.5), directions.for_share(0.9)
    lines = [
        f"{len(directions.mean)} numbers; as many directions in use as {directions.used:.1f} equal ones would be; "
        f"half of the variance in {half}, 90 % in {most}",
        f"{'length':>8}  {'DIR at FPIR 1 %':>16}  {'TMR at FMR 0.01 %':>18}",
    ]
    for row in lengths:
        figure = f"{percent(row['dir'], 1)} ± {100 * row['dir_spread']:.1f}"
        lines.append(f"{row['length']:>8}  {figure:>16}  {percent(row['tmr'], 1):>18}")
    return lines
