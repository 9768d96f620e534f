"""How strict this device is, what that costs, and what the cohort supports.

The cohort of the bundle is compared with everybody enrolled here, and each enrolled photo is searched as if it had not
been enrolled. Nothing is changed. The column target is the target FPIR (false positive identification rate), in
thousandths: how many of 1,000 strangers may get a name. The row with > is [decide] false_accepts_per_1000_strangers.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path

from edge_runtime.config import Config, check_output, load_config, socket_path
from edge_runtime.control.client import ControlClient
from edge_runtime.decision.calibration import Calibration
from edge_runtime.decision.forecast import Row, check_enrolled, forecast, strangers_per_week
from edge_runtime.decision.leave_one_out import LeaveOneOut, leave_one_out
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.drawing.contact_sheet import save_sheet
from edge_runtime.drawing.error_curves import Curves, draw_curves
from edge_runtime.drawing.picture_file import picture_format
from edge_runtime.errors import UsageError
from edge_runtime.faces.chain import open_chain
from edge_runtime.gallery.opening import open_gallery

_MOST_PERSONS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw both error curves with this device's place")
    parser.add_argument(
        "--strangers-per-week",
        type=float,
        metavar="N",
        help="how many strangers pass here in a week (default: as many as the daemon saw)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Print the table; returns the exit code.

    Raises:
        UsageError: a number of strangers below 0.
        InputError: nobody is enrolled, or the plot cannot be written.
        FamiliarError: bundle or gallery cannot be used.
    """
    if args.strangers_per_week is not None and not 0 <= args.strangers_per_week < math.inf:
        raise UsageError(f"--strangers-per-week: expected 0 or more, received {args.strangers_per_week:g}")
    config = load_config(args.config, args.set)
    if args.plot:
        picture_format(check_output(config, args.plot))
    with open_chain(config) as chain:
        with open_gallery(config, chain, create=False) as gallery:
            templates = gallery.templates()
        check_enrolled(templates)
        bundle, left = chain.bundle, leave_one_out(templates)
    target, margin = config.decide.false_accepts_per_1000_strangers, config.decide.margin

    def matching(value: float) -> Matcher:
        decide = dataclasses.replace(config.decide, false_accepts_per_1000_strangers=value)
        return make_matcher(templates, bundle, decide, tracks=True)

    matcher = matching(target)
    here = matcher.calibration
    document = forecast(matcher, matching, left, _strangers_per_week(config, args.strangers_per_week))
    if args.plot:
        _plot(args.plot, here, left, margin, len(templates.names))
    print(json.dumps(document, indent=2) if args.json else "\n".join(_table(document, target)))
    return 0


def _strangers_per_week(config: Config, given: float | None) -> tuple[float | None, str | None]:
    """How many strangers pass in a week, and who says so."""
    if given is not None:
        return given, "given"
    client = ControlClient.connect(socket_path(config))
    return (None, None) if client is None else strangers_per_week(client.call("status", {}))


