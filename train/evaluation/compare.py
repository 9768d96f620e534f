"""``python -m train compare``: one table over several measured runs, for a log or a report."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.storage.files import write_whole
from train.evaluation.report import read_evaluation
from train.runs.run import Run, load_run

Row = tuple[str, Callable[[Run, dict[str, Any]], str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train compare``."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, after train evaluate")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table (Markdown) there")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    text = table([(load_run(folder), _measured(folder)) for folder in args.runs])
    print(text)
    if args.out:
        write_whole(args.out, text + "\n")
    return 0


def table(measured: Sequence[tuple[Run, dict[str, Any]]]) -> str:
    """A Markdown table with a column for each run.

    Raises:
        InputError: runs that were measured on different people or photos, whose figures do not compare.
    """
    sets = {(tuple(document["splits"]), document["people"], document["photos"]) for _, document in measured}
    if len(sets) > 1:
        raise InputError(
            f"compare: expected runs measured on the same photos, found {len(sets)} sets of them "
            f"({', '.join(f'{photos} photos' for _, _, photos in sorted(sets))}); evaluate them alike"
        )
    lines = [["", *(fitted.path.resolve().name for fitted, _ in measured)]]
    lines.append(["---"] * len(lines[0]))
    lines += [[name, *(figure(fitted, document) for fitted, document in measured)] for name, figure in _ROWS]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _measured(folder: Path) -> dict[str, Any]:
    document = read_evaluation(folder)
    if document is None:
        raise InputError(f"{folder}: expected a measured run, found no figures; run python -m train evaluate {folder}")
    return document


def _pairs(key: str, shown: Callable[[dict[str, Any]], str]) -> Callable[[Run, dict[str, Any]], str]:
    return lambda fitted, document: shown(document[key]) if document[key] else "not measured"


def _dir(fpir: float) -> Callable[[Run, dict[str, Any]], str]:
    def figure(fitted: Run, document: dict[str, Any]) -> str:
        rates = (document["identification"] or {"rates": []})["rates"]
        found = [rate for rate in rates if rate["fpir"] == fpir]
        return f"{100 * found[0]['dir_mean']:.1f} ± {100 * found[0]['dir_std']:.1f} %" if found else "not measured"

    return figure


def _drawn(key: str, form: str) -> Callable[[Run, dict[str, Any]], str]:
    return lambda fitted, document: form.format(document["reconstruction"][key]["mean"])


def _spent(fitted: Run, document: dict[str, Any]) -> str:
    return f"{sum(row.get('seconds', 0.0) for row in fitted.history) / 60:.0f} min, {fitted.epochs_done} epochs"


_ROWS: list[Row] = [
    ("recipe", lambda fitted, document: fitted.recipe_name),
    ("fitted for", _spent),
    ("pairs", _pairs("verification", lambda p: f"{100 * p['accuracy']:.1f} ± {100 * p['standard_error']:.1f} %")),
    ("AUC", _pairs("verification", lambda p: f"{p['auc']:.3f}")),
    ("TMR at FMR 1e-4", _pairs("tmr_at_fmr", lambda t: f"{100 * t['tmr']:.1f} %")),
    ("DIR at FPIR 1 %", _dir(0.01)),
    ("DIR at FPIR 0.1 %", _dir(0.001)),
    ("MSE", _drawn("mse", "{:.5f}")),
    ("SSIM", _drawn("ssim", "{:.3f}")),
]
