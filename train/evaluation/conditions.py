"""How recognition holds up: smaller, blurred, darker faces, and among groups of photos and of people.

One threshold is set on the photos as they are. Then each probe, changed or of a group, is compared with the
unchanged photos of the same person and of everybody else at that threshold, as a device would.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.preprocessing import GREY_WEIGHTS
from edge_runtime.errors import InputError
from edge_runtime.faces.quality import measure
from edge_runtime.geometry.alignment import Template
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import tmr_at_fmr
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats, Pixels
from train.data import worn

Change = Callable[[Pixels], Pixels]
"""One chip to another, both uint8 (h, w, 3) RGB."""
_EYES_PX = (16, 12, 9, 6)
_BLURS = (0.1, 0.2, 0.3)
_GAINS = {"a quarter": 0.25, "half": 0.5, "twice": 2.0}
_WORN = {"dark glasses": (worn.glasses, (20.0, 20.0, 20.0)), "a mask": (worn.mask, (205.0, 225.0, 235.0))}
_THIRDS = {"turn": ("frontal", "between", "turned"), "light": ("dark", "between", "light")}
_THIRDS |= {"sharpness": ("soft", "between", "sharp")}
_FEWEST = 5
"""Fewer people than this say nothing about a group."""


@dataclass(frozen=True)
class Probes:
    """Photos that are looked up.

    Attributes:
        kind: what sets them apart: ``eyes``, ``blur``, ``light``, …
        level: how much, in words.
        index: int64 (n,), which of the photos.
        codes: float32 (n, D).
    """

    kind: str
    level: str
    index: NDArray[np.int64]
    codes: Floats


def changes(template: Template) -> list[tuple[str, str, Change]]:
    """What a chip of ``template`` is put through: kind, level and how."""
    right, left = template.as_array()[:2]
    eyes = float(np.linalg.norm(left - right))
    listed: list[tuple[str, str, Change]] = []
    listed += [("eyes", f"{px} px apart", _smaller(px / eyes)) for px in _EYES_PX if px < eyes]
    listed += [("blur", f"{share:.0%} of the eyes' distance", _blurred(share * eyes)) for share in _BLURS]
    listed += [("light", level, _lit(gain)) for level, gain in _GAINS.items()]
    listed += [("covered", what, _covered(outlines, colour)) for what, (outlines, colour) in _WORN.items()]
    return [*listed, ("colour", "none", _grey)]


def conditions(
    codes: Floats,
    names: Sequence[str],
    fmr: float,
    changed: Sequence[Probes],
    groups: Sequence[Probes] = (),
) -> dict[str, Any]:
    """Matched shares of probes at the threshold that the photos as they are give for ``fmr``.

    Args:
        codes: float32 (N, D) of the photos as they are.
        names: N people.
        fmr: 0..1.
        changed: probes made of these photos.
        groups: some of these photos as they are.

    Returns:
        JSON-ready: ``fmr``, ``threshold`` and ``rows``, each with ``kind``, ``level``, ``photos``, ``people``,
        ``tmr`` (every person weighing the same) and ``fmr``; None where there are too few people.

    Raises:
        InputError: see ``metrics.tmr_at_fmr``.
    """
    unit = normalise(codes)[0]
    found = tmr_at_fmr(unit, names, fmr)
    everybody = Probes("all", "as they are", np.arange(len(unit)), unit)
    rows = [_row(unit, np.array(names), found.threshold, probes) for probes in (everybody, *changed, *groups)]
    return {"fmr": fmr, "threshold": found.threshold, "rows": rows}


def _row(unit: Floats, names: NDArray[np.str_], threshold: float, probes: Probes) -> dict[str, Any]:
    """One probe against all other photos, a person's probes weighing 1 together."""
    matched: dict[str, list[float]] = {}
    strangers = pairs = 0
    for photo, code in zip(probes.index, normalise(probes.codes)[0], strict=True):
        above = unit @ code > threshold
        same = names == names[photo]
        strangers += int((above & ~same).sum())
        pairs += int((~same).sum())
        same[photo] = False
        if same.any():
            matched.setdefault(str(names[photo]), []).append(float(above[same].mean()))
    enough = len(matched) >= _FEWEST
    return {
        "kind": probes.kind,
        "level": probes.level,
        "photos": len(probes.index),
        "people": len(matched),
        "tmr": float(np.mean([np.mean(shares) for shares in matched.values()])) if enough else None,
        "fmr": strangers / pairs if pairs else None,
    }


def photo_groups(chips: Chips, index: NDArray[np.int64], codes: Floats) -> list[Probes]:
    """Thirds of the photos by pose, light and sharpness, as the device measures them.

    Args:
        chips: the chips file.
        index: int64 (N,), which of its faces the codes are of.
        codes: float32 (N, D).
    """
    measured = [measure(chips.crop(int(i)), chips.landmarks[i], 112.0) for i in index]
    groups = []
    for kind, levels in _THIRDS.items():
        order = np.argsort([values[kind] for values in measured], kind="stable")
        for level, third in zip(levels, np.array_split(order, 3), strict=True):
            groups.append(Probes(kind, f"{level} third", third, codes[third]))
    return groups


def people_groups(path: Path, names: Sequence[str], codes: Floats) -> list[Probes]:
    """Groups of people from a CSV file with the columns ``person`` and ``group``.

    Raises:
        InputError: no such file or columns, or nobody of it among ``names``.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            group = {row["person"]: row["group"] for row in csv.DictReader(stream)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a CSV file with the columns person and group ({error!r})") from error
    belongs = np.array([group.get(name, "") for name in names])
    found = sorted(set(belongs.tolist()) - {""})
    if not found:
        raise InputError(f"{path}: expected some of the people measured, found none of them; check the names")
    return [Probes("group", name, at, codes[at]) for name in found for at in [np.flatnonzero(belongs == name)]]


def condition_lines(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of a table: what was changed, share of true matches, share of false ones and how many."""
    lines = []
    for row in document["rows"]:
        tmr = "too few people" if row["tmr"] is None else f"{100 * row['tmr']:.1f} %"
        false = "" if row["fmr"] is None else f"FMR {100 * row['fmr']:.4f} %, "
        lines.append(
            (f"{row['kind']}: {row['level']}", tmr, f"{false}{row['photos']:,} photos, {row['people']} people")
        )
    return lines


def _smaller(share: float) -> Change:
    def change(chip: Pixels) -> Pixels:
        height, width = chip.shape[:2]
        small_wh = (max(round(share * width), 2), max(round(share * height), 2))
        small = cv2.resize(chip, small_wh, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

    return change


def _blurred(sigma: float) -> Change:
    return lambda chip: np.asarray(cv2.GaussianBlur(chip, (0, 0), sigma), np.uint8)


def _lit(gain: float) -> Change:
    return lambda chip: np.clip(np.rint(chip * np.float32(gain)), 0, 255).astype(np.uint8)


def _covered(outlines: Callable[[np.random.Generator], worn.Outlines], colour: Sequence[float]) -> Change:
    """The same worn by everybody."""
    shape = outlines(np.random.default_rng(0))

    def change(chip: Pixels) -> Pixels:
        covered = chip.copy()
        worn.draw(covered, shape, colour)
        return covered

    return change


def _grey(chip: Pixels) -> Pixels:
    return np.repeat(np.rint(chip @ GREY_WEIGHTS).astype(np.uint8)[..., None], 3, 2)
