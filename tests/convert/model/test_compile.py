"""The seam to the Edge TPU's compiler, with a stand-in that behaves as its logs show; the real one is not for this."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")

from convert.__main__ import main
from convert.edgetpu.compiler import PROGRAM, Row, parse_log
from convert.edgetpu.verdict import gate
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.signature import make_private_key
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.faces.golden import check_golden
from tests.builders import ROOT, make_bundle
from tests.convert.standin_compiler import VERSION

LOG = """\
Edge TPU Compiler version 15.0.340273435
Input: model.tflite
Output: model_edgetpu.tflite

Operator                       Count      Status

FULLY_CONNECTED                1          More than one subgraph is not supported
PAD                            1          Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped
edgetpu-custom-op              1          Mapped to Edge TPU
DEPTHWISE_CONV_2D              17         Mapped to Edge TPU
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "b").path


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The stand-in on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / PROGRAM
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.convert.standin_compiler "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return monkeypatch


def test_a_log_is_read_line_by_line() -> None:
    rows = parse_log(LOG)
    assert rows[0] == Row("FULLY_CONNECTED", 1, "More than one subgraph is not supported")
    assert rows[2].status.startswith("Operation is otherwise") and rows[-1] == Row(
        "DEPTHWISE_CONV_2D", 17, "Mapped to Edge TPU"
    )
    assert parse_log("") == parse_log("Internal compiler error. Aborting!") == ()


def test_a_bundle_gets_a_compiled_file_beside_the_other(
    bundle: Path, compiler: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Bundle(bundle)
    assert main(["compile", str(bundle)]) == 0
    files = [before.path / name for name in ("encoder.tflite", "detector.tflite", "refiner.tflite")]
    operators = sum(len(gate(file.read_bytes()).operators) for file in files)
    assert f"all {operators} operators mapped" in capsys.readouterr().out
    made = Bundle(bundle)
    assert made.encoder_hash == before.encoder_hash
    assert made.manifest.encoder.edgetpu_file == "encoder_edgetpu.tflite"
    assert gate((bundle / "encoder_edgetpu.tflite").read_bytes()).compiled
    record = made.manifest.metrics.edgetpu_compiler
    assert record["version"] == VERSION and record["on_chip_bytes"] > 20_000 and record["off_chip_bytes"] == 0
    encoder = open_encoder(made)
    assert check_golden(made, encoder) > 0.999
    encoder.close()
    assert main(["compile", str(bundle)]) == 0  # again, from the file it was


def test_all_models_are_compiled_together(tmp_path: Path, compiler: pytest.MonkeyPatch) -> None:
    import json

    from tests.builders import write_manifest

    bundle = make_bundle(tmp_path / "two").path
    shutil.copy(bundle / "encoder.tflite", bundle / "detector.tflite")
    write_manifest(bundle)
    document = json.loads((bundle / "manifest.json").read_text())
    sheet = {"file": "detector.tflite", "size_wh": [320, 320], "mean": [0.0] * 3, "std": [255.0] * 3, "score": 0.5}
    document["detector"] |= sheet
    (bundle / "manifest.json").write_text(json.dumps(document))
    assert main(["compile", str(bundle), "--out", str(tmp_path / "out")]) == 0
    made = Bundle(tmp_path / "out")
    assert {"encoder_edgetpu.tflite", "detector_edgetpu.tflite", "refiner_edgetpu.tflite"} <= set(made.manifest.files)
    assert len(made.manifest.metrics.edgetpu_compiler["operators"]) == 3
    assert made.manifest.as_json()["detector"]["refiner"]["edgetpu_file"] == "refiner_edgetpu.tflite"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("leaves", "1 FULLY_CONNECTED: Operation version not supported"),
        ("lies", "expected one edgetpu-custom-op"),
        ("fails", "Internal compiler error"),
        ("changes", "expected inputs and outputs"),
        ("silent", "expected the compiler's log"),
    ],
)
def test_what_is_not_wholly_mapped_is_an_error_that_names_it(
    how: str, said: str, bundle: Path, compiler: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler.setenv("STANDIN", how)
    before = Bundle(bundle).hash
    assert main(["compile", str(bundle)]) == 6
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert Bundle(bundle).hash == before and sorted(p.name for p in bundle.parent.iterdir()) == ["b", "bin"]


def test_without_the_compiler_the_message_says_how_to_get_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["compile", str(bundle)]) == 4
    error = capsys.readouterr().err
    assert "apt install edgetpu-compiler" in error and "complete without it" in error and error.count("\n") == 1


def test_a_signed_bundle_is_signed_again_or_not_touched(
    tmp_path: Path, bundle: Path, compiler: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_private_key(tmp_path / "k.pem")
    assert main(["sign", str(bundle), "--key", str(tmp_path / "k.pem")]) == 0
    public = capsys.readouterr().out.split()[-1]
    assert main(["compile", str(bundle)]) == 2
    assert "--sign KEY" in capsys.readouterr().err
    assert main(["compile", str(bundle), "--sign", str(tmp_path / "k.pem")]) == 0
    assert Bundle(bundle, [public]).manifest.encoder.edgetpu_file
