"""What enrolling one photo costs beside its encoding, in galleries of more and more people; ``python -m
tests.benchmarks.enrolment``.

Every row is one photo enrolled as ``familiar enroll`` does it (known, look, enrol, show, check of the person), in CPU
seconds, so that other work on the machine counts little, and as ratios to the same in the smallest gallery.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edge_runtime.enrolment.photo import Enroller
from edge_runtime.faces.chain import FaceChain
from edge_runtime.gallery.store import Gallery
from edge_runtime.requests.access import Holdings
from edge_runtime.requests.table import LocalPeople
from tests.benchmarks.__main__ import some_bundle

_MARGIN = 0.05
_PHOTOS_EACH = 3
_SPREAD = 0.4
"""How far a made person's embeddings lie from their own direction."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[50, 500, 5000])
    args = parser.parse_args()
    with some_bundle() as bundle, FaceChain.open(bundle) as chain, TemporaryDirectory() as folder:
        encoding = encoding_s(chain)
        print(f"one encoding: {1000 * encoding:.1f} ms")
        print("people     opening it     first photo    people check     next photos, each")
        first = None
        for count in args.people:
            found = enrolling_s(chain, Path(folder) / str(count), count)
            first = first or found
            print(
                f"{count:>6}"
                + "".join(f"  {took:6.3f} s x{took / base:5.1f}" for took, base in zip(found, first, strict=True))
            )


def encoding_s(chain: FaceChain) -> float:
    size = chain.bundle.manifest.preprocessing.template.size_wh
    chip = np.zeros((1, size[1], size[0], 3), np.uint8)
    chain.encoder.encode(chip)
    started = time.process_time()
    for _ in range(10):
        chain.encoder.encode(chip)
    return (time.process_time() - started) / 10


def enrolling_s(chain: FaceChain, folder: Path, count: int) -> tuple[float, float, float, float]:
    """Seconds to open a gallery of ``count`` people, look at a photo and enrol it, check, and enrol each of five more.

    What detection and encoding of the photo take is left out.
    """
    folder.mkdir(mode=0o700)
    make_gallery(chain, folder, count).close()
    started = time.process_time()
    with opened(chain, folder) as gallery:
        holdings = Holdings(gallery, lambda: Enroller(chain, gallery), margin=_MARGIN)
        people = LocalPeople(holdings)
        enroller = holdings.enroller()
        times = [time.process_time() - started]
        rng = np.random.default_rng(1)
        direction = units(rng, 1, chain.encoder.embedding_size)[0]

        def enrol(number: int) -> None:
            digest = hashlib.sha256(b"new%d" % number).digest()
            embedding = near(rng, direction)
            assert enroller.known("Newcomer", digest) is None
            enroller.offer("Newcomer", embedding, 1.0, digest)
            people.call("enroll", {"name": "Newcomer", "source": "new.jpg", "photo": digest.hex()})
            people.call("people.show", {"name": "Newcomer"})
            people.call("people.check", {"name": "Newcomer"})

        started = time.process_time()
        enrol(0)
        times.append(time.process_time() - started)
        started = time.process_time()
        people.call("people.check", {})
        times.append(time.process_time() - started)
        started = time.process_time()
        for number in range(1, 6):
            enrol(number)
        times.append((time.process_time() - started) / 5)
    return times[0], times[1], times[2], times[3]


def make_gallery(chain: FaceChain, folder: Path, count: int) -> Gallery:
    """A gallery of ``count`` made people with three embeddings each."""
    rng = np.random.default_rng(0)
    gallery = opened(chain, folder)
    for number, direction in enumerate(units(rng, count, chain.encoder.embedding_size)):
        for photo in range(_PHOTOS_EACH):
            digest = hashlib.sha256(b"%d/%d" % (number, photo)).digest()
            gallery.add(f"Person {number:05d}", near(rng, direction), 1.0, f"{photo}.jpg", digest)
    return gallery


def opened(chain: FaceChain, folder: Path) -> Gallery:
    return Gallery.open(
        folder / "gallery.db",
        folder.parent / f"{folder.name}.key",
        chain.encoder_hash,
        chain.preprocessing_hash,
        chain.encoder.embedding_size,
        chain.bundle.manifest.name,
    )


def units(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    rows = rng.standard_normal((count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def near(rng: np.random.Generator, direction: np.ndarray) -> np.ndarray:
    moved = direction + _SPREAD * units(rng, 1, len(direction))[0]
    return moved / np.linalg.norm(moved)


if __name__ == "__main__":
    main()
