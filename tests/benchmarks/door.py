"""A month at a door: false names a week before and after its own strangers are known, and with somebody who poisons it.

    python -m tests.benchmarks.door --bundle FOLDER --chips scut.npz --people lfw.npz --out docs/calibration/door

Five people of a group are enrolled and 500 strangers of that group come in 30 days, each once, at most 200 of them
remembered for 14 days, as by default; those who are named leave nothing. After every 25 more who are remembered the
thresholds are made again, as the daemon does. On the tenth day an attacker comes: stands before the door all day, in
2,000 sightings; or shows 200 faces unlike anybody; or 200 that were made to lie near the enrolled. Single pictures.
Writes NAME.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig, StrangersConfig
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats
from edge_runtime.unknowns.crowd import Crowd
from edge_runtime.unknowns.linkage import Linkage
from edge_runtime.unknowns.memory import Sighting
from tests.benchmarks.same_group import gallery, pools

_ENROLLED, _VISITORS, _DAYS = 5, 500, 30
_DAY_S, _WEEK_DAYS = 24 * 3600.0, 7
_MORE_AT_DOOR = 25
_TARGET = 10.0
_ATTACKED_DAY, _STANDING, _SHOWN = 10, 2000, 200
ATTACKS = ("stands there", "far faces", "near faces")


@dataclass
class Month:
    """What a month came to.

    Attributes:
        named: how many strangers were named, a week.
        rises: by how much the thresholds were raised, at each change.
        least: the least that any threshold rose by in a change; below 0 where one became milder.
    """

    named: np.ndarray
    rises: list[float]
    least: float


def attackers(kind: str, enrolled: Floats, somebody: Floats, rng: np.random.Generator) -> Floats:
    size = enrolled.shape[1]
    count = _STANDING if kind == "stands there" else _SHOWN
    noise = normalise(rng.normal(size=(count, size)).astype(np.float32))[0]
    if kind == "stands there":
        return normalise(0.9 * somebody + 0.45 * noise)[0]
    if kind == "near faces":
        return normalise(0.45 * enrolled[rng.integers(len(enrolled), size=count)] + 0.9 * noise)[0]
    return noise


def visits(pool: Floats, attack: Floats | None) -> Iterator[tuple[float, bool, Floats]]:
    """Day, whether it is a stranger and not the attacker, and what is seen."""
    seen = [(day, True, one) for day, one in zip(np.linspace(0, _DAYS, len(pool), False), pool, strict=True)]
    if attack is not None:
        days = _ATTACKED_DAY + np.linspace(0, 1, len(attack), False)
        seen += [(day, False, one) for day, one in zip(days, attack, strict=True)]
    yield from sorted(seen, key=lambda item: item[0])


def month(bundle: Bundle, linkage: Linkage, enrolled: Floats, pool: Floats, attack: Floats | None) -> Month:
    strangers, decide, default = bundle.strangers(), DecideConfig(_TARGET), StrangersConfig()

    def made(door: Floats | None, raised: float = 0.0) -> Matcher:
        return make_matcher(gallery(enrolled), bundle, decide, strangers, door=door, raised=raised)

    matcher = made(None)
    crowd, known, today = Crowd(linkage, default.most, default.visit_s), 0, 0
    found = Month(np.zeros(_DAYS // _WEEK_DAYS + 1), [], 0.0)
    for day, stranger, code in visits(pool, attack):
        at_s = day * _DAY_S
        if int(day) > today:
            today = int(day)
            crowd.expire(at_s - default.keep_days * _DAY_S, at_s - 6 * default.keep_days * _DAY_S)
        if matcher.match(code[None])[0].person is not None:
            found.named[int(day) // _WEEK_DAYS] += stranger
            continue
        crowd.take(Sighting(code, 1.0, at_s, at_s, "door"), at_s)
        if len(crowd) >= known + _MORE_AT_DOOR:
            known = len(crowd)
            was, raised = matcher.calibration.thresholds, matcher.calibration.raised
            matcher = made(np.stack([one.average() for one in crowd.strangers()]), raised)
            assert matcher.calibration.thresholds is not None and was is not None
            found.rises.append(matcher.calibration.raised)
            found.least = min(found.least, float((matcher.calibration.thresholds - was).min()))
    return found


def without_memory(bundle: Bundle, enrolled: Floats, pool: Floats) -> float:
    """Strangers named a week where none is remembered."""
    matcher = make_matcher(gallery(enrolled), bundle, DecideConfig(_TARGET), bundle.strangers())
    return sum(match.person is not None for match in matcher.match(pool)) * _WEEK_DAYS / _DAYS


def row(bundle: Bundle, linkage: Linkage, name: str, pool: Floats, draws: int) -> str:
    before, after, last, rises, poisoned = [], [], [], [], {kind: [] for kind in ATTACKS}
    least = 0.0
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        order = rng.permutation(len(pool))
        enrolled, visitors = pool[order[:_ENROLLED]], pool[order[_ENROLLED : _ENROLLED + _VISITORS]]
        before.append(without_memory(bundle, enrolled, visitors))
        plain = month(bundle, linkage, enrolled, visitors, None)
        after.append(plain.named.sum() * _WEEK_DAYS / _DAYS)
        last.append(plain.named[3])
        rises.append(plain.rises[-1] if plain.rises else 0.0)
        least = min(least, plain.least)
        for kind in ATTACKS:
            attack = attackers(kind, enrolled, visitors[rng.integers(len(visitors))], rng)
            attacked = month(bundle, linkage, enrolled, visitors, attack)
            poisoned[kind].append((attacked.named[3], attacked.rises[-1] if attacked.rises else 0.0))
            least = min(least, attacked.least)
    cells = [
        f"{np.mean([p[0] for p in found]):.2f} ({np.mean([p[1] for p in found]):.3f})" for found in poisoned.values()
    ]
    figures = f"{np.mean(before):.2f} | {np.mean(after):.2f} | {np.mean(last):.2f} ({np.mean(rises):.3f})"
    return f"| {name} | {figures} | {' | '.join(cells)} | {least:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--chips", type=Path, nargs="+", required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--judge", type=Path, metavar="FILE.onnx")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    bundle = Bundle(args.bundle)
    linkage = Linkage.of_bundle(bundle, StrangersConfig().most)
    lines = [
        "False names a week, of 117 strangers of the household's group (by how much thresholds rose at the end).",
        "",
        "| strangers and household | nobody remembered | remembered, the month | its fourth week | "
        + " | ".join(f"attacked: {kind}, fourth week" for kind in ATTACKS)
        + " | least change of any threshold |",
        "|---" * (5 + len(ATTACKS)) + "|",
    ]
    for name, pool in pools(args, bundle)[0].items():
        if len(pool) >= _ENROLLED + _VISITORS:
            lines.append(row(bundle, linkage, name, pool, args.draws))
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
