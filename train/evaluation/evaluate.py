"""``python -m train evaluate``: codes, or a run, measured on people that nothing was fitted on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.errors import InputError, UsageError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.lfw_pairs import Pairs, parse_pairs
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats
from train.data.files import write_json
from train.evaluation.conditions import (
    Probes,
    changes,
    condition_lines,
    conditions,
    people_groups,
    photo_groups,
)
from train.evaluation.recognition import (
    FMR,
    MOST_MISSING,
    Photos,
    Protocol,
    load_codes,
    load_split,
    recognition,
    recognition_lines,
)
from train.evaluation.reconstruction import mse, psnr, ssim
from train.runs.codes import as_rgb, chips_like, encode_chips
from train.runs.models import open_model
from train.runs.run import Run, load_run

SCHEMA = 1
EVALUATION_FILE = "evaluation.json"
_BATCH = 256
_GRID_FACES = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train evaluate``."""
    parser.add_argument(
        "target", type=Path, metavar="CODES.npz|RUN|DETECTOR", help="codes of familiar embed, a run's folder, or a "
        "detector as bundle:FOLDER",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file (a run: evaluation.json in its folder)")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of a table")
    people = parser.add_argument_group("who is measured")
    people.add_argument(
        "--people",
        metavar="SPLIT[,SPLIT]",
        help=f"some of {', '.join(SPLITS)} (default: select, where splits are known)",
    )
    people.add_argument("--split", type=Path, metavar="CSV", help="codes: each person's split (columns person, split)")
    people.add_argument("--strangers", metavar="SPLIT", help="people of this split are strangers beside the others")
    people.add_argument("--chips", type=Path, metavar="FILE", help="a run: chips to measure on instead of its own")
    people.add_argument("--conditions", action="store_true", help="a run: also worse and grouped photos")
    people.add_argument("--groups", type=Path, metavar="CSV", help="a run: groups of people (columns person, group)")
    detector = parser.add_argument_group("a detector")
    detector.add_argument("--labelled", type=Path, metavar="FILE", help="photos and their faces, of train label")
    detector.add_argument("--against", metavar="DETECTOR", help="another on the same scenes, as yunet:FILE.onnx")
    detector.add_argument("--scenes", type=int, default=400, metavar="N", help="scenes to search (default: 400)")
    how = parser.add_argument_group("how")
    how.add_argument("--pairs", type=Path, metavar="FILE", help="pairs in LFW's format (default: made from the people)")
    how.add_argument("--folds", metavar="N,N", help="folds of the pairs (default: those whose people are measured)")
    how.add_argument("--enrol", type=int, default=40, metavar="N", help="people enrolled a draw (default: 40)")
    how.add_argument("--photos", type=int, default=3, metavar="N", help="photos that enrol somebody (default: 3)")
    how.add_argument("--draws", type=int, default=20, metavar="N", help="draws of who is enrolled (default: 20)")
    how.add_argument(
        "--template", choices=("mean", "best"), default="mean", help="of a person's photos (default: mean)"
    )
    how.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Measure, print, save."""
    if args.labelled:
        return _run_detector(args)
    is_run = args.target.is_dir()
    unfit = ("split",) if is_run else ("chips", "conditions", "groups")
    if wrong := [name for name in unfit if getattr(args, name)]:
        raise UsageError(f"--{wrong[0]}: only for {'codes' if is_run else 'a run'}, {args.target} is not")
    out = args.out or (args.target / EVALUATION_FILE if is_run else None)
    document = _plain(evaluate_run(args, out) if out and is_run else evaluate_codes(args))
    if out:
        write_json(out, document)
    if args.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print("\n".join(table(document)))
        if out:
            print(f"saved: {out}")
    return 0


def _run_detector(args: argparse.Namespace) -> int:
    from train.detector.evaluate import detector_table, evaluate_detector

    if args.scenes < 1:
        raise UsageError(f"--scenes {args.scenes}: expected at least 1")
    spec, split = str(args.target), args.people or "select"
    document = evaluate_detector(spec, args.labelled, split, args.against, args.scenes, args.seed, args.out)
    if args.out:
        write_json(args.out, document)
    print(json.dumps(document, indent=2) if args.json else "\n".join(detector_table(document)))
    return 0


def evaluate_codes(args: argparse.Namespace) -> dict[str, Any]:
    """Recognition figures of a codes file."""
    photos = load_codes(args.target)
    pairs = _read_pairs(args.pairs)
    notes: list[str] = []
    if args.split:
        split = load_split(args.split)
        splits = np.array([split.get(name, "") for name in photos.names.tolist()], np.str_)
        photos, chosen = choose_people(photos, splits, args.people, args.strangers, notes)
        people = set(photos.names[~photos.stranger].tolist())
        pairs = covered_pairs(pairs, args.folds, people, set(split) - people)
    elif args.people or args.strangers:
        raise UsageError("--people and --strangers: expected a --split file that says who is who, received none")
    else:
        chosen = None
        notes.append("no --split given: that these people were not trained on is unchecked")
        if pairs := covered_pairs(pairs, args.folds, set(photos.names.tolist()), set()):
            photos = photos.select(np.isin(photos.names, sorted(pairs.people())))
    document = recognition(photos, _protocol(args, pairs))
    return {"schema": SCHEMA, "kind": "codes", "source": args.target.name, "splits": chosen, "notes": notes, **document}


def evaluate_run(args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Recognition and reconstruction of a run's models on held-out chips, with pictures beside ``out``."""
    fitted = load_run(args.target)
    chips = chips_like(fitted, args.chips)
    notes: list[str] = []
    everybody = Photos(
        np.zeros((len(chips), fitted.code_size), np.float32),
        chips.names,
        chips.paths,
        np.zeros(len(chips), bool),
        False,
    )
    photos, chosen = choose_people(everybody, chips.split, args.people, args.strangers, notes)
    wanted = np.flatnonzero(np.isin(chips.split, [*chosen, args.strangers or ""]))
    raw, faces = encode_chips(fitted, chips, wanted)
    held_out = ~photos.stranger
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "run",
        "source": args.target.resolve().name,
        "splits": chosen,
        "chips": {"path": str(chips.path), "detector": chips.detector, "preprocessing_hash": chips.preprocessing_hash},
        "epochs_done": fitted.epochs_done,
        "notes": notes,
    }
    photos = dataclasses.replace(photos, codes=normalise(raw)[0])
    known = photos.select(photos.names != "")
    people = set(known.names[~known.stranger].tolist())
    others = set(chips.names.tolist()) - people
    pairs = covered_pairs(_read_pairs(args.pairs), args.folds, people, others, MOST_MISSING)
    document |= recognition(known, _protocol(args, pairs))
    if args.conditions or args.groups:
        document["conditions"] = _conditions(fitted, chips, wanted[held_out], photos.select(held_out), args.groups)
    document["reconstruction"] = _reconstruction(
        fitted, raw[held_out], faces[held_out], picture_path(out, "reconstruction")
    )
    _draw(out, document)
    return document


