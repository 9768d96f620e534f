"""``embed``: one raw code a picture, in the promised layout, whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.app.command_line import main
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.faces.chain import FaceChain
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.pictures.reader import read_image
from edge_runtime.types import Pixels
from tests.builders import ROOT, draw_face, make_bundle, make_pixels

Embed = Callable[..., int]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def embed(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embed:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "conf"))
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(bundle.path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["embed", *arguments])


def save(path: Path, pixels: Pixels, orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    save(root / "b/1.png", draw_face(0, 120))
    save(root / "b-2.PNG", draw_face(1, 120))
    save(root / "a/none.bmp", make_pixels())
    save(root / "c.jpg", np.rot90(draw_face(2, 120)), orientation=6)
    save(root / "tiny.pgm", draw_face(3, 40))
    (root / "zero.webp").write_bytes(b"")
    (root / "notes.txt").write_text("not a picture")
    save(root / ".hidden/x.png", draw_face(0, 120))
    return root


def test_layout_is_exactly_what_is_promised(
    embed: Embed, folder: Path, bundle: Bundle, capfd: pytest.CaptureFixture[str]
) -> None:
    assert embed("photos", "--out", "codes.npz") == 0
    captured = capfd.readouterr()
    assert "photos/zero.webp: expected a picture, found an empty file" in captured.err
    assert captured.out == "6 pictures, 4 with a face, 1 unreadable: codes.npz\n"
    with np.load("codes.npz", allow_pickle=False) as archive:
        found = dict(archive)
    assert set(found) == {"paths", "codes", "detected", "xyxy", "landmarks"}
    assert found["paths"].tolist() == ["a/none.bmp", "b-2.PNG", "b/1.png", "c.jpg", "tiny.pgm", "zero.webp"]
    assert found["detected"].tolist() == [False, True, True, True, True, False]
    assert {name: (value.dtype, value.shape) for name, value in found.items() if name != "paths"} == {
        "codes": (np.dtype("f4"), (6, 32)),
        "detected": (np.dtype("?"), (6,)),
        "xyxy": (np.dtype("f4"), (6, 4)),
        "landmarks": (np.dtype("f4"), (6, 5, 2)),
    }
    lengths = np.linalg.norm(found["codes"], axis=1)
    assert np.allclose(lengths, found["detected"].astype(float), atol=1e-5)
    assert not found["xyxy"][[0, 5]].any() and not found["landmarks"][[0, 5]].any()
    with FaceChain.open(bundle) as chain:
        pixels = read_image(folder / "b/1.png")
        detections = chain.detector.detect(pixels)
        codes, _ = chain.encode(pixels, detections.landmarks[:1])
    assert np.array_equal(found["codes"][2], codes[0])
    assert np.array_equal(found["xyxy"][2], detections.xyxy[0])
    assert np.array_equal(found["landmarks"][2], detections.landmarks[0])


def test_codes_are_of_the_face_alone_whatever_the_bundle_does(
    embed: Embed, folder: Path, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embed("photos", "--out", "alone.npz") == 0
    both = shutil.copytree(bundle.path, tmp_path / "both")
    document = json.loads((both / MANIFEST).read_text())
    document["encoder"]["mirrored"] = True
    (both / MANIFEST).write_text(json.dumps(document))
    assert open_encoder(Bundle(both)).mirrored and not open_encoder(bundle).mirrored
    # Codes of the two never meet in a gallery.
    assert Bundle(both).manifest.preprocessing_hash("x") != bundle.manifest.preprocessing_hash("x")
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(both))
    assert embed("photos", "--out", "both.npz") == 0
    with np.load("alone.npz") as alone, np.load("both.npz") as other:
        np.testing.assert_array_equal(alone["codes"], other["codes"])


def test_face_nearest_the_middle_is_taken(embed: Embed, tmp_path: Path) -> None:
    canvas = make_pixels(400, 700)
    face, corner = draw_face(0, 100), draw_face(1, 120)
    canvas[125:275, 275:425] = face
    canvas[:180, :180] = corner
    save(tmp_path / "photos/both.png", canvas)
    save(
        tmp_path / "photos/middle.png", np.asarray(np.where(np.arange(700)[None, :, None] < 200, 90, canvas), np.uint8)
    )
    assert embed("photos", "--out", "codes.npz") == 0
    with np.load("codes.npz") as archive:
        assert archive["detected"].all()
        assert np.abs((archive["xyxy"][:, :2] + archive["xyxy"][:, 2:]) / 2 - [349.5, 199.5]).max() < 30


def test_processes_do_not_change_a_byte(embed: Embed, folder: Path) -> None:
    assert embed("photos", "--out", "one.npz") == 0
    assert embed("photos", "--out", "two.npz", "--jobs", "2") == 0
    with np.load("one.npz") as one, np.load("two.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in one.files)


def test_out_is_replaced_whole_and_named_as_asked(
    embed: Embed, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "codes").write_text("older")
    assert embed("photos", "--out", "codes", "--json") == 0
    assert json.loads(capfd.readouterr().out) == {"pictures": 6, "detected": 4, "unreadable": 1, "out": "codes"}
    with np.load("codes") as archive:
        assert len(archive["paths"]) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes", "photos"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nowhere", "--out", "x.npz"), 4, "found nothing there"),
        (("empty", "--out", "x.npz"), 4, "found none"),
        (("photos", "--out", "no/x.npz"), 4, "expected a folder to write to"),
        (("photos", "--out", "photos"), 4, "found a folder or device"),
        (("photos", "--out", "x.npz", "--jobs", "0"), 2, "at least 1"),
        (("photos", "--out", "x.npz", "--detector", "eyes"), 3, "expected one of bundle"),
        (("photos", "--out", "x.npz", "--detector", "yunet:none.onnx"), 4, "none.onnx"),
        (("photos", "--out", "x.npz", "--set", "bundle.path=empty"), 6, "expected a bundle"),
    ],
)
def test_each_mistake_is_one_line_and_writes_nothing(
    embed: Embed,
    folder: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    assert embed(*arguments) == code
    captured = capfd.readouterr()
    assert captured.out == "" and says in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos"]


def test_a_full_disk_is_one_line_and_keeps_the_older_file(
    embed: Embed, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "codes.npz").write_text("older")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert embed("photos", "--out", "codes.npz") == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "codes.npz: cannot be written (File too large); make room" in capfd.readouterr().err
    assert (tmp_path / "codes.npz").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.npz", "photos"]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc (Linux)")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_command(embed: Embed, tmp_path: Path, bundle: Bundle, number: signal.Signals) -> None:
    for index in range(400):
        save(tmp_path / f"many/{index}.bmp", draw_face(index % 7, 120))
    command = [sys.executable, "-m", "edge_runtime", "embed", "many", "--out", "x.npz", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        until = time.monotonic() + 60
        while len(workers := children(parent.pid)) < 3:  # two workers and the resource tracker
            assert parent.poll() is None and time.monotonic() < until
        watched = [os.pidfd_open(pid) for pid in workers]
        os.killpg(parent.pid, number) if number == signal.SIGINT else parent.send_signal(number)
        _, errors = parent.communicate(timeout=60)
        assert parent.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -9, signal.SIGINT: 130}[number]
        if number != signal.SIGKILL:  # then Python's own resource tracker may have a word
            assert errors == ("familiar: interrupted\n" if number == signal.SIGINT else "")
        for descriptor in watched:
            assert select.select([descriptor], [], [], 60)[0]
            os.close(descriptor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many"]
