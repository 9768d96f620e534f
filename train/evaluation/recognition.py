"""How well codes tell people apart, as one JSON-ready document: pairs, open-set identification, low false rates."""

from __future__ import annotations

import csv
import dataclasses
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import (
    OpenSet,
    Roc,
    dir_at_fpir,
    pair_accuracy,
    pair_similarity,
    roc,
    tmr_at_fmr,
    wilson_interval,
)
from edge_runtime.metrics.lfw_pairs import Pairs, make_pairs
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.types import Floats

FMR = 1e-4
_HELD_FMR = 1e-3
"""Looked at while a run is made: steadier with few people."""
FPIRS = (0.01, 0.001)
"""The open-set rates that a table gives; the curve has more."""
_CURVE_FPIRS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_CURVE_POINTS = 400
MOST_MISSING = 0.1
"""Share of official pairs (and people) that a detector may fail on before the pairs count as another data set's."""


@dataclass(frozen=True)
class Photos:
    """Codes of photos and who is on them.

    Attributes:
        codes: float32 (N, D); zero where no face was found.
        names: (N,) str.
        paths: (N,) str, relative, POSIX.
        stranger: bool (N,), people who are never enrolled nor paired.
        complete: whether a photo that is not here was never embedded (True), or had no face (False).
    """

    codes: Floats
    names: NDArray[np.str_]
    paths: NDArray[np.str_]
    stranger: NDArray[np.bool_]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.names)

    def select(self, keep: NDArray[np.bool_], stranger: NDArray[np.bool_] | None = None) -> Photos:
        """Some of the photos; ``stranger`` replaces the mask, both bool (N,)."""
        mask = self.stranger if stranger is None else stranger
        return Photos(self.codes[keep], self.names[keep], self.paths[keep], mask[keep], self.complete)


@dataclass(frozen=True)
class Protocol:
    """How it is measured.

    Attributes:
        pairs: pairs with folds, or None to make them from the people.
        pairs_name: where they came from, in words.
        people, photos, draws, template: see ``metrics.dir_at_fpir``.
        seed: of every draw.
    """

    pairs: Pairs | None = None
    pairs_name: str = ""
    people: int = 40
    photos: int = 3
    draws: int = 20
    template: Literal["mean", "best"] = "mean"
    seed: int = 0


