"""Aligned chips in, embeddings of unit length out: preprocessing and quantisation as the manifest says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.bundle.quantisation import input_table
from edge_runtime.errors import BundleError, InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.interpreters import open_interpreter
from edge_runtime.protocols import Interpreter
from edge_runtime.types import Floats, Pixels


class TfliteEncoder:
    """The encoder of a bundle on one interpreter; see ``protocols.Encoder``.

    An 8-bit input is filled through one 256-entry table a channel, so preprocessing costs a look-up.

    Attributes:
        embedding_size: D.
        mirrored: whether an embedding is the mean of the face's and of its mirror image's, at twice the time.
    """

    def __init__(self, interpreter: Interpreter, preprocessing: Preprocessing, mirrored: bool = False) -> None:
        """Check that model and preprocessing fit.

        Raises:
            BundleError: the model's input is not (1, h, w, C) of the template, or its output not (1, D).
        """
        width, height = preprocessing.template.size_wh
        expected = (1, height, width, preprocessing.channels)
        if interpreter.input_shape != expected:
            raise BundleError(f"encoder: expected input {expected}, found {interpreter.input_shape}; convert it again")
        shapes = [port.shape for port in interpreter.outputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != 1:
            raise BundleError(f"encoder: expected one output (1, D), found {shapes}; convert it again")
        self.embedding_size = shapes[0][1]
        self.mirrored = mirrored
        self.interpreter = interpreter
        self._preprocessing = preprocessing
        self._table = input_table(preprocessing.mean, preprocessing.std, interpreter, "encoder")

    def encode(self, chips: Pixels) -> tuple[Floats, Floats]:
        """Codes of unit length (N, D) and their lengths before (N,), from uint8 (N, h, w, 3) RGB chips.

        With ``mirrored`` the lengths are of the two embeddings' mean, each at unit length, times the first one's.

        Raises:
            InputError: chips of another shape or dtype.
        """
        embeddings, norms = self.raw(chips)
        if not self.mirrored:
            return embeddings, norms
        others, _ = self.raw(np.ascontiguousarray(chips[:, :, ::-1]))
        means, closeness = normalise((embeddings + others) * np.float32(0.5))
        return means, norms * closeness

    def raw(self, chips: Pixels) -> tuple[Floats, Floats]:
        """As :meth:`encode`, of the chips alone, never of their mirror images."""
        width, height = self._preprocessing.template.size_wh
        if chips.dtype != np.uint8 or chips.shape[1:] != (height, width, 3):
            raise InputError(f"chips: expected uint8 (N, {height}, {width}, 3), received {chips.dtype} {chips.shape}")
        raw = np.empty((len(chips), self.embedding_size), np.float32)
        for row, chip in zip(raw, chips, strict=True):
            row[:] = self.dequantise(self.interpreter.run(self.tensor(chip[None]))[0])[0]
        return normalise(raw)

    def tensor(self, chip: Pixels) -> NDArray[Any]:
        """The model's input tensor for one chip uint8 (1, h, w, 3) RGB."""
        ordered = self._preprocessing.reorder(chip)
        if self._table is None:
            return self._preprocessing.as_float(chip).astype(self.interpreter.input_dtype)
        return self._table[ordered, np.arange(self._preprocessing.channels)]

    def dequantise(self, output: NDArray[Any]) -> Floats:
        """The model's output as float32, in the model's own scale."""
        scale, zero_point = self.interpreter.outputs[0].quantization
        if output.dtype.kind == "f":
            return output.astype(np.float32)
        return (output.astype(np.float32) - zero_point) * np.float32(scale)

    def close(self) -> None:
        self.interpreter.close()


def open_encoder(bundle: Bundle, interpreter: str = "auto", threads: int = 1) -> TfliteEncoder:
    """A bundle's encoder on an installed interpreter.

    Raises:
        InterpreterError: no interpreter is installed, or it refuses the model.
        BundleError: model and manifest do not fit together.
    """
    opened = open_interpreter(interpreter, bundle.path / bundle.manifest.encoder_file, threads)
    encoder = TfliteEncoder(opened, bundle.manifest.preprocessing, bundle.manifest.mirrored)
    if encoder.embedding_size != bundle.manifest.embedding_size:
        raise BundleError(
            f"{bundle.path}: expected embeddings of {bundle.manifest.embedding_size}, "
            f"the model gives {encoder.embedding_size}; "
            "make the bundle again"
        )
    return encoder
