"""An album of drawn people is sorted; what is counted agrees with who was drawn."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("sklearn")
import cv2

from edge_runtime.bundle.folder import Bundle
from edge_runtime.geometry.embeddings import normalise
from tests.builders import RELEASED, draw_face
from train.__main__ import main
from train.codes.cluster import agreement, cluster

SIZES = {"ada": 5, "bo": 3, "cy": 1}
SIZE = Bundle(RELEASED).manifest.embedding_size


@pytest.fixture
def album(tmp_path, rng_codes):
    """A codes file as familiar embed writes it, and the photos; the last one shows nobody."""
    paths, codes = [], []
    for name, size in SIZES.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(size):
            paths.append(f"{name}/{k}.png")
            codes.append(rng_codes(name, k))
            cv2.imwrite(str(tmp_path / "photos" / paths[-1]), draw_face(len(name), 112))
    paths.append("ada/nobody.png")
    codes.append(np.zeros(SIZE, np.float32))
    file = tmp_path / "codes.npz"
    boxes = np.tile(np.float32([20, 20, 90, 90]), (len(paths), 1))
    np.savez(file, paths=paths, codes=np.stack(codes), detected=np.any(codes, 1), xyxy=boxes)
    return file


@pytest.fixture
def rng_codes():
    def code(name, photo):
        person = np.random.default_rng(list(name.encode())).normal(size=SIZE)
        return normalise((person + np.random.default_rng([photo, *name.encode()]).normal(0, 0.4, SIZE))[None])[0][0]

    return lambda name, photo: code(name, photo).astype(np.float32)


def test_an_album_is_sorted_by_person(album, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["cluster", str(album), "--out", str(out), "--photos", str(tmp_path / "photos"), "--bundle"]
    assert main([*command, str(RELEASED)]) == 0
    rows = list(csv.DictReader((out / "clusters.csv").open()))
    assert [(row["person"], row["photos"]) for row in rows] == [("1", "5")] * 5 + [("2", "3")] * 3 + [("3", "1")]
    assert {row["path"].split("/")[0] for row in rows if row["person"] == "1"} == {"ada"}
    assert cv2.imread(str(out / "person-001.png")).shape == (112, 5 * 112, 3)
    assert cv2.imread(str(out / "people.png")).shape == (112, 3 * 112, 3)
    assert not (out / "person-003.png").exists()
    assert "9 faces of 3 people" in capsys.readouterr().out
    assert main([*command, str(RELEASED)]) == 4, "what is there is not written over"


def test_figures_against_the_folders(album, tmp_path, capsys):
    (tmp_path / "split.csv").write_text("person,split\nada,select\nbo,select\ncy,train\n")
    command = ["cluster", str(album), "--out", str(tmp_path / "o"), "--split", str(tmp_path / "split.csv")]
    assert main([*command, "--people", "select", "--threshold", "0.36"]) == 0
    said = capsys.readouterr().out
    assert "8 faces of 2 people" in said and "BCubed    F 100.00 %" in said


def test_agreement_by_hand():
    """Of four photos of a, three lie together; the fourth lies with b."""
    found = agreement(np.array(["a", "a", "a", "a", "b"]), np.array([0, 0, 0, 1, 1]))
    assert found.pairs == (3 / 4, 3 / 6)
    assert found.bcubed == pytest.approx(((3 * 1 + 0.5 + 0.5) / 5, (3 * 3 / 4 + 1 / 4 + 1) / 5))


def test_the_most_frequent_person_comes_first():
    codes = np.eye(3, dtype=np.float32)[[2, 0, 0, 1, 0, 1]]
    assert cluster(codes, 0.5).tolist() == [2, 0, 0, 1, 0, 1]


@pytest.mark.parametrize(("codes", "words"), [(1, "2 to 15,000"), (512, "whose codes have 512")])
def test_what_cannot_be_clustered(tmp_path, capsys, codes, words):
    count = 1 if codes == 1 else 3
    paths = [f"a/{k}.png" for k in range(count)]
    np.savez(tmp_path / "c.npz", paths=paths, codes=np.ones((count, codes), np.float32), detected=np.ones(count, bool))
    assert main(["cluster", str(tmp_path / "c.npz"), "--out", str(tmp_path / "o"), "--bundle", str(RELEASED)]) == 4
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert not (tmp_path / "o").exists()
