"""LFW's pairs format, on a small file and on the real one where it is there."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.metrics.lfw_pairs import make_pairs, parse_pairs, photo_key
from tests.builders import SHARED

SMALL = "2\t1\nAnn_Lee\t1\t12\nBo\t3\tCy_D\t4\nDee\t2\t1\nEve\t1\tFay\t1\n"


def test_small_file():
    pairs = parse_pairs(SMALL)
    assert len(pairs) == 4
    assert pairs.left == ("Ann_Lee/Ann_Lee_0001", "Bo/Bo_0003", "Dee/Dee_0002", "Eve/Eve_0001")
    assert pairs.right == ("Ann_Lee/Ann_Lee_0012", "Cy_D/Cy_D_0004", "Dee/Dee_0001", "Fay/Fay_0001")
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [1, 1, 2, 2]


def test_folds_are_selected():
    second = parse_pairs(SMALL).select([2])
    assert second.left == ("Dee/Dee_0002", "Eve/Eve_0001")
    assert second.people() == {"Dee", "Eve", "Fay"}
    with pytest.raises(InputError, match="1 to 2"):
        parse_pairs(SMALL).select([3])


def test_photos_are_found_by_person_and_number():
    pairs = parse_pairs(SMALL).select([2])
    paths = ["Fay/Fay_0001.png", "Eve/Eve_0001.jpg", "lfw/Dee/Dee_0001.jpg", "Dee/Dee_0002.jpg"]
    left, right = pairs.indices(paths)
    assert (left.tolist(), right.tolist()) == ([3, 1], [2, 0])
    with pytest.raises(InputError, match=r"found none of Dee/Dee_0002 and 0 others"):
        pairs.indices(paths[:3])
    assert pairs.indices(paths[:3], allow_missing=True)[0].tolist() == [-1, 1]


def test_photo_key():
    assert photo_key("a/b/NAME/NAME_0001.tar.jpg") == "NAME/NAME_0001.tar"
    assert photo_key("x.jpg") == "/x"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a first line of folds and pairs"),
        ("Ann\t1\t2\n", "a first line of folds and pairs"),
        (SMALL.rsplit("\n", 2)[0], "2 folds of 1 same and 1 different lines, found 3"),
        ("0\t0\n", "0 folds"),
        (SMALL.replace("Dee\t2\t1", "Dee\t2\tEve\t1"), "pair 3: expected 'NAME n m', found 'Dee 2 Eve 1'"),
        (SMALL.replace("Bo\t3", "Bo\tx"), "pair 2: expected 'NAME n NAME m'"),
    ],
)
def test_anything_else_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_pairs(text, "f.txt")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/lfw_pairs_dev.txt")
def test_the_official_file():
    pairs = parse_pairs((SHARED / "data/lfw_pairs_dev.txt").read_text())
    assert len(pairs) == 4800
    assert pairs.same.sum() == 2400
    for fold in range(1, 9):
        assert pairs.select([fold]).same.tolist() == [True] * 300 + [False] * 300
    assert not pairs.select([7]).people() & pairs.select([8]).people()
    photos = {p.relative_to(SHARED / "data/lfw").as_posix() for p in (SHARED / "data/lfw").glob("*/*.jpg")}
    pairs.indices(sorted(photos))


class TestMadePairs:
    NAMES = tuple(f"p{i % 30:02d}" for i in range(100)) + ("often",) * 50

    def test_as_many_same_as_different_and_nobody_in_two_folds(self):
        left, right, same, fold = make_pairs(self.NAMES, folds=5)
        name = np.asarray(self.NAMES)
        assert (left != right).all()
        assert (same == (name[left] == name[right])).all()
        folds = [set(name[left[fold == f]]) | set(name[right[fold == f]]) for f in range(1, 6)]
        for i, people in enumerate(folds):
            assert same[fold == i + 1].mean() == 0.5
            assert not people & set().union(*folds[:i])

    def test_nobody_decides_alone(self):
        left, _, same, _ = make_pairs(self.NAMES, per_person=4)
        name = np.asarray(self.NAMES)
        assert (name[left[same]] == "often").sum() == 4
        assert (name[left[same]] == "p00").sum() == 4

    def test_seeded(self):
        one, again, other = (make_pairs(self.NAMES, seed) for seed in (0, 0, 1))
        assert all((a == b).all() for a, b in zip(one, again, strict=True))
        assert any(len(a) != len(b) or (a != b).any() for a, b in zip(one, other, strict=True))

    def test_few_people_make_few_folds(self):
        *_, fold = make_pairs(["a", "a", "b", "b", "c", "d"])
        assert set(fold.tolist()) == {1, 2}

    @pytest.mark.parametrize("names", [[], ["a", "a"], ["a", "a", "b", "c", "d"]])
    def test_too_few_people(self, names):
        with pytest.raises(InputError, match="four people"):
            make_pairs(names)