def load_codes(path: Path) -> Photos:
    """Read what ``familiar embed`` wrote; the person is the photo's folder.

    Raises:
        InputError: no such file, or not codes.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            paths, codes, detected = (archive[key] for key in ("paths", "codes", "detected"))
    except FileNotFoundError:
        raise InputError(f"{path}: expected codes or the folder of a run, found nothing; run familiar embed") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: expected codes as familiar embed writes them, cannot read it ({error})") from error
    count = len(paths) if paths.ndim == 1 else -1
    if codes.ndim != 2 or codes.dtype.kind != "f" or not len(codes) == len(detected) == count or not count:
        raise InputError(
            f"{path}: expected codes float32 (N, D), N paths and N detected, received {codes.dtype} {codes.shape}, "
            f"{paths.shape} and {detected.shape}; run familiar embed again"
        )
    order = np.argsort(paths)
    names = np.array([PurePosixPath(str(p)).parent.name for p in paths[order]], np.str_)
    codes = np.where(detected[order].astype(bool)[:, None], codes[order], 0).astype(np.float32)
    return Photos(codes, names, paths[order].astype(np.str_), np.zeros(count, bool))


def load_split(path: Path) -> dict[str, str]:
    """Each person's split, from a CSV file with the columns ``person`` and ``split``.

    Raises:
        InputError: no such file or columns, or an unknown split.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            split = {row["person"]: row["split"] for row in csv.DictReader(stream)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a CSV file with the columns person and split ({error!r})") from error
    unknown = sorted(set(split.values()) - set(SPLITS))
    if unknown or not split:
        raise InputError(f"{path}: expected splits of {', '.join(SPLITS)}, found {', '.join(unknown) or 'nobody'}")
    return split


def recognition(photos: Photos, protocol: Protocol) -> dict[str, Any]:
    """Everything that codes say about telling people apart.

    A figure for which there are too few people is None, with the reason under ``not_measured``.

    Raises:
        InputError: pairs that name photos which are not there, or nothing can be measured.
    """
    measured = photos.select(~photos.stranger)
    document: dict[str, Any] = {
        "photos": len(measured),
        "people": len(set(measured.names.tolist())),
        "without_face": int((~measured.codes.any(1)).sum()),
        "without_face_known": photos.complete,
        "only_strangers": int(photos.stranger.sum()),
        "not_measured": {},
    }
    # Pairs that a user named must be there; pairs of our own making are made if there are people enough.
    given = _verification(measured, protocol) if protocol.pairs else None
    _attempt(document, "verification", lambda: given or _verification(measured, protocol))
    _attempt(
        document, "tmr_at_fmr", lambda: dataclasses.asdict(tmr_at_fmr(measured.codes, measured.names.tolist(), FMR))
    )
    _attempt(document, "identification", lambda: _identification(photos, protocol))
    if len(document["not_measured"]) == 3:
        raise InputError(document["not_measured"]["verification"])
    return document


def _attempt(document: dict[str, Any], name: str, measure: Callable[[], Any]) -> None:
    try:
        document[name] = measure()
    except InputError as error:
        document[name] = None
        document["not_measured"][name] = str(error)


def _verification(photos: Photos, protocol: Protocol) -> dict[str, Any]:
    """Accuracy, AUC and EER of pairs; a photo without a face never matches."""
    if protocol.pairs is None:
        left, right, same, fold = make_pairs(photos.names.tolist(), protocol.seed)
        source = f"made from the people (seed {protocol.seed})"
    else:
        left, right = protocol.pairs.indices(photos.paths.tolist(), allow_missing=not photos.complete)
        same, fold, source = protocol.pairs.same, protocol.pairs.fold, f"of {protocol.pairs_name}"
    missing = (left < 0) | (right < 0)
    if missing.mean() > MOST_MISSING:
        raise InputError(
            f"pairs: expected nearly all photos among the chips, {missing.mean():.0%} of the pairs lack one; "
            "name pairs of these people (--folds), or prepare their photos"
        )
    # Index -1, a photo without a face, is this row of zeros.
    codes = np.concatenate([photos.codes, np.zeros((1, photos.codes.shape[1]), np.float32)])
    similarity = pair_similarity(codes[left], codes[right])
    accuracy, curve = pair_accuracy(similarity, same, fold), roc(similarity, same)
    return {
        "source": source,
        "pairs": len(same),
        "same": int(same.sum()),
        "without_photo": int(missing.sum()),
        "accuracy": accuracy.mean,
        "standard_error": accuracy.standard_error,
        "interval_95": wilson_interval(round(accuracy.mean * len(same)), len(same)),
        "folds": accuracy.folds,
        "accuracy_per_fold": accuracy.accuracy,
        "threshold_per_fold": accuracy.threshold,
        "auc": curve.auc,
        "eer": curve.eer,
        "roc": _thinned(curve),
    }


def _thinned(curve: Roc) -> dict[str, list[float]]:
    """The curve's corners; where there are very many, all of the lowest rates and some of the others."""
    slope = np.diff(curve.fmr) > 0
    corners = np.flatnonzero(np.concatenate([[True], slope[1:] != slope[:-1], [True]]))
    if len(corners) > _CURVE_POINTS:
        half = _CURVE_POINTS // 2
        some = np.linspace(half, len(corners) - 1, half).round().astype(int)
        corners = np.concatenate([corners[:half], corners[some]])
    return {"fmr": curve.fmr[corners].round(6).tolist(), "tmr": curve.tmr[corners].round(6).tolist()}


def _identification(photos: Photos, protocol: Protocol) -> dict[str, Any]:
    rows = dir_at_fpir(
        photos.codes,
        photos.names.tolist(),
        _CURVE_FPIRS,
        people=protocol.people,
        photos=protocol.photos,
        draws=protocol.draws,
        seed=protocol.seed,
        template=protocol.template,
        enrollable=~photos.stranger,
    )
    first = rows[0]
    return {
        **{key: getattr(first, key) for key in ("people", "photos", "draws", "seed", "template")},
        **{key: getattr(first, key) for key in ("searches", "strangers")},
        "rates": [_rate(row) for row in rows if row.fpir in FPIRS][::-1],
        "curve": {key: [getattr(row, key) for row in rows] for key in ("fpir", "dir_mean", "dir_std")},
    }


def _rate(row: OpenSet) -> dict[str, Any]:
    few = row.strangers * row.fpir < 1
    note = f"only {row.strangers:.0f} photos of strangers: the threshold is that of the best of them" if few else ""
    return {
        "fpir": row.fpir,
        "dir_mean": row.dir_mean,
        "dir_std": row.dir_std,
        "fnir_mean": 1 - row.dir_mean,
        "threshold_mean": row.threshold_mean,
        "note": note,
    }


def held_figures(codes: Floats, names: Sequence[str]) -> dict[str, float]:
    """Pair accuracy and TMR of raw codes (N, D) of people nobody was fitted on; empty where they are too few."""
    unit, _ = normalise(codes.astype(np.float32))
    try:
        left, right, same, fold = make_pairs(names)
        accuracy = pair_accuracy(pair_similarity(unit[left], unit[right]), same, fold).mean
        return {"val_pair_accuracy": accuracy, "val_tmr_at_fmr_1e-3": tmr_at_fmr(unit, names, _HELD_FMR).tmr}
    except InputError:
        return {}


def percent(share: float, digits: int = 2) -> str:
    """``0.98765`` as ``98.77 %``."""
    return f"{100 * share:.{digits}f} %"


def recognition_lines(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of a table of what :func:`recognition` found: measure, figure, how it was measured."""
    rows: list[tuple[str, str, str]] = []
    if pairs := document["verification"]:
        low, high = (percent(end) for end in pairs["interval_95"])
        how = f"{pairs['pairs']:,} pairs {pairs['source']}, {_folds(pairs['folds'])}"
        how += f"; ± standard error; 95 %: {low} to {high}"
        figure = f"{percent(pairs['accuracy'])} ± {100 * pairs['standard_error']:.2f}"
        rows += [
            ("pair accuracy", figure, how),
            ("ROC AUC", f"{pairs['auc']:.4f}", "the same pairs"),
            ("equal error rate", percent(pairs["eer"]), "where FMR = FNMR"),
        ]
    if tmr := document["tmr_at_fmr"]:
        how = f"all pairs of {tmr['people']} people, each weighing the same"
        rows.append(("TMR at FMR 0.01 %", percent(tmr["tmr"], 1), how))
    if found := document["identification"]:
        how = (
            f"{found['people']} people x {found['photos']} photos, ± spread of {found['draws']} draws; "
            f"{found['searches']:,.0f} more photos of theirs, {found['strangers']:,.0f} of strangers"
        )
        for rate in found["rates"]:
            figure = f"{percent(rate['dir_mean'], 1)} ± {100 * rate['dir_std']:.1f}"
            rows.append((f"DIR at FPIR {100 * rate['fpir']:g} %", figure, rate["note"] or how))
    names = {"verification": "pair accuracy", "tmr_at_fmr": "TMR at FMR 0.01 %", "identification": "DIR at FPIR"}
    rows += [(names[key], "not measured", reason) for key, reason in document["not_measured"].items()]
    return rows


def _folds(folds: Sequence[int]) -> str:
    return f"folds {', '.join(map(str, folds))}" if len(folds) < 4 else f"{len(folds)} folds"