def _table(document: Row, target: float) -> list[str]:
    subject = "tracks" if document["strangers"]["track_people"] else "pictures"
    lines = [
        f"{document['people']} people, {document['templates']} photos; strangers: {document['strangers']['people']} "
        f"people behind the bundle's"
        + (f", {alike:,} behind those who look alike" if (alike := document["strangers"]["alike_people"]) else "")
        + f", counted in {subject}",
        f"{'target':>7}  {'thresholds':>12}  {'named of 1,000 (95 %)':<24}{'if they look alike':<24}{'supported':<11}"
        "enrolled photos missed",
    ]
    for row in document["targets"]:
        low, high = row["interval_per_1000"]
        expected = f"{_short(row['expected_per_1000'])} ({_short(low)} to {_short(high)})"
        bounds = row["thresholds"]
        threshold = "none" if bounds is None else " to ".join(dict.fromkeys(f"{bound:.2f}" for bound in bounds))
        alike = "not known"
        if row["alike_per_1000"] is not None:
            alike = f"{_short(row['alike_per_1000'])} ({' to '.join(map(_short, row['alike_interval']))})"
        mark = ">" if row["target_per_1000"] == target else " "
        lines.append(
            f"{mark}{row['target_per_1000']:>6g}  {threshold:>12}  {expected:<24}{alike:<24}"
            f"{'yes' if row['supported'] else 'no':<11}{_misses(row)}"
        )
    lines += _persons(document["persons"])
    lines += [
        f"hard to tell: {pair['first']} and {pair['second']} ({pair['similarity']:.2f} alike, a margin of "
        f"{pair['margin']:.2f} is needed)"
        for pair in document["pairs"]
    ]
    if document["note"]:
        lines.append(f"note: {document['note']}")
    if document["false_names_per_week"] is None:
        lines.append("false names a week: not known; the daemon has not watched for an hour (--strangers-per-week N)")
    else:
        lines.append(
            f"false names a week: {_short(document['false_names_per_week'])} expected, of "
            f"{document['strangers_per_week']:.0f} strangers ({document['strangers_per_week_from']})"
        )
    return lines


def _persons(persons: list[Row]) -> list[str]:
    """A line each: threshold, visits missed, and what more photos would buy; the worst first, not all of many."""
    lines = []
    for person in sorted(persons, key=lambda row: -row["missed"])[:_MOST_PERSONS]:
        threshold = "nobody is named" if person["threshold"] is None else f"needs {person['threshold']:.2f}"
        photos = f"{person['photos']} photo{'s' * (person['photos'] != 1)}"
        told = "" if person["missed_from"] == "photos" else ", by other people's photos"
        line = f"{person['name']}: {threshold}, {photos}, {person['missed']:.0%} of pictures missed{told}"
        if person["with_photos"]:
            line += "; with " + ", ".join(f"{n} photos about {m:.0%}" for n, m in person["with_photos"].items())
        lines.append(line)
    if len(persons) > _MOST_PERSONS:
        lines.append(f"and {len(persons) - _MOST_PERSONS} people more, who are missed less often (--json shows all)")
    return lines


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _misses(row: Row) -> str:
    if row["miss_rate"] is None:
        return "not known: nobody has two photos"
    low, high = row["miss_interval"]
    return f"{row['miss_rate']:.0%} ({low:.0%} to {high:.0%}) of {row['photos_tried']}"


def _plot(path: Path, calibration: Calibration, left: LeaveOneOut, margin: float, people: int) -> None:
    scores = calibration.stranger_scores
    bounds = calibration.bounds or (calibration.threshold, calibration.threshold)
    ends = [bounds[1] + 0.1, float(scores[-1]) if len(scores) else 0.0, *left.own.tolist()]
    middle = float(scores[len(scores) // 2]) if len(scores) else 0.0
    low, high = min([middle, *left.own.tolist()]), max(ends)
    misses = (lambda threshold: left.miss_rate(threshold, margin) or 0.0) if len(left) else None
    curves = Curves(
        f"{people} enrolled: a name needs a score of {' to '.join(dict.fromkeys(f'{bound:.2f}' for bound in bounds))}",
        f"target: {calibration.target_per_1000:g} of 1,000 strangers; expected in general "
        f"{_short(calibration.expected_per_1000)} ({' to '.join(map(_short, calibration.interval))})"
        + (f", alike {_short(calibration.alike_per_1000)}" if calibration.alike_per_1000 is not None else ""),
        bounds,
        lambda threshold: calibration.rate_per_1000(threshold) / 1000,
        None
        if calibration.thresholds is not None
        else (calibration.interval[0] / 1000, calibration.interval[1] / 1000),
        calibration.supported_in_general,
        calibration.alike_rate if calibration.household else None,
        misses,
        (math.floor(low * 20) / 20, math.ceil(min(high, 1.0) * 20) / 20),
    )
    save_sheet(draw_curves(curves), path)
