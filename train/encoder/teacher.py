"""Teachers: face networks whose codes a student learns, from .onnx, .tflite or .keras files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.geometry.alignment import Template
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Floats, Pixels
from train.encoder.recipe import TeacherPart

_BATCH = 16


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
            InputError: no such file, a suffix that is none of the three, or a network that does not open.
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

    def encode(self, chips: Pixels) -> Floats:
        """Codes float32 (N, D) of unit length, from uint8 (N, h, w, 3) RGB chips of ``template``.

        May be called from several threads at once; each call runs in its own.
        """
        codes = normalise(self._run(chips))[0]
        if self.flip:
            codes = codes + normalise(self._run(np.ascontiguousarray(chips[:, :, ::-1])))[0]
        return normalise(codes)[0]


class Teachers:
    """One teacher, or several whose codes lie side by side.

    Attributes:
        members: the teachers.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        self.members = list(members)
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
        """Length of each one's code."""
        if not self._sizes:
            blank = [np.zeros((1, t.template.size_wh[1], t.template.size_wh[0], 3), np.uint8) for t in self.members]
            self._sizes = [t.encode(chips).shape[1] for t, chips in zip(self.members, blank, strict=True)]
        return self._sizes

    def encode(self, views: Sequence[Pixels]) -> Floats:
        """Codes float32 (N, sum of sizes), each part of unit length, from one array of chips for each teacher."""
        codes = [teacher.encode(chips) for teacher, chips in zip(self.members, views, strict=True)]
        return np.concatenate(codes, axis=1)

    def targets(self, codes: Floats) -> dict[str, NDArray[Any]]:
        """Codes as a batch names them: ``teacher0``, ``teacher1`` and so on, float32 (N, D) each."""
        ends = np.cumsum(self.sizes)
        return {f"teacher{k}": part for k, part in enumerate(np.split(codes, ends[:-1], axis=1))}


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
