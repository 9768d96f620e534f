"""A teacher: somebody else's face network whose codes a student learns, from an .onnx or .tflite file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.encoder import TfliteEncoder, normalise
from edge_runtime.errors import InputError
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Floats, Pixels
from train.recipe import TeacherPart

_BATCH = 16


class Teacher:
    """Codes of unit length from aligned chips.

    Attributes:
        path: the network's file.
        template: the alignment it expects.
        flip: whether a code is the mean of a view's and of the mirrored view's.
    """

    def __init__(self, part: TeacherPart) -> None:
        """Open the network.

        Raises:
            InputError: no such file, a suffix that is neither .onnx nor .tflite, or a network that does not open.
        """
        self.path = Path(part.path)
        self._preprocessing = part.preprocessing()
        self.template = self._preprocessing.template
        if not part.path or not self.path.is_file():
            raise InputError(
                f"teacher {part.path!r}: expected an .onnx or .tflite file, found none; pass it with --teacher FILE"
            )
        self.flip = part.flip
        self._session: Any = None
        self._lock = threading.Lock()
        if self.path.suffix == ".tflite":
            self._encoder = TfliteEncoder(open_interpreter("auto", self.path, 2), self._preprocessing)
        elif self.path.suffix == ".onnx":
            self._session = _open_onnx(self.path)
        else:
            raise InputError(f"teacher {self.path}: expected .onnx or .tflite, found {self.path.suffix!r}; convert it")

    def encode(self, chips: Pixels) -> Floats:
        """Codes float32 (N, D) of unit length, from uint8 (N, h, w, 3) RGB chips of ``template``.

        May be called from several threads at once; each call runs in its own.
        """
        codes = self._encode(chips)
        if self.flip:
            codes = codes + self._encode(np.ascontiguousarray(chips[:, :, ::-1]))
        return normalise(codes)[0]

    def _encode(self, chips: Pixels) -> Floats:
        if self._session is None:
            with self._lock:
                return self._encoder.encode(chips)[0]
        tensor = self._preprocessing.as_float(chips)
        given = self._session.get_inputs()[0]
        if given.shape[-1] != self._preprocessing.channels:
            tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        step = given.shape[0] if isinstance(given.shape[0], int) else _BATCH
        parts = [
            self._session.run(None, {given.name: tensor[start : start + step]})[0]
            for start in range(0, len(tensor), step)
        ]
        return normalise(np.concatenate(parts).astype(np.float32))[0]


def _open_onnx(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"teacher {path}: expected onnxruntime to run it, not installed; pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base of their own
        raise InputError(f"teacher {path}: onnxruntime does not take it ({' '.join(str(error).split())})") from error
