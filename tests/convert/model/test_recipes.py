"""Every recipe makes what it says, a layer that breaks is found, and mistakes made on purpose are noticed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.edgetpu.graph import int8_faults, loading_faults, read_graph
from convert.edgetpu.verdict import gate
from convert.model.quantize import Quantised, RefusalError, converted, load_model, trained
from convert.recipe import Recipe, load_recipe
from convert.report.layers import layer_errors, layer_fault, worst
from convert.report.measurement import measure
from convert.report.planted import spoil_layer
from edge_runtime.bundle.folder import Bundle
from edge_runtime.errors import ConfigError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.interpreters import open_interpreter
from tests.builders import ROOT
from tests.convert.inputs import PREPROCESSING, draw_chips, save_encoder

CHIPS = draw_chips(96, (28, 28), seed=3)


def recipe(name: str) -> Recipe:
    small = {"calibration_chips": 64, "qat_chips": 96} if name == "int8_qat" else {}
    return dataclasses.replace(load_recipe(name), **small)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    save_encoder(folder / "deep.keras", "deep")
    return folder


def conversion(path: Path, names: Sequence[str]) -> dict[str, Quantised]:
    """Conversions by some recipes, as the converter's process makes them, in this one."""
    encoder = load_model(path, PREPROCESSING)
    codes = np.asarray(encoder(PREPROCESSING.as_float(CHIPS[:32]), training=False))
    reference = converted(encoder, PREPROCESSING, None, CHIPS) if len(names) > 1 else b""
    found = {}
    for name in names:
        model = trained(encoder, PREPROCESSING, recipe(name), CHIPS) if name == "int8_qat" else encoder
        found[name] = Quantised(converted(model, PREPROCESSING, recipe(name), CHIPS), reference, codes, {})
    return found


@pytest.fixture(scope="module")
def made(place: Path) -> dict[str, Quantised]:
    """The deep encoder by every recipe."""
    return conversion(place / "deep.keras", ("int8", "int8_qat", "float16", "dynamic"))


def errors(found: Quantised, model: bytes | None = None, folder: Path = Path()) -> list[object]:
    """Errors layer by layer of a conversion, or of another model in its place."""
    candidate = found.model if model is None else model
    encoders = []
    for name, data in (("r.tflite", found.reference), ("c.tflite", candidate)):
        (folder / name).write_bytes(data)
        encoders.append(TfliteEncoder(open_interpreter("auto", folder / name), PREPROCESSING))
    with contextlib.closing(encoders[0]), contextlib.closing(encoders[1]):
        tensors = [lambda i, e=e: e.tensor(CHIPS[i : i + 1]) for e in encoders]
        return layer_errors(found.reference, candidate, tensors[0], tensors[1], 8)


def cosine(found: Quantised, folder: Path) -> float:
    (folder / "m.tflite").write_bytes(found.model)
    with contextlib.closing(TfliteEncoder(open_interpreter("auto", folder / "m.tflite"), PREPROCESSING)) as encoder:
        units, _ = encoder.encode(CHIPS[:32])
    return float((units * found.codes / np.linalg.norm(found.codes, axis=1, keepdims=True)).sum(1).min())


def test_every_recipe_gives_a_model_that_loads_and_codes_like_keras(made: dict[str, Quantised], tmp_path: Path) -> None:
    for name, found in made.items():
        graph = read_graph(found.model)
        assert loading_faults(graph) == []
        full = recipe(name).full_int8
        assert (int8_faults(graph) == []) == full and gate(found.model).maps_wholly == full
        assert cosine(found, tmp_path) > (0.9999 if name == "float16" else 0.99)
    sizes = {name: len(found.model) for name, found in made.items()}
    assert sizes["int8"] < sizes["float16"] < len(made["int8"].reference)


def test_half_precision_and_dynamic_weights_are_what_they_say(made: dict[str, Quantised]) -> None:
    kinds = {name: {t.dtype for t in read_graph(found.model).tensors if t.size > 64 and t.constant}
             for name, found in made.items()}  # fmt: skip
    assert "FLOAT16" in kinds["float16"] and "INT8" in kinds["dynamic"] and kinds["int8"] == {"INT8"}


