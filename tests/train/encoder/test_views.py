from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from tests.train.drawn_chips import make_chips
from train.encoder.datasets import Faces
from train.encoder.recipe import load_recipe
from train.encoder.teacher import Teachers
from train.encoder.views import Views

CONV = load_recipe("conv", ["fit.batch=8", "input.size=32", "fit.photos_a_person=0"])


class EdgeTeacher:
    """A network without weights: mean colours of a coarse grid."""

    def __init__(self, flip: bool = False) -> None:
        self.template = CONV.preprocessing().template
        self.flip, self.weight = flip, 1.0
        self.seen = 0

    def encode(self, chips):
        self.seen += len(chips) * bool(chips.any())
        if self.flip:
            chips = (chips.astype(np.float32) + chips[:, :, ::-1]) / 2
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


def morphing(share: float, **values):
    return dataclasses.replace(tweaked(**values), augment=dataclasses.replace(CONV.augment, morph=share))


def told(batch, flip: bool = False) -> float:
    """The largest error of the teacher's codes for what the batch shows."""
    clean = np.rint(batch.targets["clean"] * 255).astype(np.uint8)
    return float(np.abs((EdgeTeacher(flip).encode(clean) * batch.targets["teacher0"]).sum(1) - 1).max())


def test_nobody_to_fit_on_is_an_error(tmp_path):
    empty = make_chips(tmp_path / "c.npz", train=0, select=2)
    with pytest.raises(InputError, match="none"):
        views(empty)


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


def test_an_epoch_of_some_photos_shows_others_in_the_next(chips):
    few = views(chips, tweaked(photos=12, batch=4))
    assert few.steps == 3
    seen = [np.concatenate([b.targets["person"] for b in few.epoch(epoch)]) for epoch in range(8)]
    assert all(len(people) == 12 for people in seen)
    assert len({tuple(np.bincount(people, minlength=5)) for people in seen}) > 1


def test_the_teacher_is_asked_only_for_views_that_are_shown(chips, tmp_path):
    teacher = EdgeTeacher()
    taught = views(
        chips, morphing(0.5, photos=8, batch=8, repeats=50), teachers=Teachers([teacher]), cache=tmp_path / "teacher"
    )
    for epoch in range(6):
        for batch in taught.epoch(epoch, last=epoch == 5):
            assert told(batch) < 1e-4
        assert teacher.seen <= 8 * (epoch + 2)
    assert 16 < teacher.seen <= 24


def test_fewer_faces_than_a_batch_make_one_batch(chips):
    assert [len(batch.chips) for batch in views(chips, tweaked(batch=500)).epoch(0)] == [20]


def test_the_teacher_sees_each_view_once_and_its_code_goes_with_the_view(chips, tmp_path):
    teacher = EdgeTeacher()
    taught = views(chips, morphing(0.5, repeats=2, batch=20), teachers=Teachers([teacher]), cache=tmp_path / "teacher")
    for epoch in range(5):
        for batch in taught.epoch(epoch, last=epoch == 4):
            assert told(batch) < 1e-4
    # Twenty views to begin with, then half of them new in each epoch.
    assert teacher.seen == 20 + 4 * 10


def test_a_view_lasts_for_its_epochs_and_is_renewed_at_its_turn(chips):
    lasting = views(chips, tweaked(repeats=3))
    shown = np.stack([lasting.variant(epoch) for epoch in range(9)])
    assert (np.diff(shown, axis=0).sum(0) <= 3).all() and (shown[-1] >= 2).all()
    assert all(np.bincount(column).max() == 3 for column in shown.T)
    renewed = (np.diff(shown, axis=0) > 0).sum(1)
    assert renewed.min() >= 6 and renewed.max() <= 7


def test_a_code_that_is_the_same_mirrored_serves_both_ways(chips, tmp_path):
    teacher = EdgeTeacher(flip=True)
    taught = views(chips, tweaked(repeats=50, batch=20), teachers=Teachers([teacher]), cache=tmp_path)
    seen = [next(iter(taught.epoch(epoch, last=True))) for epoch in range(2)]
    assert all(told(batch, flip=True) < 1e-4 for batch in seen)
    faces = [np.argsort(batch.targets["teacher0"][:, 0]) for batch in seen]
    pictures = [batch.targets["clean"][order] for batch, order in zip(seen, faces, strict=True)]
    same = np.array([np.array_equal(a, b) for a, b in zip(*pictures, strict=True)])
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(*pictures, strict=True)])
    assert (same | mirrored).all() and same.any() and mirrored.any()


def test_a_run_that_was_cut_asks_the_teacher_only_for_what_is_new(chips, tmp_path):
    recipe = morphing(0.5, repeats=4, batch=20)
    whole, cut = (EdgeTeacher() for _ in range(2))
    through = views(chips, recipe, teachers=Teachers([whole]), cache=tmp_path / "whole")
    expected = [list(through.epoch(epoch, last=epoch == 2)) for epoch in range(3)][-1]
    before = views(chips, recipe, teachers=Teachers([cut]), cache=tmp_path / "cut")
    for epoch in range(2):
        list(before.epoch(epoch, last=epoch == 1))
    before.save()
    cut.seen = 0
    after = list(views(chips, recipe, teachers=Teachers([cut]), cache=tmp_path / "cut").epoch(2, last=True))
    assert cut.seen == 5
    for a, b in zip(expected, after, strict=True):
        assert np.array_equal(a.chips, b.chips) and np.array_equal(a.targets["teacher0"], b.targets["teacher0"])


def test_damaged_codes_are_asked_for_again(chips, tmp_path):
    teacher = EdgeTeacher()
    (tmp_path / "views.npz").write_bytes(b"PK")
    list(views(chips, CONV, teachers=Teachers([teacher]), cache=tmp_path).epoch(0, last=True))
    assert teacher.seen == 20


def test_nobodys_name_belongs_to_a_morph(chips):
    (batch,) = views(chips, morphing(1.0, batch=20)).epoch(0, last=True)
    assert (batch.targets["person"] == -1).mean() > 0.7
    (batch,) = views(chips, morphing(0.0, batch=20)).epoch(0, last=True)
    assert (batch.targets["person"] >= 0).all()


def test_what_goes_wrong_ahead_is_raised_at_its_epoch(chips, tmp_path):
    teacher = EdgeTeacher()
    taught = views(chips, tweaked(repeats=2), teachers=Teachers([teacher]), cache=tmp_path)
    first = list(taught.epoch(0, last=True))
    teacher.encode = lambda chips: 1 / 0
    assert len(list(taught.epoch(0))) == len(first)
    with pytest.raises(ZeroDivisionError):
        taught.epoch(1)
    taught.close()
