"""``python -m train generate``: faces of people who do not exist, drawn by a run's decoder.

Codes are drawn from a normal distribution fitted to one mean code a training person. What is drawn is kept if
the released detector finds it and, with a reference encoder, if its nearest training photo is no nearer than a real
stranger's nearest training photo is. Of the half that the cascade is surest of, the ones that differ most from
each other are taken.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import keras
import numpy as np
from tqdm import tqdm

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, bundle_path
from edge_runtime.detectors import open_detector
from edge_runtime.errors import InputError, UsageError
from edge_runtime.faces.chain import FaceChain
from edge_runtime.geometry.alignment import Template
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.protocols import Detector
from edge_runtime.sources.synthetic import still
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.data.files import check_new_folder, write_json
from train.encoder.datasets import Faces, in_chunks, prefetched, teach
from train.encoder.reference import add_reference, open_reference
from train.encoder.teacher import Teacher, Teachers
from train.runs.codes import as_rgb
from train.runs.run import Run, load_run, same_chips

_CANDIDATES = 16
"""Faces to choose from for each one wanted."""
_TRIES = 100
"""Draws for each one wanted before giving up."""
_BATCH = 128
_ALIKE_QUANTILE = 0.95
"""Two faces taken may be as alike, by the run's own encoder, as this share of pairs of people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, metavar="DIR", dest="folder", help="a finished run")
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder for the pictures and faces.json")
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
    judge = BundleJudge(Bundle(args.judge)) if args.judge else generator
    guard = MemoryGuard(reference, generator.training, generator.held) if reference else None
    drawn = generate(generator, guard, args.count, args.seed, args.size, args.spread, judge)
    save(out, drawn, generator, guard, args.seed)
    print(f"{out}: {args.count} faces; largest cosine between two of them {drawn.alike:.3f}")
    if guard is None:
        print("not checked for memorised people; pass --reference FILE", file=sys.stderr)
    else:
        print(
            f"nearest training photo of {guard.photos}: cosine {max(drawn.nearest):.3f} at most, {guard.limit:.3f} "
            f"allowed (the median real stranger's); two strangers: {guard.strangers:.3f} in the mean; "
            f"{drawn.too_near} faces were refused"
        )
    return 0