def _conditions(
    fitted: Run, chips: Chips, index: NDArray[np.int64], photos: Photos, groups: Path | None
) -> dict[str, Any]:
    """The same photos made worse, and groups of them."""
    names, template = photos.names.tolist(), fitted.preprocessing.template
    changed = [
        Probes(kind, level, np.arange(len(index)), encode_chips(fitted, chips, index, change)[0])
        for kind, level, change in changes(template)
    ]
    of_people = people_groups(groups, names, photos.codes) if groups else []
    return conditions(photos.codes, names, FMR, changed, [*photo_groups(chips, index, photos.codes), *of_people])


def choose_people(
    photos: Photos, splits: NDArray[np.str_], people: str | None, strangers: str | None, notes: list[str]
) -> tuple[Photos, list[str]]:
    """The photos of some splits, and the splits' names; ``train`` only when it is named, and with a note.

    Args:
        photos: all of them.
        splits: (N,) str, the split of each photo.
        people: splits to measure, comma-separated; None: ``select``.
        strangers: a split whose people are strangers only; None: nobody.
        notes: gets a line for what a reader must know.

    Raises:
        UsageError: an unknown split, or one named for both.
        InputError: no photos of these people.
    """
    chosen = [name.strip() for name in (people or "select").split(",")]
    for name in (*chosen, *([strangers] if strangers else [])):
        if name not in SPLITS:
            raise UsageError(f"people: expected some of {', '.join(SPLITS)}, received {name!r}")
    if strangers in chosen:
        raise UsageError(f"--strangers {strangers}: expected another split than --people, received the same")
    if "train" in chosen:
        notes.append("measured on people it was trained on: these figures say nothing about people it has not seen")
    kept = np.isin(splits, chosen)
    if not kept.any():
        there = ", ".join(sorted(set(splits.tolist()) - {""})) or "nobody"
        raise InputError(f"people: expected photos of {', '.join(chosen)}, found those of {there} only; name others")
    stranger = splits == (strangers or "-")
    return photos.select(kept | stranger, stranger), chosen


