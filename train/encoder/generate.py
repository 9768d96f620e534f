"""``python -m train generate``: faces of people who do not exist, drawn by a run's decoder.

Codes are drawn from a normal distribution fitted to one mean code a training person. What is drawn is kept if
the released detector finds it and, with a reference encoder, if its nearest training photo is no nearer than a real
stranger's nearest training photo is. Of the half that the cascade is surest of, the ones that differ most from
each other are taken; with ``--chips``, all that pass, as a file to fit on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, bundle_path
from edge_runtime.detectors import open_detector
from edge_runtime.errors import InputError, UsageError
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.data.chips import make_crop, write_chips
from train.data.files import check_new_folder, write_json
from train.encoder.generator import FaceGenerator
from train.encoder.guard import BundleJudge, Judge, MemoryGuard, enlarge, face_score, surrounded
from train.encoder.reference import add_reference, open_reference
from train.evaluation.figures import rows_figure, save_png
from train.runs.run import Run, load_run

_CANDIDATES = 16
"""Faces to choose from for each one wanted."""
_TRIES = 100
"""Draws for each one wanted before giving up."""
_BATCH = 128
_A_ROW, _ROWS = 8, 12
"""Faces a row, and rows, of the pictures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, metavar="DIR", dest="folder", help="a finished run")
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder for the pictures and faces.json")
    parser.add_argument("--chips", action="store_true", help="drawn.npz, to fit on with --also, in place of pictures")
    parser.add_argument("--count", type=int, default=8, metavar="N", help="how many faces (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--size", type=int, default=128, metavar="PX", help="side of a picture (default: 128)")
    parser.add_argument(
        "--spread", type=float, default=0.8, help="1: as people differ; less: nearer to the average (default: 0.8)"
    )
    parser.add_argument(
        "--judge", metavar="BUNDLE", help="two faces are to differ by this bundle's encoder (default: by the run's)"
    )
    add_reference(parser, "that looks for memorised people")


def run(args: argparse.Namespace) -> int:
    if args.count < 1 or not 32 <= args.size <= 1024 or not 0 < args.spread <= 3:
        raise UsageError("expected --count of at least 1, --size of 32 to 1024, --spread above 0 up to 3")
    out = Path(args.out)
    check_new_folder(out)
    reference = open_reference(args)
    generator = FaceGenerator(load_run(args.folder))
    guard = MemoryGuard(reference, generator.training, generator.held) if reference else None
    if args.chips:
        most = _TRIES * args.count
        drawn = sieve(generator, guard, args.count, args.count, most, args.size, args.spread, args.seed)
        print(f"{out}: {args.count} faces in drawn.npz")
    else:
        judge = BundleJudge(Bundle(args.judge)) if args.judge else generator
        drawn = generate(generator, guard, args.count, args.seed, args.size, args.spread, judge)
        print(f"{out}: {args.count} faces; largest cosine between two of them {drawn.alike:.3f}")
    save(out, drawn, generator, guard, args.size, args.seed, args.chips)
    if guard is None:
        print("not checked for memorised people; pass --reference FILE", file=sys.stderr)
    else:
        print(
            f"nearest training photo of {guard.photos}: cosine {drawn.nearest.max():.3f} at most, {guard.limit:.3f} "
            f"allowed (the median real stranger's); two strangers: {guard.strangers:.3f} in the mean; "
            f"{drawn.too_near} faces were refused"
        )
    return 0


@dataclass(frozen=True)
class Drawn:
    """Faces that passed.

    Attributes:
        chips: uint8 (N, h, w, 3) RGB, as the decoder draws them.
        codes: float32 (N, D), what they were drawn from.
        nearest: float32 (N,), cosine to the nearest training photo of each; -1 without a guard.
        sure: float32 (N,), how sure the detector is of each.
        unseen: how many drawn faces the detector did not find.
        too_near: how many the guard refused.
        alike: largest cosine, by a judge's encoder, between two of them; None where nobody judged.
    """

    chips: Pixels
    codes: Floats
    nearest: Floats
    sure: Floats
    unseen: int
    too_near: int
    alike: float | None = None

    def of(self, index: NDArray[np.int64], alike: float | None = None) -> Drawn:
        """Those alone, by their places int64 (n,)."""
        return replace(
            self,
            chips=self.chips[index],
            codes=self.codes[index],
            nearest=self.nearest[index],
            sure=self.sure[index],
            alike=alike,
        )


