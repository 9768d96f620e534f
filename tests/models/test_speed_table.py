"""What the table of expected speed counts, against the layers of the network itself."""

from __future__ import annotations

import pytest

from tests.builders import RELEASED, ROOT


def test_the_multiply_adds_of_a_model_file_are_those_of_its_layers() -> None:
    keras = pytest.importorskip("keras")
    from convert.edgetpu.graph import read_graph
    from models.cost import multiply_adds
    from tests.benchmarks.speed_table import macs

    encoder = keras.models.load_model(ROOT / "models/released/fine_tuning/encoder/encoder.keras", compile=False)
    assert macs(read_graph((RELEASED / "encoder.tflite").read_bytes())) == multiply_adds(encoder)