def covered_pairs(
    pairs: Pairs | None, folds: str | None, people: set[str], others: set[str], may_lack: float = 0.0
) -> Pairs | None:
    """The pairs of the folds asked for, or of all folds whose people are measured.

    Args:
        pairs: all pairs, or None.
        folds: numbers with commas, or None.
        people: who is measured.
        others: who is known but not measured.
        may_lack: share of a fold's people who may be unknown (no photo of theirs showed a face).

    Raises:
        UsageError: folds without pairs, or not numbers.
        InputError: a fold with people who are not measured, or no two folds without.
    """
    if pairs is None:
        if folds:
            raise UsageError("--folds: expected a --pairs file with them, received none")
        return None
    if folds:
        try:
            numbers = [int(fold) for fold in folds.split(",")]
        except ValueError:
            raise UsageError(f"--folds {folds}: expected numbers with commas, as 7,8") from None
        pairs = pairs.select(numbers)
    inside, outside = [], []
    for fold in sorted(set(pairs.fold.tolist())):
        named = pairs.select([fold]).people()
        absent = named - people
        fits = not named & others and len(absent) <= may_lack * len(named)
        inside += [fold] if fits else []
        outside += sorted(absent) if not fits else []
    if folds and outside:
        raise InputError(
            f"--folds {folds}: expected only people who are measured, found {outside[0]} and {len(outside) - 1} "
            "others; name their splits with --people, or other folds"
        )
    if len(inside) < 2:
        raise InputError(
            f"pairs: expected two folds all of whose people are measured, found {len(inside)}; "
            "name more splits with --people, other folds, or leave --pairs out"
        )
    return pairs.select(inside)


