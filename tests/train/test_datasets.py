from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_runtime.encoder import normalise
from edge_runtime.errors import InputError
from tests.train.drawn_chips import make_chips
from train.datasets import Faces, Held, Views, prefetched
from train.recipe import load_recipe

CONV = load_recipe("conv", ["fit.batch=8", "input.size=32", "fit.photos_a_person=0"])


class EdgeTeacher:
    """A network without weights: mean colours of a coarse grid."""

    def __init__(self) -> None:
        self.template = CONV.preprocessing().template
        self.seen = 0

    def encode(self, chips):
        self.seen += len(chips)
        coarse = chips.reshape(len(chips), 4, 8, 4, 8, 3).mean((2, 4)).reshape(len(chips), -1) - 127.0
        return normalise(coarse.astype(np.float32))[0]


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    return make_chips(tmp_path_factory.mktemp("chips") / "c.npz", train=5, select=2, photos=4)


def views(chips, recipe=CONV, seed=0, **more) -> Views:
    faces = Faces.of_split([chips], "train")
    return Views(faces, recipe.preprocessing(), recipe.augment, recipe.fit, seed, **more)


def tweaked(**values):
    return dataclasses.replace(CONV, fit=dataclasses.replace(CONV.fit, **values))


def test_nobody_to_fit_on_is_an_error(tmp_path):
    empty = make_chips(tmp_path / "c.npz", train=0, select=2)
    with pytest.raises(InputError, match="none"):
        views(empty)


def test_the_splits_share_nobody(chips):
    train, held = Faces.of_split([chips], "train"), Faces.of_split([chips], "select")
    assert len(train) == 20 and len(held) == 8
    assert not set(train.names.tolist()) & set(held.names.tolist())
    assert train.people == 5 and sorted(set(train.person.tolist())) == [0, 1, 2, 3, 4]


def test_faces_without_a_name_belong_to_nobody(chips, tmp_path):
    more = make_chips(tmp_path / "u.npz", train=3, select=0, photos=2, named=False)
    both = Faces.of_split([chips, more], "train")
    assert len(both) == 26 and both.people == 5
    assert both.person[20:].tolist() == [-1] * 6 and set(both.source.tolist()) == {0, 1}


def test_an_epoch_gives_each_face_at_most_once_and_whole_batches(chips):
    batches = list(views(chips).epoch(0))
    assert [len(batch.chips) for batch in batches] == [8, 8]
    for batch in batches:
        assert batch.chips.shape == (8, 32, 32, 3) and batch.chips.dtype == np.float32
        assert batch.chips.min() >= -1 and batch.chips.max() <= 1
        clean = batch.targets["clean"]
        assert clean.shape == (8, 32, 32, 3) and clean.min() >= 0 and clean.max() <= 1
    persons = np.concatenate([batch.targets["person"] for batch in batches])
    assert np.bincount(persons, minlength=5).max() <= 4


def test_a_batch_is_a_function_of_seed_epoch_and_step(chips):
    one, same = (list(views(chips).epoch(3)) for _ in range(2))
    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a.chips, b.chips) and np.array_equal(a.targets["person"], b.targets["person"])
    assert not np.array_equal(one[0].chips, next(views(chips, seed=1).epoch(3)).chips)
    assert not np.array_equal(one[0].chips, next(views(chips).epoch(4)).chips)


def test_photos_a_person_limits_an_epoch(chips):
    few = views(chips, tweaked(photos_a_person=2, batch=10))
    (batch,) = few.epoch(0)
    assert np.bincount(batch.targets["person"]).tolist() == [2] * 5
    assert not np.array_equal(batch.targets["clean"], next(few.epoch(1)).targets["clean"])


def test_fewer_faces_than_a_batch_make_one_batch(chips):
    assert [len(batch.chips) for batch in views(chips, tweaked(batch=500)).epoch(0)] == [20]


def test_the_teacher_sees_each_view_once_and_its_code_goes_with_the_view(chips, tmp_path):
    teacher = EdgeTeacher()
    taught = views(chips, tweaked(views=2), teacher=teacher, cache=tmp_path / "teacher")
    for epoch in range(4):
        for batch in taught.epoch(epoch):
            clean = np.rint(batch.targets["clean"] * 255).astype(np.uint8)
            expected = EdgeTeacher().encode(clean)
            assert np.abs((expected * batch.targets["teacher"]).sum(1) - 1).max() < 1e-4
    assert teacher.seen == 2 * 20
    list(views(chips, tweaked(views=2), teacher=teacher, cache=tmp_path / "teacher").epoch(0))
    assert teacher.seen == 2 * 20


def test_held_out_faces_come_unmoved_once_and_in_order(chips, tmp_path):
    faces = Faces.of_split([chips], "select")
    held = Held(faces, CONV.preprocessing(), 3, None, tmp_path)
    batches = list(held.batches())
    assert [len(batch.chips) for batch in batches] == [3, 3, 2]
    expected = chips.aligned(chips.indices("select"), CONV.preprocessing().template)
    got = np.concatenate([batch.targets["clean"] for batch in batches])
    assert np.allclose(got, expected / 255, atol=1e-6)


def test_prefetching_keeps_order_passes_errors_on_and_ends_early():
    assert list(prefetched([])) == []
    assert list(prefetched(range(20), depth=2)) == list(range(20))

    def broken():
        yield 1
        raise InputError("no more")

    items = prefetched(broken())
    assert next(items) == 1
    with pytest.raises(InputError, match="no more"):
        next(items)
    endless = prefetched(iter(int, 1), depth=2)
    assert next(endless) == 0
    endless.close()
