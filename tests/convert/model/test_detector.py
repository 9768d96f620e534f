"""A detector's run becomes a folder that devices open and bundles take along."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.__main__ import main
from convert.edgetpu.verdict import gate
from convert.model.detector import DETECTOR_FILE, REFINER_FILE, convert_detector, take_along
from convert.model.golden import detector_pictures
from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.detectors.bundle import SHEET
from edge_runtime.errors import BundleError, InputError, SelfTestError, UsageError
from edge_runtime.faces.golden import DETECTOR_GOLDEN, check_golden_faces
from edge_runtime.types import NOWHERE
from tests.builders import RELEASED, make_bundle, make_pixels, write_manifest


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    from tests.train.detector.small import fit_small

    return fit_small(tmp_path_factory.mktemp("fitted") / "run").path


@pytest.fixture(scope="module")
def refined(fitted: Path, tmp_path_factory) -> Path:
    """The same with a refiner that is as hardly trained."""
    from tests.train.detector.small import fit_small_refiner

    refiner = fit_small_refiner(tmp_path_factory.mktemp("refiner") / "run").path
    out = tmp_path_factory.mktemp("refined") / "detector"
    convert_detector(fitted, out, score=0.001, refiner=refiner, candidates=0.01)
    return out


@pytest.fixture(scope="module")
def converted(fitted: Path, tmp_path_factory) -> Path:
    """Hardly trained, it is sure of nothing: with a low score it says something about every picture."""
    out = tmp_path_factory.mktemp("converted") / "detector"
    convert_detector(fitted, out, score=0.001)
    return out


def test_the_file_maps_to_the_edge_tpu_and_the_sheet_says_all(converted: Path) -> None:
    verdict = gate((converted / DETECTOR_FILE).read_bytes())
    assert verdict.maps_wholly, verdict.why_not
    sheet = json.loads((converted / SHEET).read_text())
    assert sheet["name"] == f"familiar-{file_digest(converted / DETECTOR_FILE)[0][:12]}"
    assert (sheet["size_wh"], sheet["colour"], sheet["score"]) == ([96, 64], "rgb", 0.001)
    assert sheet["metrics"]["edgetpu"] == "maps wholly" and "drawings" in sheet["lineage"][0]


def test_the_released_int8_file_says_what_the_float_model_says() -> None:
    """Cell by cell, on pictures of nobody."""
    import keras

    from edge_runtime.interpreters import open_interpreter

    pictures = detector_pictures()
    network = keras.saving.load_model(RELEASED.with_name("fine_tuning") / "detector.keras", compile=False)
    outputs = network(((pictures - 127.5) / 127.5).astype(np.float32))
    interpreter = open_interpreter("auto", RELEASED / DETECTOR_FILE)
    scale, zero = interpreter.input_quantization
    for k, picture in enumerate(pictures):
        tensor = np.rint((picture - 127.5) / 127.5 / scale + zero).clip(-128, 127).astype(np.int8)[None]
        for port, found in zip(interpreter.outputs, interpreter.run(tensor), strict=True):
            name = next(n for n, v in outputs.items() if tuple(v.shape[1:]) == port.shape[1:])
            real = (found[0].astype(np.float32) - port.quantization[1]) * port.quantization[0]
            assert np.corrcoef(real.ravel(), np.asarray(outputs[name])[k].ravel())[0, 1] > 0.85, name


def test_a_bundle_takes_it_along_and_a_device_checks_it(converted: Path, tmp_path: Path) -> None:
    bundle = _bundle_with(converted, tmp_path / "bundle")
    assert bundle.manifest.own_detector is not None
    assert bundle.manifest.detector == bundle.manifest.own_detector.name
    with pytest.raises(InputError, match="expected the detector of the chips, haar"):
        take_along(converted, tmp_path, "haar")
    detector = open_detector(f"bundle:{bundle.path}", DetectorOptions(min_face_px=1))
    check_golden_faces(bundle, detector)
    detector.detect = lambda pixels, find=detector.detect: find(np.ascontiguousarray(pixels[:, ::-1]))  # type: ignore[method-assign]
    with pytest.raises(SelfTestError, match="golden"):
        check_golden_faces(bundle, detector)
    detector.close()


def test_a_bundle_whose_detector_is_another_file_is_refused(converted: Path, tmp_path: Path) -> None:
    bundle = _bundle_with(converted, tmp_path / "bundle")
    (bundle.path / DETECTOR_FILE).write_bytes(b"TFL3")
    with pytest.raises(BundleError, match="altered"):
        Bundle(bundle.path)
    alone = tmp_path / "alone"
    shutil.copytree(converted, alone)
    (alone / DETECTOR_FILE).write_bytes((converted / DETECTOR_FILE).read_bytes()[:-1])
    with pytest.raises(BundleError, match="not the files that its sheet names"):
        take_along(alone, tmp_path, json.loads((alone / SHEET).read_text())["name"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size_wh", [0, 64]),
        ("size_wh", [96]),
        ("std", [1, 1, 0]),
        ("mean", "x"),
        ("score", 1.5),
        ("file", "../d"),
        ("name", None),
    ],
)
def test_a_damaged_sheet_is_one_line(converted: Path, tmp_path: Path, key: str, value: object) -> None:
    folder = tmp_path / "detector"
    shutil.copytree(converted, folder)
    document = json.loads((folder / SHEET).read_text())
    if value is None:
        del document[key]
    else:
        document[key] = value
    (folder / SHEET).write_text(json.dumps(document))
    with pytest.raises(BundleError) as caught:
        open_detector(f"bundle:{folder}")
    assert "\n" not in str(caught.value) and "make it again" in str(caught.value)


def test_a_refiner_comes_along_and_is_part_of_the_name(refined: Path, converted: Path, tmp_path: Path) -> None:
    for name in (DETECTOR_FILE, REFINER_FILE):
        assert gate((refined / name).read_bytes()).maps_wholly
    sheet, plain = (json.loads((folder / SHEET).read_text()) for folder in (refined, converted))
    assert sheet["name"] != plain["name"] and sheet["refiner"]["file"] == REFINER_FILE
    assert sheet["metrics"]["edgetpu"] == "maps wholly"
    assert any(line.startswith("refiner: looks again at") for line in sheet["lineage"])
    bundle = _bundle_with(refined, tmp_path / "bundle")
    assert REFINER_FILE in bundle.manifest.files
    detector = open_detector(f"bundle:{bundle.path}", DetectorOptions(min_face_px=1))
    assert set(detector.interpreters) == {"detector", "refiner"}  # type: ignore[attr-defined]
    check_golden_faces(bundle, detector)
    detector.close()
    once = open_detector(f"bundle:{bundle.path}", DetectorOptions(min_face_px=1, refine=False))
    assert set(once.interpreters) == {"detector"}  # type: ignore[attr-defined]
    once.close()
    (bundle.path / REFINER_FILE).unlink()
    with pytest.raises(BundleError, match=r"refiner\.tflite"):
        Bundle(bundle.path)


@pytest.mark.parametrize(
    ("key", "value"), [("size", 0), ("std", [1, 1, 0]), ("candidates", 0), ("file", "../r"), ("file", None)]
)
def test_a_damaged_sheet_of_a_refiner_is_one_line(refined: Path, tmp_path: Path, key: str, value: object) -> None:
    folder = tmp_path / "detector"
    shutil.copytree(refined, folder)
    document = json.loads((folder / SHEET).read_text())
    document["refiner"][key] = value
    if value is None:
        document["refiner"] = "x"
    (folder / SHEET).write_text(json.dumps(document))
    with pytest.raises(BundleError) as caught:
        open_detector(f"bundle:{folder}")
    assert "\n" not in str(caught.value) and "make it again" in str(caught.value)


def test_a_sheet_of_another_network_is_one_line(converted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "detector"
    shutil.copytree(converted, folder)
    document = json.loads((folder / SHEET).read_text())
    (folder / SHEET).write_text(json.dumps(document | {"size_wh": [160, 96]}))
    with pytest.raises(BundleError, match="expected input"):
        open_detector(f"bundle:{folder}")


def test_what_is_no_run_of_a_detector_is_one_line(tmp_path: Path, fitted: Path) -> None:
    with pytest.raises(InputError, match="finished run"):
        convert_detector(tmp_path, tmp_path / "out")
    shutil.copytree(fitted, tmp_path / "run")
    record = json.loads((fitted / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"kind": "encoder"}))
    with pytest.raises(InputError, match=r"expected the run of a detector, found that of another network \(encoder\)"):
        convert_detector(tmp_path / "run", tmp_path / "out")
    with pytest.raises(InputError, match=r"the run of a refiner, found that of another network \(detector\)"):
        convert_detector(fitted, tmp_path / "out", refiner=fitted)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(converted: Path, fitted: Path) -> None:
    with pytest.raises(UsageError, match="expected a new folder"):
        convert_detector(fitted, converted)


def test_on_the_command_line(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detector", str(fitted), "--out", str(tmp_path / "d"), "--score", "2"]) == 2
    assert main(["detector", str(fitted), "--out", str(tmp_path / "d"), "--score", "0.001"]) == 0
    assert "Edge TPU: maps wholly" in capsys.readouterr().out


def test_the_golden_pictures_are_of_nobody_and_one_is_empty() -> None:
    pictures = detector_pictures()
    assert pictures.shape[1:] == (240, 320, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, detector_pictures())


def test_a_large_picture_is_searched_closely_too(converted: Path) -> None:
    with closing(open_detector(f"bundle:{converted}", DetectorOptions(min_face_px=1))) as detector:
        large = np.tile(make_pixels(64, 96), (3, 3, 1))
        assert len(detector.detect(large)) > len(detector.detect(large, windows=NOWHERE))
        small = make_pixels(64, 96)
        np.testing.assert_array_equal(detector.detect(small).xyxy, detector.detect(small, windows=NOWHERE).xyxy)


def _bundle_with(detector: Path, folder: Path) -> Bundle:
    """A test bundle that brings this detector."""
    make_bundle(folder)
    sheet = json.loads((detector / SHEET).read_text())
    take_along(detector, folder, sheet["name"])
    write_manifest(folder, detector=sheet)
    assert (folder / DETECTOR_GOLDEN).is_file()
    return Bundle(folder)