def _read_pairs(path: Path | None) -> Pairs | None:
    if path is None:
        return None
    try:
        return parse_pairs(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: expected pairs in LFW's format, found nothing there; check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected pairs in LFW's format, found no text ({error})") from error


def _protocol(args: argparse.Namespace, pairs: Pairs | None) -> Protocol:
    name = args.pairs.name if args.pairs else ""
    return Protocol(pairs, name, args.enrol, args.photos, args.draws, args.template, args.seed)


def picture_path(out: Path, name: str) -> Path:
    """``NAME.png`` beside a run's own evaluation, ``STEM-NAME.png`` beside any other file."""
    return out.with_name(f"{name}.png" if out.name == EVALUATION_FILE else f"{out.stem}-{name}.png")


def _reconstruction(fitted: Run, codes: Floats, faces: NDArray[np.uint8], picture: Path) -> dict[str, Any]:
    """Per-picture figures, their baseline, and a grid of faces from the best to the worst."""
    decoder = open_model(fitted.decoder_path)
    mean_face = (faces.mean(0) / 255).astype(np.float32)
    columns: dict[str, list[NDArray[np.float64]]] = {key: [] for key in ("mse", "psnr_db", "ssim", "baseline")}
    restored = []
    for start in tqdm(range(0, len(codes), _BATCH), "decode", unit="batch", disable=None, leave=False):
        drawn = np.asarray(decoder.predict_on_batch(codes[start : start + _BATCH]), np.float32)
        original = faces[start : start + _BATCH].astype(np.float32) / np.float32(255)
        if drawn.shape != original.shape:
            raise InputError(f"{fitted.decoder_path}: expected pictures {original.shape}, received {drawn.shape}")
        for key, measure in (("mse", mse), ("psnr_db", psnr), ("ssim", ssim)):
            columns[key].append(measure(original, drawn))
        columns["baseline"].append(mse(original, np.broadcast_to(mean_face, original.shape)))
        restored.append(np.rint(drawn * 255).astype(np.uint8))
    figures = {key: np.concatenate(values) for key, values in columns.items()}
    _draw_grid(fitted, faces, np.concatenate(restored), figures["ssim"], picture)
    summary = {
        key: {"mean": float(values.mean()), "p10": _quantile(values, 10), "p90": _quantile(values, 90)}
        for key, values in figures.items()
        if key != "baseline"
    }
    return {"photos": len(codes), **summary, "mse_of_mean_face": float(figures["baseline"].mean())}


def _quantile(values: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(values, percent))


def _draw_grid(
    fitted: Run, faces: NDArray[np.uint8], restored: NDArray[np.uint8], scores: NDArray[np.float64], picture: Path
) -> None:
    from train.evaluation.figures import reconstruction_figure, save_png

    # Evenly over the ranks, so that neither the good nor the bad ones are picked.
    ranks = np.linspace(0, len(scores) - 1, min(_GRID_FACES, len(scores))).round().astype(int)
    shown = np.argsort(-scores, kind="stable")[ranks]
    original, drawn = (
        as_rgb(values[shown], fitted.preprocessing).astype(np.float32) / np.float32(255) for values in (faces, restored)
    )
    save_png(reconstruction_figure(original, drawn, scores[shown].astype(np.float32)), picture)


def _draw(out: Path, document: dict[str, Any]) -> None:
    from train.evaluation.figures import identification_figure, roc_figure, save_png

    if document["verification"]:
        save_png(roc_figure(document["verification"]), picture_path(out, "roc"))
    if document["identification"]:
        save_png(identification_figure(document["identification"]), picture_path(out, "identification"))


def table(document: dict[str, Any]) -> list[str]:
    """Lines for a terminal."""
    missing = f"{document['without_face']} without a face"
    if not document["without_face_known"]:
        missing = "photos without a face are not among the chips"
    who = f"{document['people']:,} people, {document['photos']:,} photos, {missing}"
    splits = f" ({', '.join(document['splits'])})" if document["splits"] else ""
    rows = recognition_lines(document)
    if drawn := document.get("reconstruction"):
        how = f"{drawn['photos']:,} photos; MSE of the mean face alone: {drawn['mse_of_mean_face']:.5f}"
        rows += [
            ("reconstruction MSE", f"{drawn['mse']['mean']:.5f}", how),
            ("reconstruction PSNR", f"{drawn['psnr_db']['mean']:.2f} dB", ""),
            ("reconstruction SSIM", f"{drawn['ssim']['mean']:.3f}", ""),
        ]
    lines = [f"{document['source']}: {who}{splits}"]
    lines += [f"  {name:<20} {figure:>16}  {how}".rstrip() for name, figure, how in rows]
    if held := document.get("conditions"):
        lines.append(f"  true matches at the threshold of FMR {100 * held['fmr']:g} % on the photos as they are:")
        lines += [f"    {name:<32} {figure:>10}  {how}" for name, figure, how in condition_lines(held)]
    return lines + [f"  note: {note}" for note in document["notes"]]


def _plain(value: Any) -> Any:
    """JSON has neither infinity nor NaN: they become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