def test_a_training_aware_of_int8_changes_weights_and_costs_nothing(made: dict[str, Quantised], tmp_path: Path) -> None:
    assert made["int8_qat"].model != made["int8"].model
    assert cosine(made["int8_qat"], tmp_path) > cosine(made["int8"], tmp_path) - 0.002


def test_the_layer_that_breaks_is_found(made: dict[str, Quantised], tmp_path: Path) -> None:
    found = made["int8"]
    sound = errors(found, folder=tmp_path)
    operators = read_graph(found.model).operators
    assert [layer.operator for layer in sound] == [o.name for o in operators]
    assert layer_fault(sound, recipe("int8").layer_snr_db) is None
    weighted = [i for i, o in enumerate(operators) if o.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    assert len(weighted) == 5
    for which in weighted:
        name, spoilt = spoil_layer(found.model, which)
        bad = errors(found, spoilt, tmp_path)
        culprit = worst(bad)
        assert culprit is not None and name == f"{culprit.operator} {culprit.index}"
        fault = layer_fault(bad, recipe("int8").layer_snr_db)
        assert fault is not None and f"{culprit.operator} {which}" in fault


def test_layers_of_two_networks_are_not_compared(made: dict[str, Quantised], tmp_path: Path) -> None:
    other = dataclasses.replace(made["int8"], reference=(ROOT / "tests/golden/tiny.tflite").read_bytes())
    assert errors(other, folder=tmp_path) == []


def test_mistakes_made_on_purpose_are_caught_and_named(tmp_path: Path) -> None:
    released = Bundle(ROOT / "models" / "released" / "default")
    preprocessing, model = released.manifest.preprocessing, tmp_path / "encoder.tflite"
    model.write_bytes((released.path / released.manifest.encoder_file).read_bytes())
    chips = draw_chips(48, preprocessing.template.size_wh)
    measured = measure(model, None, None, preprocessing, chips, [""] * len(chips), recipe("int8"))
    assert measured.failed == {}
    caught = {mistake.name: mistake.caught_by for mistake in measured.planted}
    assert len(caught) == 4 and all(caught.values()), caught
    assert "red and blue swapped" in caught and any("reversed" in name for name in caught)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.tflite"]


def test_a_saved_model_is_as_good_as_a_keras_file(place: Path, made: dict[str, Quantised], tmp_path: Path) -> None:
    import keras

    keras.saving.load_model(place / "deep.keras").export(tmp_path / "saved", verbose=False)
    found = conversion(tmp_path / "saved", ["int8"])["int8"]
    np.testing.assert_allclose(found.codes, made["int8"].codes, atol=1e-4)
    assert gate(found.model).maps_wholly and cosine(found, tmp_path) > 0.99
    with pytest.raises(RefusalError, match="int8_qat: expected"):
        trained(load_model(tmp_path / "saved", PREPROCESSING), PREPROCESSING, recipe("int8_qat"), CHIPS)
    with pytest.raises(RefusalError, match="does not load"):
        load_model(place, PREPROCESSING)


def test_a_recipe_may_be_another_one_with_a_change(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "int8"\ncohort_codes = 77\n')
    mine, int8 = load_recipe(str(tmp_path / "mine.toml")), recipe("int8")
    assert mine == dataclasses.replace(int8, name="mine", cohort_codes=77)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("int8", ("calibration_chips = 300", "calibration_chips = 0"), "at least 1"),
        ("int8_qat", ("qat_epochs = 2", ""), "qat_epochs"),
        ("int8", ('quantisation = "int8"', 'quantisation = "int4"'), "int8 or int8_qat"),
    ],
)
def test_a_recipe_that_asks_for_nothing_sensible_is_refused(
    name: str, change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    from convert.recipe import RECIPES

    path = tmp_path / "r.toml"
    path.write_text((RECIPES / f"{name}.toml").read_text().replace(*change))
    with pytest.raises(ConfigError, match=said):
        load_recipe(str(path))
