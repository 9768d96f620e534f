"""``python -m train invert``: what somebody sees who has a code and its encoder.

An attacker's decoder is taught to draw, from the codes of people who are not attacked, their faces; what it draws of
other people's codes is shown beside them, and given to the encoder itself and to a reference encoder, as a photo
held before a camera would be (template reconstruction: Mai, Cao, Yuen, Jain, "On the reconstruction of face images
from deep face templates", 2019).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from edge_runtime.errors import UsageError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.storage.files import replacing_folder
from edge_runtime.types import Floats, Pixels
from train.data.files import check_new_folder, write_json
from train.encoder.reference import add_reference, encode_all, open_reference
from train.evaluation.acceptance import accepted
from train.evaluation.recognition import percent
from train.evaluation.reconstruction import ssim
from train.runs.autoencoder import Autoencoder, unit_range
from train.runs.codes import as_rgb, encode_chips, photos_of, some_fitted
from train.runs.run import Run, load_run

_BATCH = 64
_LEARNED_FROM = 8000
_RATE = 1e-3
_PIXELS = 4.0
"""Weight of the pixels' mean squared error beside 1 - cosine of the code drawn and the code given."""
_SHOWN = 12
_FMR = 1e-3
_FEWEST_VICTIMS, _MOST_VICTIMS = 10, 1500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train invert``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run, its encoder is attacked")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: faces.png and invert.json")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="of teaching the attacker (default: 2000)")
    parser.add_argument("--people", choices=SPLITS, default="select", help="who is attacked (default: select)")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")
    add_reference(parser, "before which what is drawn is held", required=True)


def run(args: argparse.Namespace) -> int:
    """Teach, draw, measure, write."""
    check_new_folder(args.out)
    if args.steps < 1:
        raise UsageError(f"--steps {args.steps}: expected at least 1")
    if args.people == "train":
        raise UsageError("--people train: expected people that the attacker did not learn from")
    fitted = load_run(args.run_dir)
    reference = open_reference(args)
    assert reference
    chips = fitted.chips()
    victims = photos_of(chips, args.people, _FEWEST_VICTIMS, _MOST_VICTIMS)
    autoencoder = Autoencoder(fitted)
    Attacker(autoencoder).learn(*_lessons(fitted, args.seed), args.steps, args.seed)
    codes, faces = encode_chips(fitted, chips, victims)
    drawn = autoencoder.draw(codes)
    names = chips.names[victims].tolist()
    template = fitted.preprocessing.template
    document = {
        "schema": 1,
        "run": fitted.path.resolve().name,
        "people": args.people,
        "photos": len(victims),
        "steps": args.steps,
        "ssim": float(ssim(unit_range(faces), unit_range(drawn)).mean()),
        "encoder": accepted(normalise(codes)[0], normalise(autoencoder.encode(drawn))[0], names, _FMR),
        "reference": accepted(
            encode_all(reference, as_rgb(faces, fitted.preprocessing), template),
            encode_all(reference, as_rgb(drawn, fitted.preprocessing), template),
            names,
            _FMR,
        ),
    }
    with replacing_folder(args.out) as draft:
        _draw(draft / "faces.png", fitted, faces, drawn)
        write_json(draft / "invert.json", document)
    print("\n".join(_lines(document)))
    print(f"saved: {args.out}")
    return 0


class Attacker:
    """A decoder that starts as the run's own and learns what the encoder takes for the person."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        """Begin with the decoder of ``autoencoder``, which is taught in place."""
        autoencoder.encoder.trainable = False
        code = keras.Input((autoencoder.run.code_size,))
        picture = autoencoder.decoder(code)
        given = autoencoder.run.preprocessing
        mean, spread = (np.asarray(values, np.float32) for values in (given.mean, given.std))
        seen = autoencoder.encoder((picture * 255 - mean) / spread)
        self._model = keras.Model(code, [picture, seen])
        self._model.compile(
            keras.optimizers.Adam(_RATE), ["mse", keras.losses.CosineSimilarity()], loss_weights=[_PIXELS, 1.0]
        )

    def learn(self, codes: Floats, faces: Pixels, steps: int, seed: int) -> None:
        """Learn from codes (N, D) and the faces (N, h, w, C) they are of, at a rate that falls to nothing (cosine)."""
        rng = np.random.default_rng(seed)
        for step in tqdm(range(steps), "attacker", unit="step", disable=None, leave=False):
            batch = rng.integers(0, len(codes), _BATCH)
            self._model.optimizer.learning_rate = _RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            self._model.train_on_batch(codes[batch], [unit_range(faces[batch]), codes[batch]])


def _lessons(fitted: Run, seed: int) -> tuple[Floats, Pixels]:
    """Codes and faces of people the run was fitted on."""
    chips = fitted.chips()
    return encode_chips(fitted, chips, some_fitted(chips, _LEARNED_FROM, seed))


def _draw(path: Path, fitted: Run, faces: Pixels, drawn: Pixels) -> None:
    from train.evaluation.figures import reconstruction_figure, save_png

    # Evenly over the photos, neither the good nor the bad ones.
    shown = np.linspace(0, len(faces) - 1, min(_SHOWN, len(faces))).round().astype(int)
    original, restored = (unit_range(as_rgb(part[shown], fitted.preprocessing)) for part in (faces, drawn))
    save_png(reconstruction_figure(original, restored, ssim(original, restored).astype(np.float32)), path)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [
        f"{document['photos']:,} photos of {document['encoder']['people']} people, drawn from their codes alone "
        f"after {document['steps']:,} steps; SSIM {document['ssim']:.3f}",
        f"{'accepted as the person at FMR 0.1 % by':<40} {'a photo':>9} {'drawn':>9} {'drawn, by its own photo':>24}",
    ]
    for key, title in (("encoder", "the encoder attacked"), ("reference", "the reference encoder")):
        row = document[key]
        lines.append(
            f"{title:<40} {percent(row['photo'], 1):>9} {percent(row['drawn'], 1):>9} "
            f"{percent(row['same_photo'], 1):>24}"
        )
    return lines
