"""Pictures of measurements, drawn for light and for dark pages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edge_runtime.storage.files import replacing
from edge_runtime.types import Floats, Pixels


@dataclass(frozen=True)
class Palette:
    """Colours of a figure: text and axes, grid, background, and the lines in order."""

    ink: str
    grid: str
    paper: str
    lines: tuple[str, ...]


LIGHT = Palette("#424a53", "#e4e7eb", "#ffffff", ("#2f6fde", "#d9730d", "#0f9d76", "#a347ba"))
DARK = Palette("#b6bec9", "#2e3540", "#161b22", ("#6ea8fe", "#f0a35e", "#4fd1a5", "#d28be6"))


def _axes(palette: Palette, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained", facecolor=palette.paper)
    return figure, axes_of(figure, palette)


def axes_of(figure: Figure, palette: Palette, place: tuple[int, int, int] = (1, 1, 1)) -> Axes:
    """Axes of a figure in our looks, at rows, columns, number."""
    axis = figure.add_subplot(*place, facecolor=palette.paper)
    axis.grid(color=palette.grid, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", colors=palette.ink, length=0, labelsize=9)
    for side in axis.spines.values():
        side.set_visible(False)
    for text in (axis.xaxis.label, axis.yaxis.label):
        text.set_color(palette.ink)
    return axis


def _percent(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def roc_figure(verification: dict[str, Any], palette: Palette = LIGHT) -> Figure:
    """TMR over FMR on a logarithmic axis, from what ``recognition`` gives."""
    figure, axis = _axes(palette, (5.2, 3.6))
    fmr, tmr = (np.asarray(verification["roc"][key]) for key in ("fmr", "tmr"))
    least = 1 / max(verification["pairs"] - verification["same"], 1)
    shown = np.maximum(fmr, least)
    axis.semilogx(shown, tmr, color=palette.lines[0], linewidth=2.2, solid_joinstyle="round")
    axis.semilogx(grid := np.geomspace(least, 1, 200), grid, "--", color=palette.ink, linewidth=1, alpha=0.6)
    eer = verification["eer"]
    if eer > least:
        axis.plot([eer], [1 - eer], "o", color=palette.lines[1], markersize=6)
        axis.annotate(
            f"EER {100 * eer:.1f} %",
            (eer, 1 - eer),
            (-9, 4),
            textcoords="offset points",
            ha="right",
            color=palette.ink,
            fontsize=9,
        )
    axis.set(xlim=(least, 1), ylim=(0, 1.02), xlabel="false match rate (chance: dashed)", ylabel="true match rate")
    _percent(axis.xaxis)
    _percent(axis.yaxis)
    return figure


def identification_figure(identification: dict[str, Any], palette: Palette = LIGHT) -> Figure:
    """DIR over FPIR with the spread over draws, from what ``recognition`` gives."""
    figure, axis = _axes(palette, (5.2, 3.6))
    fpir, mean, std = (np.asarray(identification["curve"][key]) for key in ("fpir", "dir_mean", "dir_std"))
    axis.fill_between(
        fpir, np.clip(mean - std, 0, 1), np.clip(mean + std, 0, 1), color=palette.lines[0], alpha=0.18, linewidth=0
    )
    axis.semilogx(fpir, mean, "o-", color=palette.lines[0], linewidth=2.2, markersize=4)
    axis.set(xlim=(fpir.min(), 1), ylim=(0, 1.02), xlabel="strangers named (FPIR)", ylabel="known people named (DIR)")
    _percent(axis.xaxis)
    _percent(axis.yaxis)
    return figure


_NOT_CURVES = ("epoch", "seconds", "learning_rate", "step", "steps")


def history_panels(history: Sequence[dict[str, float]]) -> list[tuple[str, list[str]]]:
    """What is drawn together: a measure of training with its ``val_`` twin, then whatever is only validated."""
    keys = [key for key in dict.fromkeys(k for row in history for k in row) if key not in _NOT_CURVES]
    curve = {key: [row.get(key) for row in history] for key in keys}
    # Where only some terms are validated, their sum is no twin of the whole loss.
    if "val_loss" in keys and any(
        curve[f"val_{key}"] == curve["val_loss"] and curve[key] != curve.get("loss")
        for key in keys
        if key != "loss" and f"val_{key}" in keys
    ):
        keys.remove("val_loss")
    panels = []
    for key in keys:
        if not key.startswith("val_"):
            panels.append((key, [k for k in (key, f"val_{key}") if k in keys]))
        elif key.removeprefix("val_") not in keys:
            panels.append((key.removeprefix("val_"), [key]))
    # With a single term, the loss and that term are one curve.
    seen: list[list[list[float | None]]] = []
    different = []
    for title, group in panels:
        curves = [curve[key] for key in group]
        if curves not in seen:
            seen.append(curves)
            different.append((title, group))
    return different


def history_figures(history: Sequence[dict[str, float]], palette: Palette = LIGHT) -> list[Figure]:
    """A figure a measure over epochs; people it was fitted on in the first colour, others in the second."""
    figures = []
    for title, keys in history_panels(history):
        figure, axis = _axes(palette, (5.2, 2.9))
        for key in keys:
            points = [(row.get("epoch", n + 1), row[key]) for n, row in enumerate(history) if key in row]
            marker = "o" if len(points) == 1 else ""
            colour = palette.lines[1 if key.startswith("val_") else 0]
            axis.plot(*zip(*points, strict=True), marker=marker, color=colour, linewidth=2)
        axis.set_title(title.replace("_", " "), color=palette.ink, fontsize=11, loc="left")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figures.append(figure)
    return figures


def reconstruction_figure(original: Floats, restored: Floats, scores: Floats, blocks: int = 2) -> Figure:
    """Original | reconstruction | difference, one row a face, in side-by-side blocks, with each face's SSIM.

    Args:
        original: float (N, h, w, C) in 0..1, RGB or grey.
        restored: the same shape.
        scores: SSIM, (N,).
        blocks: how many faces stand beside each other.
    """
    rows = -(-len(original) // blocks)
    # Grey that is legible on white and on black: the picture is shown on both.
    ink = "#7d8590"
    figure = Figure(figsize=(3 * blocks * 1.15, rows * 1.22 + 0.3), facecolor="none")
    layout = figure.add_gridspec(
        rows,
        4 * blocks - 1,
        width_ratios=([1, 1, 1, 0.16] * blocks)[:-1],
        wspace=0.05,
        hspace=0.18,
        left=0.01,
        right=0.99,
        bottom=0.02,
        top=1 - 0.3 / (rows * 1.22 + 0.3),
    )
    for i in range(len(original)):
        row, block = i % rows, i // rows
        difference = (restored[i] - original[i]).mean(-1)
        for k, (title, image) in enumerate(
            (("original", original[i]), ("reconstruction", restored[i]), ("difference", difference))
        ):
            axis = figure.add_subplot(layout[row, 4 * block + k])
            if title == "difference":
                axis.imshow(image, cmap="RdBu_r", vmin=-0.5, vmax=0.5)
            else:
                axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            if row == 0:
                axis.set_title(title, color=ink, fontsize=9, pad=6)
            if k == 1:
                axis.text(
                    0.5,
                    -0.03,
                    f"SSIM {scores[i]:.2f}",
                    color=ink,
                    fontsize=7,
                    ha="center",
                    va="top",
                    transform=axis.transAxes,
                )
    return figure


def rows_figure(rows: Mapping[str, Pixels], beside: float) -> Figure:
    """Pictures uint8 (n, h, w, 3) RGB, a row each with its name at the left, in ``beside`` inches."""
    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(columns * 1.05 + beside, len(rows) * 1.05), layout="constrained", facecolor="white")
    for row, (name, pictures) in enumerate(rows.items()):
        for column, picture in enumerate(pictures):
            axis = figure.add_subplot(len(rows), columns, row * columns + column + 1)
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            if column == 0:
                axis.set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
    return figure


def save_png(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write a PNG whole or not at all."""
    with replacing(path) as draft:
        figure.savefig(draft, dpi=dpi)


def svg(figure: Figure) -> bytes:
    """The figure as SVG; letters become outlines, so that it looks the same everywhere."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
