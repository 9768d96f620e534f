"""Write the embedding of the central face of every picture in a folder, for evaluation.

The file holds paths (N,) relative to the folder, POSIX and sorted; codes (N, D), the embeddings, float32 of unit
length; detected (N,) bool; xyxy (N, 4) and landmarks (N, 5, 2) float32 in px. A picture without a face, or one that
cannot be read (listed on standard error), has detected False and zeros.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_runtime.commands._photos import note
from edge_runtime.config import Config, check_output, load_config
from edge_runtime.errors import ImageError, UsageError
from edge_runtime.faces.chain import FaceChain, central_face, open_chain
from edge_runtime.pictures.folder import list_images
from edge_runtime.pictures.reader import read_image
from edge_runtime.storage.files import write_whole
from edge_runtime.system.workers import spread
from edge_runtime.types import Floats

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Embedding:
    """The central face of one picture.

    Attributes:
        code: float32 (D,) of unit length, or zeros.
        detected: whether a face was found.
        xyxy: float32 (4,), px, or zeros.
        landmarks: float32 (5, 2), px, or zeros.
        error: why the picture cannot be read, or None.
    """

    code: Floats
    detected: bool
    xyxy: Floats
    landmarks: Floats
    error: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of pictures, searched with all below it")
    parser.add_argument("--out", type=Path, required=True, metavar="codes.npz", help="file to write")
    parser.add_argument("--detector", metavar="SPEC", help="bundle:FOLDER or yunet:FILE.onnx, not the configured one")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes (default: 1); the result is the same"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable summary")


def run(args: argparse.Namespace) -> int:
    """Embed a folder; returns the exit code.

    Raises:
        UsageError: less than one process.
        InputError: the folder is missing or holds no picture, the file's folder is missing, something other than
            a file is in its place, it cannot be written, or the system killed a process.
        FamiliarError: bundle, detector or interpreter cannot be used.
    """
    if args.jobs < 1:
        raise UsageError(f"--jobs: expected at least 1, received {args.jobs}")
    config = load_config(args.config, args.set)
    check_output(config, args.out)
    files = {path.relative_to(args.folder).as_posix(): path for path in list_images(args.folder, note)}
    names = sorted(files)
    found = []
    paths = [files[name] for name in names]
    with _embeddings(config, args.detector, paths, args.jobs) as embeddings:
        for embedding in tqdm(embeddings, "embedding", len(names), disable=None, delay=2, unit="picture"):
            if embedding.error:
                tqdm.write(f"familiar: {embedding.error}", file=sys.stderr)
            found.append(embedding)
    _write(args.out, names, found)
    summary = {
        "pictures": len(found),
        "detected": sum(embedding.detected for embedding in found),
        "unreadable": sum(embedding.error is not None for embedding in found),
        "out": str(args.out),
    }
    text = "{pictures} pictures, {detected} with a face, {unreadable} unreadable: {out}"
    print(json.dumps(summary) if args.json else text.format(**summary))
    return 0


def embed(chain: FaceChain, path: Path, max_megapixels: float) -> Embedding:
    """The central face of one picture file: no quality gate, no average; only the length is normalised."""
    nothing = Embedding(
        np.zeros(chain.encoder.embedding_size, np.float32), False, np.zeros(4, np.float32), np.zeros((5, 2), np.float32)
    )
    try:
        pixels = read_image(path, max_megapixels)
    except ImageError as error:
        return Embedding(nothing.code, False, nothing.xyxy, nothing.landmarks, str(error))
    detections = chain.detector.detect(pixels)
    if not len(detections):
        return nothing
    chosen = central_face(detections, (pixels.shape[1], pixels.shape[0]))
    codes, _ = chain.encoder.raw(chain.chips(pixels, detections.landmarks[chosen : chosen + 1]))
    return Embedding(codes[0], True, detections.xyxy[chosen], detections.landmarks[chosen])


@contextmanager
def _embeddings(config: Config, detector: str | None, paths: list[Path], jobs: int) -> Iterator[Iterator[Embedding]]:
    """One embedding a path, in order."""
    # Opened here first in any case: what cannot be used is then one line, not one a process.
    with open_chain(config, detector) as chain:
        if jobs == 1:
            yield (embed(chain, path, config.images.max_megapixels) for path in paths)
            return
    with spread(_work, paths, jobs, _BATCH, _start_worker, (config, detector)) as embeddings:
        yield embeddings


_worker: tuple[FaceChain, float] | None = None
"""Of a worker process alone: its models, opened once."""


def _start_worker(config: Config, detector: str | None) -> None:
    global _worker
    _worker = open_chain(config, detector), config.images.max_megapixels


def _work(path: Path) -> Embedding:
    assert _worker is not None
    return embed(_worker[0], path, _worker[1])


def _write(out: Path, names: list[str], found: list[Embedding]) -> None:
    archive = io.BytesIO()  # numpy and zipfile complain twice where the disk is full
    np.savez(
        archive,
        paths=np.array(names),
        codes=np.stack([embedding.code for embedding in found]),
        detected=np.array([embedding.detected for embedding in found]),
        xyxy=np.stack([embedding.xyxy for embedding in found]),
        landmarks=np.stack([embedding.landmarks for embedding in found]),
    )
    write_whole(out, archive.getbuffer())