def sieve(
    generator: FaceGenerator,
    guard: MemoryGuard | None,
    wanted: int,
    fewest: int,
    tries: int,
    size: int,
    spread: float,
    seed: int,
) -> Drawn:
    """Draw until so many are found by the released detector and are nobody's.

    Args:
        generator: draws.
        guard: refuses memorised people; None: nobody looks.
        wanted: how many are enough.
        fewest: how many are needed.
        tries: how many are drawn at most.
        size: side of what the detector looks at, px.
        spread: of the codes, times that of the training people's.
        seed: of the draws.

    Raises:
        InputError: fewer than ``fewest``.
    """
    rng = np.random.default_rng(seed)
    template = generator.run.preprocessing.template
    detector = open_detector(f"bundle:{bundle_path(Config())}")
    parts: list[Drawn] = []
    kept = drawn = unseen = too_near = 0
    with tqdm(total=wanted, unit="face", disable=None, delay=2, leave=False) as progress:
        while kept < wanted and drawn < tries:
            codes = generator.codes(_BATCH, spread, rng)
            chips = generator.draw(codes)
            sure = np.array([face_score(detector, enlarge(chip, size)) for chip in chips], np.float32)
            near = np.full(len(chips), -1, np.float32)
            seen = np.flatnonzero(sure > 0)
            if guard:
                near[seen] = guard.nearest(chips[seen], template)
            new = seen[near[seen] < (guard.limit if guard else 1)]
            parts.append(Drawn(chips[new], codes[new], near[new], sure[new], 0, 0))
            drawn, unseen, too_near = drawn + _BATCH, unseen + _BATCH - len(seen), too_near + len(seen) - len(new)
            kept += len(new)
            progress.update(len(new))
    if kept < fewest:
        raise InputError(
            f"expected {fewest} faces of nobody, found {unseen} of {drawn} that the detector does not see and "
            f"{too_near} too near to a training photo; try another --spread or fit longer"
        )
    return Drawn(
        np.concatenate([part.chips for part in parts])[:wanted],
        np.concatenate([part.codes for part in parts])[:wanted],
        np.concatenate([part.nearest for part in parts])[:wanted],
        np.concatenate([part.sure for part in parts])[:wanted],
        unseen,
        too_near,
    )