class FaceGenerator:
    """Draws faces with a run's decoder.

    Attributes:
        run: the run.
        training: every face it was fitted on.
        held: faces of people it was not fitted on.
        alike_limit: cosine that two people's mean codes rarely exceed.
    """

    def __init__(self, run: Run) -> None:
        """Load the models and fit the distribution of codes.

        Raises:
            InputError: models or chips are missing or altered, or fewer than two people.
        """
        self.run = run
        sources = [run.chips(), *(same_chips(described) for described in run.also)]
        self.training = Faces.of_split(sources, "train")
        self.held = Faces.of_split(sources[:1], "select")
        try:
            self._encoder = keras.models.load_model(run.encoder_path, compile=False)
            self._decoder = keras.models.load_model(run.decoder_path, compile=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{run.path}: expected the run's models, they do not load ({error}); fit again") from error
        # Only a code's direction counts where the decoder takes nothing else.
        self._unit = run.recipe["encoder"]["kind"] == "conv"
        codes = self._training_codes()
        if len(codes) < 2:
            raise InputError(
                f"{run.path}: expected two people or more in train, found {len(codes)}; fit on more people"
            )
        self.alike_limit = _alike_limit(codes)
        self._mean = codes.mean(0)
        self._low = codes.min(0)
        spread = np.cov(codes.T)
        # With few people the covariance is not of full rank; a little of its diagonal fixes that.
        self._root = np.linalg.cholesky(0.95 * spread + np.diag(0.05 * np.diag(spread) + 1e-9))

    def draw(self, count: int, spread: float, rng: np.random.Generator) -> Pixels:
        """Faces uint8 (count, h, w, 3) RGB, each aligned to the run's template."""
        noise = rng.standard_normal((count, len(self._mean)))
        codes = np.maximum(self._mean + spread * noise @ self._root.T, np.minimum(self._low, self._mean))
        pictures = np.asarray(self._decoder.predict_on_batch(codes.astype(np.float32)))
        pixels = np.rint(255 * np.clip(pictures, 0, 1)).astype(np.uint8)
        return as_rgb(pixels, self.run.preprocessing)

    def encode(self, chips: Pixels) -> Floats:
        """The run's own codes (N, D), of unit length, of chips of its template."""
        return normalise(self._raw(chips))[0]

    def _raw(self, chips: Pixels) -> Floats:
        return np.asarray(self._encoder.predict_on_batch(self.run.preprocessing.as_float(chips)), np.float32)

    def _training_codes(self) -> Floats:
        """One mean code a person (P, D); a face without a name counts as a person."""
        template, faces = self.run.preprocessing.template, self.training
        chunks = in_chunks(np.arange(len(faces)), _BATCH)
        views = prefetched(lambda chunk: faces.aligned(chunk, template), chunks)
        codes = np.concatenate(
            [self._raw(chips) for chips in tqdm(views, "codes", len(chunks), disable=None, delay=2, leave=False)]
        )
        if self._unit:
            codes = normalise(codes)[0]
        named = faces.person >= 0
        sums = np.zeros((faces.people, codes.shape[1]), np.float64)
        np.add.at(sums, faces.person[named], codes[named])
        means = sums / np.maximum(np.bincount(faces.person[named], minlength=faces.people), 1)[:, None]
        return np.concatenate([means, codes[~named]]).astype(np.float32)


class Judge(Protocol):
    """Says how alike two faces are: by codes (N, D), and a cosine that two people rarely exceed."""

    alike_limit: float

    def encode(self, chips: Pixels) -> Floats:
        """Codes of unit length; zero for a face that cannot be judged."""
        ...


class BundleJudge:
    """The encoder of a bundle, seeing the faces as the synthetic camera shows them."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the bundle's detector and encoder; its strangers say what two people rarely exceed."""
        self._chain = FaceChain.open(bundle)
        self.alike_limit = _alike_limit(bundle.strangers())

    def encode(self, chips: Pixels) -> Floats:
        """Codes (N, D) of chips (N, h, w, 3) RGB: unit length, or zero unless the detector finds just one face."""
        codes = np.zeros((len(chips), self._chain.encoder.embedding_size), np.float32)
        for code, chip in zip(codes, chips, strict=True):
            picture = still(enlarge(chip, 128))
            faces = self._chain.detector.detect(picture)
            if len(faces) == 1:
                code[:] = self._chain.encode(picture, faces.landmarks)[0][0]
        return codes


class MemoryGuard:
    """Knows, by a reference encoder, how near a picture is to a training photo, and how near strangers are.

    Attributes:
        photos: how many training photos it compares with.
        limit: the median over photos of people outside of the training, of the cosine to the nearest training
            photo; what is nearer than that is refused.
        strangers: mean cosine of such a photo and any training photo.
    """

    def __init__(self, reference: Teacher, training: Faces, held: Faces) -> None:
        """Encode the training photos and the strangers'.

        Raises:
            InputError: there are no strangers to compare with.
        """
        if not len(held):
            raise InputError("chips: expected people in select to learn how near strangers are, found none")
        self._reference = reference
        self._training = teach(Teachers([reference]), training)
        strangers = teach(Teachers([reference]), held)
        cosines = strangers @ self._training.T
        self.photos = len(training)
        self.limit = float(np.median(cosines.max(1)))
        self.strangers = float(cosines.mean())

    def nearest(self, chips: Pixels, template: Template) -> Floats:
        """Cosine to the nearest training photo, float32 (N,), of chips (N, h, w, 3) aligned to ``template``."""
        return np.asarray((self._reference.encode_from(chips, template) @ self._training.T).max(1), np.float32)


@dataclass(frozen=True)
class Drawn:
    """Faces that were taken.

    Attributes:
        faces: uint8 (N, size, size, 3) RGB: the decoder's chip, enlarged.
        nearest: cosine to the nearest training photo of each; empty without a guard.
        alike: largest cosine, by the judge's encoder, between two of them.
        unseen: how many drawn faces the detector did not find.
        too_near: how many the guard refused.
    """

    faces: Pixels
    nearest: list[float]
    alike: float
    unseen: int
    too_near: int


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
        size: side of a picture, px.
        spread: of the codes, times that of the training people's.
        judge: says how alike two faces are; None: the run's own encoder.

    Raises:
        InputError: too few that are found, new, and different.
    """
    rng = np.random.default_rng(seed)
    template = generator.run.preprocessing.template
    detector = open_detector(f"bundle:{bundle_path(Config())}")
    kept: list[Pixels] = []
    nearest: list[float] = []
    sure: list[float] = []
    tries = unseen = too_near = 0
    with tqdm(total=_CANDIDATES * count, unit="face", disable=None, delay=2, leave=False) as progress:
        while len(kept) < _CANDIDATES * count and tries < _TRIES * count:
            chips = generator.draw(_BATCH, spread, rng)
            score = np.array([face_score(detector, enlarge(chip, size)) for chip in chips])
            chips, score = chips[score > 0], score[score > 0]
            near = guard.nearest(chips, template) if guard else np.full(len(chips), -1, np.float32)
            new = np.flatnonzero(near < (guard.limit if guard else 1))
            tries, unseen, too_near = tries + _BATCH, unseen + _BATCH - len(chips), too_near + len(chips) - len(new)
            kept += [chips[k] for k in new]
            nearest += near[new].tolist()
            sure += score[new].tolist()
            progress.update(len(new))
    found = f"found {unseen} of {tries} that the detector does not see and {too_near} too near to a training photo"
    if len(kept) < count:
        raise InputError(f"expected {count} faces of nobody, {found}; try another --spread or fit longer")
    best = np.argsort(sure, kind="stable")[::-1][: max(len(kept) // 2, count)]
    judge = judge or generator
    codes = judge.encode(np.stack([kept[k] for k in best]))
    best, codes = best[codes.any(1)], codes[codes.any(1)]
    if len(codes) < count:
        raise InputError(f"expected {count} faces that can be judged, found {len(codes)}; try another --spread")
    taken, alike = most_different(codes, count)
    if alike > judge.alike_limit:
        raise InputError(
            f"expected {count} different faces, found two with the cosine {alike:.2f} "
            f"({judge.alike_limit:.2f} allowed: 19 in 20 pairs of people); ask for fewer or a larger --spread"
        )
    faces = np.stack([enlarge(kept[best[k]], size) for k in taken])
    return Drawn(faces, [nearest[best[k]] for k in taken] if guard else [], alike, unseen, too_near)


def enlarge(chip: Pixels, size: int) -> Pixels:
    """A chip uint8 (h, w, 3) at ``size`` x ``size``, smoothly."""
    return np.asarray(cv2.resize(chip, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def face_score(detector: Detector, face: Pixels) -> float:
    """How sure a detector is of one face where this one is, its edges drawn out as surroundings; 0: it is not."""
    side = face.shape[0]
    border = side // 2
    scene = cv2.copyMakeBorder(face, border, border, border, border, cv2.BORDER_REPLICATE)
    faces = detector.detect(np.asarray(scene, np.uint8))
    if len(faces) != 1:
        return 0.0
    offset = np.abs(faces.centre[0] - (scene.shape[0] - 1) / 2).max()
    in_place = offset < 0.15 * side and 0.6 * side < faces.width[0] < 1.3 * side
    return float(faces.score[0]) if in_place else 0.0


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


def save(out: Path, drawn: Drawn, generator: FaceGenerator, guard: MemoryGuard | None, seed: int) -> None:
    """Write ``p0.png`` ... and ``faces.json``: all of them or nothing."""
    template = generator.run.preprocessing.template
    scale = drawn.faces.shape[1] / template.size_wh[0]
    document = {
        "run": generator.run.recipe_name,
        "seed": seed,
        "lineage": generator.run.lineage,
        # Pixel centres are at whole numbers, so enlarging also shifts by a part of a pixel.
        "landmarks": np.round((template.as_array().astype(float) + 0.5) * scale - 0.5, 3).tolist(),
        "largest_cosine_between_two": drawn.alike,
        "nearest_training_photo": drawn.nearest,
        "reference": guard and {"allowed": guard.limit, "strangers_mean": guard.strangers, "photos": guard.photos},
        "not_found": drawn.unseen,
        "refused": drawn.too_near,
    }
    with replacing_folder(out) as draft:
        for number, face in enumerate(drawn.faces):
            cv2.imwrite(str(draft / f"p{number}.png"), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
        write_json(draft / "faces.json", document)


def _alike_limit(codes: Floats) -> float:
    """The cosine that ``_ALIKE_QUANTILE`` of the pairs of codes (P, D) stay below; at most 2,000 codes are paired."""
    unit = normalise(codes[:: max(len(codes) // 2000, 1)])[0]
    return float(np.quantile((unit @ unit.T)[np.triu_indices(len(unit), 1)], _ALIKE_QUANTILE))
