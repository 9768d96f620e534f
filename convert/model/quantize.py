"""From a Keras model to .tflite files, in a process of its own: the converter leaks (tensorflow#122598).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.model.equalise import equalised
from convert.recipe import Recipe
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels

_BATCH = 256
_EQUALISED_ON = 128
"""Pictures that tell how large the channels are."""
_ROOT = Path(__file__).parents[2]
_QUIET = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
_SAVED_MODEL = "saved_model.pb"
_ENDPOINTS = ("serving_default", "serve")


@dataclass(frozen=True)
class Quantised:
    """What the converter made.

    Attributes:
        model: the .tflite file.
        reference: the same in float32, to find the layer in which the two part.
        codes: float32 (N, D), the Keras model's codes of the probe chips.
        versions: of the packages that made it.
    """

    model: bytes
    reference: bytes
    codes: Floats
    versions: dict[str, str]


def quantise(encoder: Path, preprocessing: Preprocessing, recipe: Recipe, fitting: Pixels, probe: Pixels) -> Quantised:
    """Convert a Keras encoder by a recipe, and run the float one on some chips to compare with.

    Args:
        encoder: a .keras file (a float32 functional model of stock layers) or a SavedModel's folder; one input
            (N, h, w, C), one output (N, D).
        preprocessing: of its input; the same function prepares chips on the device.
        recipe: how.
        fitting: uint8 (N, h, w, 3) RGB chips of people the model was fitted on. The first ``calibration_chips`` set
            the ranges of the tensors; ``int8_qat`` trains on all of them.
        probe: uint8 (N, h, w, 3) RGB chips to encode with the float model.

    Raises:
        InputError: TensorFlow is missing, the model is not such an encoder, or the converter gives up.
    """
    with _worked(encoder, preprocessing, recipe, {"fitting": fitting, "probe": probe}) as (job, versions):
        return Quantised(
            (job / "encoder.tflite").read_bytes(),
            (job / "reference.tflite").read_bytes(),
            np.load(job / "codes.npy"),
            versions,
        )


def quantise_detector(
    detector: Path, preprocessing: Preprocessing, recipe: Recipe, fitting: Pixels
) -> tuple[bytes, dict[str, str]]:
    """Convert a Keras detector of any number of outputs by a recipe.

    Args:
        detector: a .keras file: a float32 functional model of stock layers of one input (N, h, w, C).
        preprocessing: of its input, the template's size being the picture's.
        recipe: how; ``int8_qat`` is for encoders.
        fitting: uint8 (N, h, w, 3) RGB pictures that set the ranges of the tensors.

    Returns:
        the .tflite file and the versions of the packages that made it.

    Raises:
        InputError: as for :func:`quantise`.
    """
    with _worked(detector, preprocessing, recipe, {"fitting": fitting}) as (job, versions):
        return (job / "encoder.tflite").read_bytes(), versions


@contextmanager
def _worked(
    model: Path, preprocessing: Preprocessing, recipe: Recipe, arrays: dict[str, Pixels]
) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder in which the converter's process has left its files, and the versions it ran with."""
    with tempfile.TemporaryDirectory(prefix="familiar-convert-") as name:
        job = Path(name)
        task = {"model": str(model.resolve()), "preprocessing": preprocessing.as_json(), "recipe": asdict(recipe)}
        (job / "task.json").write_text(json.dumps(task))
        for key, array in arrays.items():
            np.save(job / f"{key}.npy", array)
        search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "convert.model.quantize", name],
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
            raise InputError(f"{model}: {result['error']}")
        yield job, result["versions"]


# What follows runs in the converter's own process.


class RefusalError(Exception):
    """What ends the job with one line."""