def generate(
    generator: FaceGenerator,
    guard: MemoryGuard | None,
    count: int,
    seed: int,
    size: int,
    spread: float,
    judge: Judge | None = None,
) -> Drawn:
    """Draw, sieve, and take the ``count`` faces that differ most.

    Args:
        generator: draws.
        guard: refuses memorised people; None: nobody looks.
        count: how many.
        seed: of the draws.
        size: side of what the detector looks at, px.
        spread: of the codes, times that of the training people's.
        judge: says how alike two faces are; None: the run's own encoder.

    Raises:
        InputError: too few that are found, new, and different.
    """
    kept = sieve(generator, guard, _CANDIDATES * count, count, _TRIES * count, size, spread, seed)
    best = np.argsort(kept.sure, kind="stable")[::-1][: max(len(kept.chips) // 2, count)]
    judge = judge or generator
    codes = judge.encode(kept.chips[best])
    best, codes = best[codes.any(1)], codes[codes.any(1)]
    if len(codes) < count:
        raise InputError(f"expected {count} faces that can be judged, found {len(codes)}; try another --spread")
    taken, alike = most_different(codes, count)
    if alike > judge.alike_limit:
        raise InputError(
            f"expected {count} different faces, found two with the cosine {alike:.2f} "
            f"({judge.alike_limit:.2f} allowed: 19 in 20 pairs of people); ask for fewer or a larger --spread"
        )
    return kept.of(best[taken], alike)


def most_different(codes: Floats, count: int) -> tuple[list[int], float]:
    """Take, one by one, the code farthest from those taken (Gonzalez, 1985).

    Args:
        codes: float32 (N, D) of unit length.
        count: at most N.

    Returns:
        indices of those taken, and the largest cosine between two of them (-1 for a single one).
    """
    cosines = codes @ codes.T
    taken = [int(np.argmin(cosines.mean(1)))]
    largest = -1.0
    while len(taken) < count:
        nearest = cosines[:, taken].max(1)
        nearest[taken] = np.inf
        taken.append(int(np.argmin(nearest)))
        largest = max(largest, float(nearest[taken[-1]]))
    return taken, largest


def save(
    out: Path,
    drawn: Drawn,
    generator: FaceGenerator,
    guard: MemoryGuard | None,
    size: int,
    seed: int,
    as_chips: bool = False,
) -> None:
    """Write ``faces.json``, pages to look at, and ``p0.png`` ... or ``drawn.npz``: all of them or nothing."""
    given = generator.run.preprocessing
    scale = size / given.template.size_wh[0]
    # Pixel centres are at whole numbers, so enlarging also shifts by a part of a pixel.
    landmarks = ((given.template.as_array() + 0.5) * scale - 0.5).astype(np.float32)
    document = {
        "run": generator.run.recipe_name,
        "seed": seed,
        "lineage": generator.run.lineage,
        "landmarks": np.round(landmarks.astype(float), 3).tolist(),
        "largest_cosine_between_two": drawn.alike,
        "nearest_training_photo": drawn.nearest.tolist() if guard else [],
        "reference": guard and {"allowed": guard.limit, "strangers_mean": guard.strangers, "photos": guard.photos},
        "not_found": drawn.unseen,
        "refused": drawn.too_near,
    }
    faces = [enlarge(chip, size) for chip in drawn.chips]
    with replacing_folder(out) as draft:
        write_json(draft / "faces.json", document)
        save_png(rows_figure(_in_rows(drawn.chips), 0.2), draft / "faces.png", dpi=80)
        if len(faces) > 1:
            save_png(rows_figure(_ways(generator, drawn.codes), 0.2), draft / "between.png", dpi=80)
        if as_chips:
            _save_chips(draft / "drawn.npz", faces, landmarks, generator.run)
        else:
            for number, face in enumerate(faces):
                cv2.imwrite(str(draft / f"p{number}.png"), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))


def _in_rows(chips: Pixels) -> dict[str, Pixels]:
    """The first chips, a row of pictures each."""
    starts = range(0, min(len(chips), _A_ROW * _ROWS), _A_ROW)
    return {str(start): chips[start : start + _A_ROW] for start in starts}


def _ways(generator: FaceGenerator, codes: Floats) -> dict[str, Pixels]:
    """What is drawn on the way from the first face to the second, from the third to the fourth ..., a row each."""
    pairs = range(0, min(len(codes) - 1, 2 * _ROWS), 2)
    return {f"{k} to {k + 1}": generator.draw(generator.between(codes[k], codes[k + 1], _A_ROW)) for k in pairs}


def _save_chips(path: Path, faces: Sequence[Pixels], landmarks: Floats, run: Run) -> None:
    """Write faces, uint8 (size, size, 3) RGB, as chips of nobody; their edges are drawn out as surroundings."""
    crops = [make_crop(scene, landmarks + np.float32(border)) for scene, border in map(surrounded, faces)]
    count = len(crops)
    names = [f"drawn/{number}.png" for number in range(count)]
    source = f"drawn by a decoder of the recipe {run.recipe_name}"
    write_chips(path, crops, [""] * count, ["train"] * count, names, str(run.chips_file["detector"]), source)
