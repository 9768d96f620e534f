from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.detectors import open_detector
from edge_runtime.errors import InputError
from edge_runtime.pictures.chips import Chips
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS
from tests.builders import RELEASED, ROOT, draw_face, make_bundle, make_pixels
from tests.train.drawn_chips import make_chips
from train.__main__ import main
from train.encoder.datasets import Faces
from train.encoder.fit import fit
from train.encoder.generate import most_different
from train.encoder.generator import FaceGenerator
from train.encoder.guard import BundleJudge, MemoryGuard, enlarge, face_score
from train.encoder.recipe import TeacherPart, load_recipe
from train.encoder.teacher import Teacher
from train.runs.run import load_run

REFERENCE = TeacherPart(str(ROOT / "tests/golden/tiny.tflite"), "grey", 28, 6.0, (127.5,), (127.5,))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A dense autoencoder that has learnt seven drawn faces by heart."""
    folder = tmp_path_factory.mktemp("generate")
    chips = make_chips(folder / "c.npz", train=7, select=2, photos=6)
    recipe = load_recipe("dense", ["fit.epochs=150", "fit.batch=42", "optimiser.learning_rate=0.003"])
    fit(recipe, chips, folder / "run")
    return folder / "run"


def test_most_different_takes_the_ones_far_apart():
    codes = np.array([[1, 0], [0.999, 0.04], [0, 1], [-1, 0]], np.float32)
    taken, alike = most_different(codes, 3)
    assert {2, 3} < set(taken) and len(set(taken)) == 3
    assert alike == pytest.approx(0.04, abs=0.05)
    assert most_different(codes, 1)[1] == -1


def test_the_detector_has_to_find_just_this_face():
    detector = open_detector(f"bundle:{RELEASED}")
    assert 0 < face_score(detector, draw_face(0, 120)[30:150, 30:150]) < 1
    assert face_score(detector, make_pixels(128, 128)) == 0


def test_drawn_faces_are_of_the_runs_size_and_differ(run_folder):
    generator = FaceGenerator(load_run(run_folder))
    assert len(generator.training) == 42 and len(generator.held) == 12
    drawn = generator.codes(8, 1.0, np.random.default_rng(0))
    assert np.array_equal(drawn, generator.codes(8, 1.0, np.random.default_rng(0)))
    faces = generator.draw(drawn)
    assert faces.shape == (8, 28, 28, 3) and faces.dtype == np.uint8
    assert len({face.tobytes() for face in faces}) == 8
    assert enlarge(faces[0], 128).shape == (128, 128, 3)
    codes = generator.encode(faces)
    assert np.allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-4)


def test_the_guard_knows_a_training_photo_from_a_new_face(run_folder):
    run = load_run(run_folder)
    chips = run.chips()
    training, held = Faces.of_split([chips], "train"), Faces.of_split([chips], "select")
    guard = MemoryGuard(Teacher(REFERENCE), training, held)
    template = run.preprocessing.template
    copied = guard.nearest(training.aligned(np.array([0, 20]), template), template)
    assert guard.photos == 42 and copied.min() > 0.97 > guard.limit > guard.strangers
    with pytest.raises(InputError, match="people in select"):
        MemoryGuard(Teacher(REFERENCE), training, Faces.of_split([chips], "cohort"))


def test_a_bundle_may_judge_how_alike_two_faces_are(tmp_path):
    judge = BundleJudge(make_bundle(tmp_path / "bundle"))
    portraits = [read_image(path) for path in sorted(PORTRAITS.glob("*.png"))[:2]]
    nothing = make_pixels(128, 128)
    codes = judge.encode(np.stack([portraits[0], portraits[0], portraits[1], nothing]))
    assert codes[0] @ codes[1] == pytest.approx(1, abs=1e-4)
    assert codes[0] @ codes[2] < 0.95
    assert not codes[3].any()
    assert 0 < judge.alike_limit < 0.6


def test_pictures_and_numbers_are_written_together(run_folder, tmp_path, capsys):
    out = tmp_path / "faces"
    command = ["generate", "--run", str(run_folder), "--count", "2", "--seed", "1", "--spread", "0.7"]
    assert main([*command, "--out", str(out)]) == 0
    pages = ["between.png", "faces.json", "faces.png"]
    assert sorted(path.name for path in out.iterdir()) == [*pages, "p0.png", "p1.png"]
    assert all(cv2.imread(str(out / name)) is not None for name in ("between.png", "faces.png"))
    assert cv2.imread(str(out / "p0.png")).shape == (128, 128, 3)
    document = json.loads((out / "faces.json").read_text())
    assert len(document["landmarks"]) == 5 and document["reference"] is None
    assert "pass --reference FILE" in capsys.readouterr().err
    assert main([*command, "--out", str(out)]) == 4
    assert "new or empty folder" in capsys.readouterr().err


def test_faces_that_cannot_be_had_leave_nothing(run_folder, tmp_path, capsys):
    out = tmp_path / "faces"
    assert main(["generate", "--run", str(run_folder), "--out", str(out), "--count", "1", "--spread", "0.001"]) in (
        0,
        4,
    )
    assert main(["generate", "--run", str(tmp_path), "--out", str(tmp_path / "other")]) == 4
    assert "folder of a run" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_way_between_two_codes_has_equal_steps(run_folder):
    generator = FaceGenerator(load_run(run_folder))
    first, last = generator.codes(2, 1.0, np.random.default_rng(0))
    way = generator.between(first, last, 5)
    assert np.allclose(way[[0, -1]], [first, last], atol=1e-5)
    assert np.allclose(np.linalg.norm(np.diff(way, axis=0), axis=1), np.linalg.norm(last - first) / 4, rtol=1e-4)
    generator._unit = True
    way = generator.between(first, last, 5)
    assert np.allclose(np.linalg.norm(way, axis=1), 1, atol=1e-5)
    cosines = np.sum(way[1:] * way[:-1], 1)
    assert np.allclose(cosines, cosines[0], atol=1e-4) and way[0] @ first > 0
    assert np.isfinite(generator.between(first, first, 3)).all()


def test_drawn_faces_may_be_fitted_on(run_folder, tmp_path, capsys):
    out = tmp_path / "faces"
    command = ["generate", "--run", str(run_folder), "--count", "4", "--spread", "0.7", "--chips", "--out", str(out)]
    assert main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == ["between.png", "drawn.npz", "faces.json", "faces.png"]
    drawn, run = Chips.load(out / "drawn.npz"), load_run(run_folder)
    assert len(drawn.names) == 4 and set(drawn.names) == {""} and set(drawn.split) == {"train"}
    assert drawn.preprocessing_hash == run.chips().preprocessing_hash
    # Aligned again they are what the decoder drew, up to JPEG and two changes of size.
    template = run.preprocessing.template
    generator = FaceGenerator(run)
    pixels = drawn.aligned(range(4), template).astype(float)
    codes = generator.codes(512, 0.7, np.random.default_rng(0))
    known = generator.draw(codes).astype(float)
    apart = np.sqrt(((pixels[:, None] - known[None]) ** 2).mean((2, 3, 4))).min(1)
    assert apart.max() < 12
    again = tmp_path / "again"
    chips = str(run.chips_file["path"])
    fitted = ["fit", "--recipe", "dense", "--chips", chips, "--also", str(out / "drawn.npz"), "--epochs", "1"]
    assert main([*fitted, "--run", str(again)]) == 0
    assert len(Faces.of_split([run.chips(), drawn], "train")) == 46
