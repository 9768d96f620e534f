"""Teachers: face networks whose codes a student learns, from .onnx, .tflite or .keras files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import ConfigError, InputError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.geometry.alignment import Template, align
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Floats, Pixels
from train.encoder.recipe import TeacherPart

_BATCH = 16
_LOST = 1e-3
"""Largest share of a code's length, squared, that may lie outside the axes it is brought to."""


class Teacher:
    """Codes of unit length from aligned chips.

    Attributes:
        path: the network's file.
        template: the alignment it expects.
        flip: whether a code is the mean of a view's and of the mirrored view's.
        weight: of what it says, beside other teachers.
    """

    def __init__(self, part: TeacherPart) -> None:
        """Open the network.

        Raises:
            InputError: no such file, another suffix, or a network that does not open.
            ConfigError: its codes span more numbers than ``code_size``.
        """
        self.path = Path(part.path)
        preprocessing = part.preprocessing()
        self.template = preprocessing.template
        self.flip, self.weight = part.flip, part.weight
        if not part.path or not self.path.is_file():
            raise InputError(
                f"teacher {part.path!r}: expected an .onnx, .tflite or .keras file, found none; "
                "pass it with --teacher FILE"
            )
        kinds = {".onnx": _onnx, ".tflite": _tflite, ".keras": _keras}
        if self.path.suffix not in kinds:
            raise InputError(
                f"teacher {self.path}: expected .onnx, .tflite or .keras, found {self.path.suffix!r}; convert it"
            )
        self._run = kinds[self.path.suffix](self.path, preprocessing)
        self._axes = _axes(self._run, self.template.size_wh, part) if part.code_size else None

    def encode(self, chips: Pixels) -> Floats:
        """Codes float32 (N, D) of unit length, from uint8 (N, h, w, 3) RGB chips of ``template``.

        May be called from several threads at once; each call runs in its own.
        """
        codes = normalise(self._run(chips))[0]
        if self.flip:
            codes = codes + normalise(self._run(np.ascontiguousarray(chips[:, :, ::-1])))[0]
        return normalise(codes if self._axes is None else codes @ self._axes)[0]

    def encode_from(self, chips: Pixels, template: Template) -> Floats:
        """Codes as of ``encode``, of uint8 (N, h, w, 3) RGB chips that are aligned to another ``template``."""
        points = template.as_array()[None]
        return self.encode(np.concatenate([align(chip, points, self.template) for chip in chips]))


class Teachers:
    """One teacher, or several whose codes lie side by side.

    Attributes:
        members: the teachers.
        weights: of what each code says: the teachers', or a single one where their codes are joined into one.
    """

    def __init__(self, members: Sequence[Teacher], joined: bool = False) -> None:
        """Put them side by side.

        Args:
            members: the teachers.
            joined: whether their codes, each as long as the root of its weight, are one code of unit length.
        """
        self.members = list(members)
        self._joined = joined
        self.weights = [1.0] if joined else [teacher.weight for teacher in members]
        self._sizes: list[int] = []

    @property
    def templates(self) -> list[Template]:
        """The alignment that each expects."""
        return [teacher.template for teacher in self.members]

    @property
    def flip(self) -> bool:
        """Whether what they say of a view holds for the mirrored view too."""
        return all(teacher.flip for teacher in self.members)

    @property
    def sizes(self) -> list[int]:
        """Length of each code that is told apart."""
        if not self._sizes:
            blank = [np.zeros((1, t.template.size_wh[1], t.template.size_wh[0], 3), np.uint8) for t in self.members]
            self._sizes = [t.encode(chips).shape[1] for t, chips in zip(self.members, blank, strict=True)]
        return [sum(self._sizes)] if self._joined else self._sizes

    def encode(self, views: Sequence[Pixels]) -> Floats:
        """Codes float32 (N, sum of sizes), each of unit length, from one array of chips for each teacher."""
        codes = [teacher.encode(chips) for teacher, chips in zip(self.members, views, strict=True)]
        if self._joined:
            codes = [code * np.float32(t.weight**0.5) for code, t in zip(codes, self.members, strict=True)]
            return normalise(np.concatenate(codes, axis=1))[0]
        return np.concatenate(codes, axis=1)

    def targets(self, codes: Floats) -> dict[str, NDArray[Any]]:
        """Codes as a batch names them: ``teacher0``, ``teacher1`` and so on, float32 (N, D) each."""
        ends = np.cumsum(self.sizes)
        return {f"teacher{k}": part for k, part in enumerate(np.split(codes, ends[:-1], axis=1))}


def _axes(run: Callable[[Pixels], Floats], size_wh: tuple[int, int], part: TeacherPart) -> Floats:
    """Orthonormal axes (D, code_size) of the space that a network's codes lie in.

    They depend on the network alone, so that one run can go on from another: random pictures, whose codes span that
    space, give its projector, and fixed random directions seen in it give the axes.

    Raises:
        ConfigError: the codes span more than that.
    """
    rng = np.random.default_rng(0)
    grains = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in rng.integers(3, 30, 2 * part.code_size)]
    grown = [cv2.resize(grain, size_wh, interpolation=cv2.INTER_LINEAR) for grain in grains]
    pictures = np.stack(grown).astype(np.uint8)
    codes = normalise(run(pictures))[0].astype(np.float64)
    span = np.linalg.svd(codes, full_matrices=False)[2][: part.code_size]
    lost = float(1 - np.square(codes @ span.T).sum(1).min())
    if lost > _LOST:
        raise ConfigError(
            f"[teacher] code_size: expected as many numbers as the codes of {part.path} span, found {lost:.1%} of one "
            f"outside {part.code_size}; ask for more, or for 0"
        )
    axes, upper = np.linalg.qr(span.T @ (span @ rng.standard_normal((codes.shape[1], len(span)))))
    return np.asarray(axes * np.sign(np.diag(upper)), np.float32)


def _tflite(path: Path, preprocessing: Preprocessing) -> Callable[[Pixels], Floats]:
    encoder, lock = TfliteEncoder(open_interpreter("auto", path, 2), preprocessing), threading.Lock()

    def run(chips: Pixels) -> Floats:
        with lock:
            return encoder.encode(chips)[0]

    return run


def _keras(path: Path, preprocessing: Preprocessing) -> Callable[[Pixels], Floats]:
    from train.runs.models import open_model

    model, lock = open_model(path), threading.Lock()

    def run(chips: Pixels) -> Floats:
        with lock:
            return np.asarray(model.predict_on_batch(preprocessing.as_float(chips)), np.float32)

    return run


def _onnx(path: Path, preprocessing: Preprocessing) -> Callable[[Pixels], Floats]:
    session = _open_onnx(path)
    given = session.get_inputs()[0]
    step = given.shape[0] if isinstance(given.shape[0], int) else _BATCH
    channels_first = given.shape[-1] != preprocessing.channels

    def run(chips: Pixels) -> Floats:
        tensor = preprocessing.as_float(chips)
        if channels_first:
            tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        parts = [session.run(None, {given.name: tensor[s : s + step]})[0] for s in range(0, len(tensor), step)]
        return np.concatenate(parts).astype(np.float32)

    return run


def _open_onnx(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"teacher {path}: expected onnxruntime to run it, not installed; pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    # The threads are the callers'; a session leaves Python's lock while it computes.
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base of their own
        raise InputError(f"teacher {path}: onnxruntime does not take it ({' '.join(str(error).split())})") from error
