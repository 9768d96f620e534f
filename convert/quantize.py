"""Full-int8 quantisation after training, in a process of its own: the converter leaks (tensorflow#122598).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.encoder import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels

_BATCH = 256
_ROOT = Path(__file__).parent.parent
_QUIET = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Quantised:
    """What the converter made.

    Attributes:
        model: the .tflite file.
        codes: float32 (N, D), the float model's codes of the probe chips.
        versions: of the packages that made it.
    """

    model: bytes
    codes: Floats
    versions: dict[str, str]


def quantise(
    encoder: Path, preprocessing: Preprocessing, calibration: Pixels, probe: Pixels, per_tensor_dense: bool = True
) -> Quantised:
    """Convert a Keras encoder to full int8, and run the float one on some chips to compare with.

    Args:
        encoder: a .keras file: a float32 functional model of stock layers, one input (N, h, w, C), one output (N, D).
        preprocessing: of its input; the same function prepares chips on the device.
        calibration: uint8 (N, h, w, 3) RGB chips that set the ranges of the tensors.
        probe: uint8 (N, h, w, 3) RGB chips to encode with the float model.
        per_tensor_dense: one scale for the weights of a dense layer.

    Raises:
        InputError: TensorFlow is missing, the model is not such an encoder, or the converter gives up.
    """
    with tempfile.TemporaryDirectory(prefix="familiar-convert-") as name:
        job = Path(name)
        task = {
            "encoder": str(encoder.resolve()),
            "preprocessing": preprocessing.as_json(),
            "per_tensor_dense": per_tensor_dense,
        }
        (job / "task.json").write_text(json.dumps(task))
        np.save(job / "calibration.npy", calibration)
        np.save(job / "probe.npy", probe)
        search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "convert.quantize", name],
            env=os.environ | _QUIET | {"PYTHONPATH": search},
            capture_output=True,
            text=True,
            errors="replace",
        )
        try:
            result = json.loads((job / "result.json").read_text())
        except (OSError, ValueError):
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            result = {"error": f"the converter ended with {done.returncode} ({last}); try a smaller model"}
        if "error" in result:
            raise InputError(f"{encoder}: {result['error']}")
        return Quantised((job / "encoder.tflite").read_bytes(), np.load(job / "codes.npy"), result["versions"])


# What follows runs in the converter's own process.


def _work(job: Path) -> dict[str, Any]:
    """Do the job in a folder; the result is what ``result.json`` says."""
    task = json.loads((job / "task.json").read_text())
    preprocessing = Preprocessing.from_json(task["preprocessing"])
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        return {"error": f"expected TensorFlow, it does not import ({error}); pip install 'familiar-edge[desktop]'"}
    try:
        encoder = keras.saving.load_model(task["encoder"], compile=False)
    except Exception as error:  # Keras raises whatever a file leads it to
        return {
            "error": f"expected a Keras model of stock layers, Keras does not load it ({_line(error)}); save it anew"
        }
    if fault := unfit(encoder, preprocessing):
        return {"error": fault}
    probe = np.load(job / "probe.npy")
    batches = [probe[at : at + _BATCH] for at in range(0, len(probe), _BATCH)]
    codes = [keras.ops.convert_to_numpy(encoder(preprocessing.as_float(batch), training=False)) for batch in batches]
    width, height = preprocessing.template.size_wh
    fixed = keras.Input(batch_shape=(1, height, width, preprocessing.channels))
    chips = np.load(job / "calibration.npy")

    def calibration() -> Iterator[list[Floats]]:
        for chip in chips:
            yield [preprocessing.as_float(chip[None])]

    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, encoder(fixed, training=False)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = task["per_tensor_dense"]
    try:
        model = converter.convert()
    except Exception as error:  # the converter raises whatever its passes lead it to
        return {"error": f"expected operators that have an int8 form, the converter gives up ({_line(error)})"}
    (job / "encoder.tflite").write_bytes(model)
    np.save(job / "codes.npy", np.concatenate(codes))
    return {"versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}}


def unfit(encoder: Any, preprocessing: Preprocessing) -> str | None:
    """Why this Keras model is no encoder for this preprocessing; None if it is.

    Args:
        encoder: a ``keras.Model``.
        preprocessing: of its input.
    """
    if len(encoder.inputs or ()) != 1 or len(encoder.outputs or ()) != 1:
        return "expected a functional model of one input and one output; save the encoder alone"
    width, height = preprocessing.template.size_wh
    expected, found = (height, width, preprocessing.channels), tuple(encoder.inputs[0].shape)[1:]
    if len(found) != 3 or any(f not in (None, e) for e, f in zip(expected, found, strict=True)):
        return (
            f"expected the input {expected} of the preprocessing, found {found}; state the model's own size and colour"
        )
    code = tuple(encoder.outputs[0].shape)[1:]
    if len(code) != 1 or code[0] is None:
        return f"expected one code of a fixed size a face, the model gives {code}; flatten its output"
    mixed = [layer for layer in _layers(encoder) if layer.compute_dtype != "float32"]
    if mixed:
        return f"expected float32, layer {mixed[0].name!r} computes in {mixed[0].compute_dtype}; save it in float32"
    if not all(np.isfinite(weight).all() for weight in encoder.get_weights()):
        return "expected finite weights, found infinite ones or NaN; train it again with a lower learning rate"
    return None


def _layers(model: Any) -> Iterator[Any]:
    """Every layer, those of models within the model too."""
    for layer in model.layers:
        yield layer
        yield from _layers(layer) if hasattr(layer, "layers") else ()


def _line(error: Exception) -> str:
    """The first line of an error that says something, at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else '-'}"[:200]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "result.json").write_text(json.dumps(_work(folder)))