def _work(job: Path) -> dict[str, Any]:
    """Do the job in a folder; the result is what ``result.json`` says."""
    task = json.loads((job / "task.json").read_text())
    preprocessing, recipe = Preprocessing.from_json(task["preprocessing"]), Recipe(**task["recipe"])
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        return {"error": f"expected TensorFlow, it does not import ({error}); pip install 'familiar-edge[desktop]'"}
    try:
        codes = (job / "probe.npy").is_file()
        encoder = load_model(Path(task["model"]), preprocessing, codes)
        fitting = np.load(job / "fitting.npy")
        if codes:
            _compare(encoder, preprocessing, fitting, job)
        if recipe.full_int8:
            equalised(encoder, preprocessing.as_float(fitting[:_EQUALISED_ON]))
        if recipe.quantisation == "int8_qat":
            encoder = trained(encoder, preprocessing, recipe, fitting)
        (job / "encoder.tflite").write_bytes(converted(encoder, preprocessing, recipe, fitting))
    except RefusalError as refusal:
        return {"error": str(refusal)}
    return {"versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}}


def _compare(encoder: Any, preprocessing: Preprocessing, fitting: Pixels, job: Path) -> None:
    """What the float model makes of the probe chips, and the float model itself as a .tflite."""
    import keras

    probe = np.load(job / "probe.npy")
    batches = [probe[at : at + _BATCH] for at in range(0, len(probe), _BATCH)]
    codes = [keras.ops.convert_to_numpy(encoder(preprocessing.as_float(batch), training=False)) for batch in batches]
    np.save(job / "codes.npy", np.concatenate(codes))
    (job / "reference.tflite").write_bytes(converted(encoder, preprocessing, None, fitting))


def load_model(path: Path, preprocessing: Preprocessing, codes: bool = True) -> Any:
    """The float network as a Keras model that is fit for the preprocessing; an encoder, if it is to give codes.

    Raises:
        RefusalError: it cannot be loaded, or is not fit.
    """
    import keras

    try:
        load = keras.saving.load_model
        encoder = _saved_model(path, preprocessing) if path.is_dir() else load(path, compile=False)
    except RefusalError:
        raise
    except Exception as error:  # Keras raises whatever a file leads it to
        why = own_layers(path) or f"Keras does not load it ({_line(error)})"
        raise RefusalError(f"expected a Keras model of stock layers, {why}; save it anew") from error
    if fault := unfit(encoder, preprocessing, codes):
        raise RefusalError(fault)
    return encoder


def own_layers(path: Path) -> str:
    """Which layers of a .keras or .h5 file are not Keras's own, in words; empty if all are, or nobody can tell."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                document = json.loads(packed.read("config.json"))
        else:
            import h5py

            with h5py.File(path) as stored:
                document = json.loads(stored.attrs["model_config"])
    except (OSError, KeyError, ValueError):
        return ""
    found = sorted(set(_own(document)))
    return f"found {', '.join(found)}, which {'runs' if len(found) == 1 else 'run'} code of its author" if found else ""


def _own(config: Any) -> Iterator[str]:
    """Names of the layers in a model's configuration whose code Keras has not."""
    if isinstance(config, dict):
        name = str(config.get("class_name"))
        if "config" in config and (name == "Lambda" or config.get("registered_name") not in (None, name)):
            yield "a Lambda layer" if name == "Lambda" else f"the layer {name}"
        for value in config.values():
            yield from _own(value)
    elif isinstance(config, list):
        for value in config:
            yield from _own(value)


def _saved_model(path: Path, preprocessing: Preprocessing) -> Any:
    """A SavedModel's signature as a Keras model."""
    import keras
    import tensorflow as tf

    known = tf.saved_model.load(str(path)).signatures
    endpoint = next((name for name in _ENDPOINTS if name in known), None)
    if endpoint is None:
        raise RefusalError(
            f"expected one of the signatures {', '.join(_ENDPOINTS)}, found {', '.join(known) or 'none'}"
        )
    width, height = preprocessing.template.size_wh
    chip = keras.Input((height, width, preprocessing.channels))
    made = keras.layers.TFSMLayer(str(path), call_endpoint=endpoint)(chip)
    outputs = list(made.values()) if isinstance(made, dict) else [made]
    return keras.Model(chip, outputs)


def converted(encoder: Any, preprocessing: Preprocessing, recipe: Recipe | None, fitting: Pixels) -> bytes:
    """The .tflite file by a recipe; in float32 for None.

    Raises:
        RefusalError: the converter gives up.
    """
    import keras
    import tensorflow as tf

    width, height = preprocessing.template.size_wh
    fixed = keras.Input(batch_shape=(1, height, width, preprocessing.channels))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, encoder(fixed, training=False)))
    if recipe is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = recipe.per_tensor_dense
    if recipe is not None and recipe.quantisation == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if recipe is not None and recipe.full_int8:
        chips = fitting[: recipe.calibration_chips]

        def calibration() -> Iterator[list[Floats]]:
            for chip in chips:
                yield [preprocessing.as_float(chip[None])]

        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        return bytes(converter.convert())
    except Exception as error:  # the converter raises whatever its passes lead it to
        raise RefusalError(f"expected operators that TFLite has, the converter gives up ({_line(error)})") from error


def trained(encoder: Any, preprocessing: Preprocessing, recipe: Recipe, fitting: Pixels) -> Any:
    """The encoder after a training that is aware of int8.

    Raises:
        RefusalError: a model that cannot be trained so.
    """
    from convert.model import qat

    try:
        return qat.finetuned(encoder, preprocessing.as_float, fitting, recipe)
    except ValueError as error:
        raise RefusalError(f"int8_qat: {error}; take the recipe int8") from error


def unfit(encoder: Any, preprocessing: Preprocessing, codes: bool = True) -> str | None:
    """Why this Keras model is no encoder for this preprocessing; None if it is.

    Args:
        encoder: a ``keras.Model``.
        preprocessing: of its input.
        codes: whether its one output has to be a code.
    """
    if len(encoder.inputs or ()) != 1 or (codes and len(encoder.outputs or ()) != 1):
        return "expected a functional model of one input and one output; save the encoder alone"
    width, height = preprocessing.template.size_wh
    expected, found = (height, width, preprocessing.channels), tuple(encoder.inputs[0].shape)[1:]
    if len(found) != 3 or any(f not in (None, e) for e, f in zip(expected, found, strict=True)):
        return (
            f"expected the input {expected} of the preprocessing, found {found}; state the model's own size and colour"
        )
    code = tuple(encoder.outputs[0].shape)[1:]
    if codes and (len(code) != 1 or code[0] is None):
        return f"expected one code of a fixed size a face, the model gives {code}; flatten its output"
    mixed = [layer for layer in _layers(encoder) if layer.compute_dtype != "float32"]
    if mixed:
        return f"expected float32, layer {mixed[0].name!r} computes in {mixed[0].compute_dtype}; save it in float32"
    if not all(_finite(weight) for weight in encoder.get_weights()):
        return "expected finite weights, found infinite ones or NaN; train it again with a lower learning rate"
    return None


def _finite(weight: NDArray[Any]) -> bool:
    return weight.dtype.kind != "f" or bool(np.isfinite(weight).all())


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
