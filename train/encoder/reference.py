"""A reference encoder named on the command line: a better one than ours, that says what is one of ours worth."""

from __future__ import annotations

import argparse

import numpy as np
from tqdm import tqdm

from edge_runtime.geometry.alignment import Template
from edge_runtime.types import Floats, Pixels
from train.encoder.recipe import TeacherPart
from train.encoder.teacher import Teacher

_BATCH = 64


def add_reference(parser: argparse.ArgumentParser, purpose: str, required: bool = False) -> None:
    """The arguments that name one and its preprocessing."""
    group = parser.add_argument_group(f"reference encoder {purpose}")
    group.add_argument("--reference", required=required, metavar="FILE", help="a face encoder, .onnx or .tflite; RGB")
    group.add_argument("--reference-size", type=int, default=112, metavar="PX", help="side of its input")
    group.add_argument("--reference-mean", type=_triple, default="127.5,127.5,127.5", help="R,G,B in 0..255")
    group.add_argument("--reference-std", type=_triple, default="127.5,127.5,127.5", help="R,G,B in 0..255")


def open_reference(args: argparse.Namespace) -> Teacher | None:
    """The one that was named, or None.

    Raises:
        InputError: a file that does not open.
    """
    if not args.reference:
        return None
    return Teacher(
        TeacherPart(args.reference, "rgb", args.reference_size, 0.0, args.reference_mean, args.reference_std)
    )


def encode_all(reference: Teacher, faces: Pixels, template: Template) -> Floats:
    """Codes float32 (N, D) of unit length of any number of faces, uint8 (N, h, w, 3) RGB, aligned to ``template``."""
    starts = tqdm(range(0, len(faces), _BATCH), "reference", unit="batch", disable=None, leave=False, delay=2)
    return np.concatenate([reference.encode_from(faces[k : k + _BATCH], template) for k in starts])


def _triple(text: str) -> tuple[float, ...]:
    """Three numbers from ``R,G,B``."""
    values = tuple(float(part) for part in text.split(","))
    if len(values) != 3:
        raise ValueError(text)
    return values
