"""What wrong and bad photos do to a gallery, with and without what keeps them out.

    python -m tests.benchmarks.poison --data DIR --split lfw_split.csv --codes codes.npz --out docs/gallery/poison

Fifty people are enrolled from up to five photos each. Five in a hundred of all photos are somebody else's, ten in a
hundred are made bad: shrunk to 26 px, blurred, darkened or overexposed. Everything goes through the product's own
``Enroller`` into a real gallery; recognition is measured on other photos, with the product's own threshold for 10
of 1,000 strangers. ``codes.npz`` (``familiar embed`` with the same bundle and detector) saves embedding the searches.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from edge_runtime.config import DecideConfig, load_config
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.enrolment.photo import Enroller
from edge_runtime.faces.chain import FaceChain, open_chain
from edge_runtime.gallery.store import Gallery
from edge_runtime.pictures.reader import read_image
from edge_runtime.types import Pixels
from tests.benchmarks.calibration import People, load

_PEOPLE, _PHOTOS = 50, 5
_WRONG, _BAD = 0.05, 0.10
_WISH = DecideConfig(false_accepts_per_1000_strangers=10.0)


def spoil(pixels: Pixels, how: str, box_px: float) -> Pixels:
    """A bad photo of the same face, uint8 (H, W, 3) RGB."""
    if how == "tiny":
        shrink = 26 / box_px
        return np.asarray(cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    if how == "blurred":
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.05 * box_px), np.uint8)
    if how == "dark":
        return np.asarray(pixels * 0.12, np.uint8)
    return np.asarray(np.clip(pixels.astype(np.float32) * 1.5 + 130, 0, 255), np.uint8)


def plan(people: People, rng: np.random.Generator) -> list[tuple[int, int, str]]:
    """(person it is said to be, row of the photo, ``good`` | ``wrong`` | how it is bad)."""
    eligible = [index for index, rows in enumerate(people.rows) if people.split[index] != "train" and len(rows) >= 4]
    enrolled = rng.choice(eligible, min(_PEOPLE, len(eligible)), replace=False)
    strangers = np.setdiff1d(np.flatnonzero(people.split == "select"), enrolled)
    items = []
    for person in enrolled:
        rows = rng.permutation(people.rows[person])
        items += [(int(person), int(row), "good") for row in rows[: min(_PHOTOS, len(rows) - 2)]]
    order = rng.permutation(len(items))
    wrong, bad = round(_WRONG * len(items)), round(_BAD * len(items))
    for number, at in enumerate(order[:wrong]):
        others = np.setdiff1d(enrolled, [items[at][0]]) if number % 2 else strangers
        items[at] = (items[at][0], int(rng.choice(people.rows[rng.choice(others)])), "wrong")
    for number, at in enumerate(order[wrong : wrong + bad]):
        items[at] = (*items[at][:2], ("tiny", "blurred", "dark", "glare")[number % 4])
    return items


def enrol(
    chain: FaceChain, folder: Path, data: Path, paths: list[str], people: People, items: list[Any], gate: bool
) -> tuple[Gallery, Counter[tuple[str, bool]]]:
    gallery = Gallery.open(
        folder / "state/gallery.db",
        folder / "conf/device.key",
        chain.encoder_hash,
        chain.preprocessing_hash,
        chain.encoder.embedding_size,
        "poison",
    )
    enroller, became = Enroller(chain, gallery), Counter[tuple[str, bool]]()
    for person in tqdm(dict.fromkeys(item[0] for item in items), disable=None, unit="person"):
        mine = [item for item in items if item[0] == person]
        name, pictures = str(people.names[person]), []
        for _, row, kind in mine:
            pixels = read_image(data / paths[row], 50.0)
            if kind not in ("good", "wrong"):
                pixels = spoil(pixels, kind, 100.0)
            pictures.append((pixels, hashlib.sha256(pixels.tobytes()).digest(), kind))
        for pixels, digest, _ in pictures:
            enroller.look(name, pixels, digest)
        for pixels, digest, kind in pictures:
            result = enroller.photo(name, pixels, digest, kind, force=not gate)
            became[kind, result.accepted] += 1
    return gallery, became


def recognition(gallery: Gallery, chain: FaceChain, people: People, items: list[Any]) -> dict[str, float]:
    matcher = make_matcher(gallery.templates(), chain.bundle, _WISH)
    used = {row for _, row, _ in items}
    enrolled = sorted({item[0] for item in items})
    probes = [(row, str(people.names[p])) for p in enrolled for row in people.rows[p] if row not in used]
    strangers = np.setdiff1d(np.flatnonzero(people.split == "final"), enrolled)
    found = matcher.match(people.codes[[row for row, _ in probes]])
    per_person: dict[str, list[bool]] = {}
    for (_, name), match in zip(probes, found, strict=True):
        per_person.setdefault(name, []).append(match.person == name)
    wrong = [match.person not in (None, name) for (_, name), match in zip(probes, found, strict=True)]
    passed = matcher.match(people.codes[[people.rows[p][0] for p in strangers if not set(people.rows[p]) & used]])
    return {
        "dir": float(np.mean([np.mean(hits) for hits in per_person.values()])),
        "wrong_name": float(np.mean(wrong)),
        "strangers_named": float(np.mean([match.person is not None for match in passed])),
        "people": len(gallery.people()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--codes", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], help="as for familiar")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    people = load(args.codes, args.split)
    with np.load(args.codes) as archive:
        usable = archive["detected"] & archive["codes"].any(1)
        paths = [str(path) for path in archive["paths"][usable]]
    became: dict[bool, Counter[tuple[str, bool]]] = {True: Counter(), False: Counter()}
    figures: dict[str, list[dict[str, float]]] = {"clean": [], "gate": [], "no gate": []}
    with open_chain(load_config(None, args.set)) as chain:
        for seed in range(args.seeds):
            items = plan(people, np.random.default_rng(seed))
            runs = {"gate": (items, True), "no gate": (items, False)}
            runs["clean"] = ([item for item in items if item[2] == "good"], False)
            for kind, (chosen, gate) in runs.items():
                with tempfile.TemporaryDirectory() as folder:
                    gallery, counts = enrol(chain, Path(folder), args.data, paths, people, chosen, gate)
                    with gallery:
                        figures[kind].append(recognition(gallery, chain, people, items))
                    if kind != "clean":
                        became[gate] += counts
    rows = []
    for kind in ("good", "wrong", "tiny", "blurred", "dark", "glare"):
        counts = [became[gate][kind, accepted] for gate in (True, False) for accepted in (True, False)]
        rows.append((kind, *counts))
    lines = ["| photo | with the gate: in / refused | without: in / no face found |", "|---|---|---|"]
    lines += [f"| {kind} | {a} / {b} | {c} / {d} |" for kind, a, b, c, d in rows]
    lines += ["", "| enrolment | DIR | named wrongly | strangers named |", "|---|---|---|---|"]
    for kind in ("clean", "gate", "no gate"):
        mean = {name: np.mean([f[name] for f in figures[kind]]) for name in ("dir", "wrong_name", "strangers_named")}
        lines.append(f"| {kind} | {mean['dir']:.1%} | {mean['wrong_name']:.2%} | {mean['strangers_named']:.2%} |")
    text = "\n".join(lines) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".md").write_text(text)
    args.out.with_suffix(".json").write_text(json.dumps({"photos": rows, "figures": figures}, indent=1) + "\n")
    print(text, end="")


if __name__ == "__main__":
    main()
