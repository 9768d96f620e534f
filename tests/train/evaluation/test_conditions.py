from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import Template
from tests.builders import make_pixels
from tests.train.drawn_chips import make_chips
from train.evaluation.conditions import Probes, changes, condition_lines, conditions, people_groups, photo_groups

PEOPLE = 8
NAMES = [f"p{k}" for k in range(PEOPLE) for _ in range(3)]


def codes(spread: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = np.repeat(np.eye(PEOPLE, 16), 3, 0)
    return (middle + rng.normal(0, spread, middle.shape)).astype(np.float32)


def everybody(values: np.ndarray, kind: str = "blur") -> Probes:
    return Probes(kind, "much", np.arange(len(values)), values)


def test_worse_probes_match_less_and_the_threshold_stays():
    good, bad = codes(0.05), codes(0.05)[:, ::-1].copy()
    document = conditions(good, NAMES, 0.01, [everybody(good), everybody(bad)])
    as_they_are, same, worse = document["rows"]
    assert as_they_are["tmr"] == same["tmr"] == 1 and as_they_are["fmr"] <= 0.01
    assert worse["tmr"] < 0.1 and worse["photos"] == 24 and worse["people"] == PEOPLE
    assert document["threshold"] == conditions(good, NAMES, 0.01, [])["threshold"]


def test_a_probe_is_never_compared_with_the_photo_it_was_made_of():
    lonely = np.eye(7, 16, dtype=np.float32)
    values = np.concatenate([codes(0.05), lonely[:1] + 5 * np.eye(16, dtype=np.float32)[15]])
    row = conditions(values, [*NAMES, "alone"], 0.01, [])["rows"][0]
    assert row["photos"] == 25 and row["people"] == PEOPLE


def test_a_group_of_few_people_has_no_figure():
    values = codes(0.05)
    group = Probes("group", "few", np.arange(6), values[:6])
    row = conditions(values, NAMES, 0.01, [], [group])["rows"][1]
    assert row["tmr"] is None and row["people"] == 2
    assert condition_lines({"rows": [row]})[0][1] == "too few people"


def test_a_person_weighs_the_same_however_many_photos():
    values = codes(0.02)
    values[:3] = np.eye(16, dtype=np.float32)[8:11]
    more = np.concatenate([values, values[:3]])
    few = conditions(values, NAMES, 0.01, [everybody(values)])["rows"][1]
    many = conditions(values, NAMES, 0.01, [Probes("blur", "", np.arange(27) % 24, more)])["rows"][1]
    assert few["tmr"] == pytest.approx(7 / 8) and many["tmr"] == pytest.approx(7 / 8)


def test_every_change_keeps_the_shape_and_changes_the_chip():
    chip = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    chip = (chip // 4 + make_pixels(64, 64) // 2).astype(np.uint8)
    listed = changes(Template.arcface(64, 6))
    assert [kind for kind, _, _ in listed] == [
        *["eyes"] * 4, *["blur"] * 3, *["light"] * 3, *["covered"] * 2, "colour"
    ]  # fmt: skip
    for _, _, change in listed:
        worse = change(chip)
        assert worse.shape == chip.shape and worse.dtype == np.uint8 and not np.array_equal(worse, chip)
    assert {level for kind, level, _ in changes(Template.arcface(32, 6)) if kind == "eyes"} == {
        "9 px apart",
        "6 px apart",
    }


def test_photos_fall_into_thirds(tmp_path):
    chips = make_chips(tmp_path / "c.npz", train=6, select=0, photos=4)
    groups = photo_groups(chips, np.arange(24), np.zeros((24, 4), np.float32))
    assert [(g.kind, g.level) for g in groups[:3]] == [
        ("turn", "frontal third"), ("turn", "between third"), ("turn", "turned third")
    ]  # fmt: skip
    for start in (0, 3, 6):
        members = np.concatenate([group.index for group in groups[start : start + 3]])
        assert sorted(members.tolist()) == list(range(24))
    light = [np.mean([chips.crop(int(i)).mean() for i in group.index]) for group in groups[3:6]]
    assert light[0] < light[1] < light[2]


def test_groups_of_people_come_from_a_file(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("person,group\np0,old\np1,young\np2,young\nnobody,old\n")
    old, young = people_groups(path, NAMES, codes(0.1))
    assert (old.level, old.index.tolist()) == ("old", [0, 1, 2]) and len(young.index) == 6
    path.write_text("person,group\nnobody,old\n")
    with pytest.raises(InputError, match="found none of them"):
        people_groups(path, NAMES, codes(0.1))
    with pytest.raises(InputError, match="columns person and group"):
        people_groups(tmp_path / "none.csv", NAMES, codes(0.1))
