from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import Template
from tests.train.drawn_chips import make_chips
from train.encoder.augment import draw_geometry, draw_morphs
from train.encoder.datasets import Faces, Held, in_chunks, prefetched
from train.encoder.recipe import load_recipe

CONV = load_recipe("conv", ["input.size=32"])


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    return make_chips(tmp_path_factory.mktemp("chips") / "c.npz", train=5, select=2, photos=4)


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


def test_one_view_for_several_networks_is_the_same_view(chips):
    faces = Faces.of_split([chips], "train")
    rng = np.random.default_rng(0)
    part = dataclasses.replace(CONV.augment, morph=0.5)
    geometry, morphs = draw_geometry(part, 20, rng), draw_morphs(part, 20, rng)
    templates = [Template.arcface(28, 6), Template.arcface(56, 6)]
    small, large = faces.views(np.arange(20), templates, geometry, morphs)
    halved = large.reshape(20, 28, 2, 28, 2, 3).mean((2, 4))
    assert np.abs(small - halved).mean() < 6
    still = faces.aligned(np.arange(20), templates[0])
    assert np.abs(small - still.astype(float)).mean() > 15


def test_held_out_faces_come_unmoved_once_and_in_order(chips, tmp_path):
    faces = Faces.of_split([chips], "select")
    held = Held(faces, CONV.preprocessing(), 3, None, tmp_path)
    batches = list(held.batches())
    assert [len(batch.chips) for batch in batches] == [3, 3, 2]
    expected = chips.aligned(chips.indices("select"), CONV.preprocessing().template)
    got = np.concatenate([batch.targets["clean"] for batch in batches])
    assert np.allclose(got, expected / 255, atol=1e-6)


def test_prefetching_keeps_order_passes_errors_on_and_ends_early():
    assert list(prefetched(abs, [])) == []
    assert list(prefetched(lambda k: 2 * k, range(20), depth=2)) == list(range(0, 40, 2))

    def make(item):
        if item:
            raise InputError("no more")
        return item

    items = prefetched(make, [0, 1, 2])
    assert next(items) == 0
    with pytest.raises(InputError, match="no more"):
        next(items)
    made = []
    few = prefetched(made.append, range(1000), threads=1, depth=2)
    next(few)
    few.close()
    assert len(made) < 10


def test_chunks_hold_everything_once():
    assert in_chunks(np.arange(0)) == []
    assert [len(chunk) for chunk in in_chunks(np.arange(7), 3)] == [3, 3, 1]
