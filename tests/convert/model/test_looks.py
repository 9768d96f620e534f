"""Looks are fitted to people of several groups and added to a bundle; the promise then holds where people are alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from convert.__main__ import main
from convert.cohort.alike import Source, make_looks, one_each, stated_look
from edge_runtime.bundle.folder import LOOKS_FILE, Bundle
from edge_runtime.bundle.looks import Looks
from edge_runtime.config import DecideConfig
from edge_runtime.decision.calibration import Calibration, calibrate
from edge_runtime.decision.door import MOST_RAISED
from edge_runtime.decision.household import Household
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats
from tests.builders import make_bundle
from tests.convert.inputs import PREPROCESSING, write_people

SIZE = 32
CLOSE = {"0-0": 0.0, "0-1": 0.7, "1-0": 1.0}
"""How near people of each group lie to their group's middle."""
OWN = np.random.default_rng(5).normal(0.7, 0.1, 400).astype(np.float32)


def people(group: str, count: int, seed: int) -> Floats:
    """Codes of a group: the larger its value above, the more alike its people."""
    middle = np.eye(SIZE)[list(CLOSE).index(group)]
    codes = np.random.default_rng([seed, list(CLOSE).index(group)]).normal(size=(count, SIZE)) / np.sqrt(SIZE)
    codes = codes + CLOSE[group] * middle
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


def gallery(codes: Floats) -> Templates:
    rows = np.arange(len(codes))
    return Templates(tuple(map(str, rows)), rows, codes, np.ones(len(codes), np.float32), rows)


def cohort(seed: int = 0) -> Floats:
    """Strangers in general: mostly of the first group."""
    return np.concatenate(
        [people("0-0", 1500, seed + 90), people("0-1", 100, seed + 90), people("1-0", 100, seed + 90)]
    )


@pytest.fixture(scope="module")
def looks() -> Looks:
    codes = [people(group, 400, 1) for group in CLOSE]
    stated = np.repeat(np.array(list(CLOSE)), 400)
    return make_looks([Source(np.concatenate(codes), stated)], OWN)


@pytest.mark.parametrize("group", list(CLOSE))
@pytest.mark.parametrize("size", [3, 10, 40])
def test_as_many_strangers_of_the_households_group_get_a_name_as_targeted(looks: Looks, group: str, size: int) -> None:
    rates, general = [], []
    for seed in range(24):
        household, strangers = people(group, size, 100 + seed), people(group, 1500, 200 + seed)
        for known, found in ((looks, rates), (None, general)):
            calibration = calibrate(gallery(household), cohort(), 1700, 20.0, looks=known)
            assert calibration.refused is None
            matches = Matcher(gallery(household), calibration, 0.0).match(strangers)
            found.append(1000 * np.mean([match.person is not None for match in matches]))
    assert 10 <= np.mean(rates) <= 40
    if group == "1-0":
        assert np.mean(general) > 2 * np.mean(rates)


def test_each_person_has_a_threshold_of_their_own_and_nobodys_is_below_the_general_one(looks: Looks) -> None:
    household = np.concatenate([people("0-0", 4, 7), people("1-0", 4, 7)])
    calibration = calibrate(gallery(household), cohort(), 1700, 10.0, looks=looks)
    needed = np.array([calibration.needed(person) for person in range(8)])
    assert needed[4:].min() > needed[:4].max() and needed.min() >= calibration.threshold
    match = Matcher(gallery(household), calibration, 0.0).match(household[5][None])[0]
    assert match.threshold == needed[5] and match.person == "5"
    assert calibration.alike_per_1000 is not None and calibration.alike_per_1000 <= 10
    low, high = calibration.alike_interval or (0, 0)
    assert low < calibration.alike_per_1000 < high and calibration.expected_per_1000 <= 10


def test_a_household_more_alike_than_any_known_look_needs_more(looks: Looks) -> None:
    middle = np.eye(SIZE)[7]
    rng = np.random.default_rng(3)

    def unseen(count: int, near: float) -> Floats:
        codes = rng.normal(size=(count, SIZE)) / np.sqrt(SIZE) + near * middle
        return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)

    loose, tight = (Household(looks, gallery(unseen(10, near))) for near in (0.0, 1.0))
    assert loose.alike == 0 and tight.alike > 0.1
    assert tight.thresholds(0.01).min() > loose.thresholds(0.01).max()


def test_time_grows_with_the_people_not_with_their_pairs(looks: Looks) -> None:
    import time

    taken = []
    for size in (2000, 8000):
        templates = gallery(people("0-0", size, 11))
        start = time.process_time()
        household = Household(looks, templates)
        household.rates(household.thresholds(0.01))
        taken.append(time.process_time() - start)
    assert taken[1] < 5 and taken[1] < 10 * max(taken[0], 0.02)


def test_looks_survive_the_file_and_damage_is_refused(looks: Looks, tmp_path: Path) -> None:
    np.savez(tmp_path / "looks.npz", **looks.as_arrays())
    with np.load(tmp_path / "looks.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    again = Looks.from_arrays(arrays, looks.sheet())
    codes = gallery(people("0-1", 10, 5))
    np.testing.assert_allclose(
        Household(again, codes).thresholds(0.01), Household(looks, codes).thresholds(0.01), atol=2e-3
    )
    with pytest.raises(InputError, match="looks: expected"):
        Looks.from_arrays(arrays | {"means": arrays["means"][:1]}, looks.sheet())
    with pytest.raises(InputError):
        Looks.from_arrays(arrays, replace(looks.sheet(), people=0))


def test_no_persons_code_is_in_what_ships(looks: Looks) -> None:
    fitted = np.concatenate([people(group, 400, 1) for group in CLOSE])
    weights = looks.weights / np.linalg.norm(looks.weights, axis=1, keepdims=True)
    assert float((weights @ fitted.T).max()) < 0.95
    assert all(array.shape[-1] != SIZE for name, array in looks.as_arrays().items() if name != "weights")


def test_file_names_of_known_sources_state_looks() -> None:
    assert stated_look("07/26_1_2_20170116161848983.jpg") == "1-2"
    assert stated_look("AF1402.jpg") == "A-F" and stated_look("Ada_Lovelace/Ada_Lovelace_0001.jpg") == ""


def test_one_picture_is_left_of_those_of_one_person() -> None:
    codes = people("0-0", 20, 3)
    twice = np.concatenate([codes, codes[:5]])
    assert one_each(twice, 0.95).tolist() == [True] * 20 + [False] * 5


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chips file with 320 strangers and a few people of several photos."""
    folder = tmp_path_factory.mktemp("chips")
    return write_people(folder / "crowd.npz", {"train": (2, 1), "select": (40, 4), "cohort": (320, 1)})


def test_a_bundle_gets_its_looks_and_keeps_its_models(
    crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path / "b")
    before = dict(bundle.manifest.files)
    assert PREPROCESSING.template == bundle.manifest.preprocessing.template
    arguments = ["looks", str(bundle.path), "--chips", str(crowd), "--people", str(crowd)]
    assert main(arguments) == 4
    assert "expected chips by" in capsys.readouterr().err and not (bundle.path / LOOKS_FILE).exists()
    manifest = bundle.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"name": "{bundle.manifest.detector}"', '"name": "haar"', 1))
    code = main(arguments)
    told = capsys.readouterr()
    assert code == 0, told.err
    made = Bundle(bundle.path)
    assert made.looks is not None and made.looks.people >= 300 and "people in" in told.out
    assert "Strangers who look like the household" in (made.path / "CARD.md").read_text()
    assert {name: made.manifest.files[name] for name in before if name != "CARD.md"} == {
        name: value for name, value in before.items() if name != "CARD.md"
    }
    codes = made.golden()[1][:2]
    alike, mixed = (make_matcher(gallery(codes), made, DecideConfig(strangers=kind)) for kind in ("alike", "mixed"))
    assert alike.calibration.household is not None and mixed.calibration.household is None


def test_too_few_people_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = write_people(tmp_path / "few.npz", {"train": (2, 1), "select": (40, 4), "cohort": (30, 1)})
    bundle = make_bundle(tmp_path / "b")
    manifest = bundle.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"name": "{bundle.manifest.detector}"', '"name": "haar"', 1))
    assert main(["looks", str(bundle.path), "--chips", str(few), "--people", str(few)]) == 4
    assert "at least 300 people, found" in capsys.readouterr().err


def unseen(count: int, seed: int, near: float = 0.75) -> Floats:
    """People of a look that no bundle here has seen, rather alike."""
    codes = np.random.default_rng(seed).normal(size=(count, SIZE)) / np.sqrt(SIZE) + near * np.eye(SIZE)[9]
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


def share(calibration: Calibration, household: Floats, strangers: Floats) -> float:
    matches = Matcher(gallery(household), calibration, 0.0).match(strangers)
    return float(np.mean([match.person is not None for match in matches]))


def test_the_doors_own_strangers_make_names_rarer_where_the_bundle_is_too_mild(looks: Looks) -> None:
    household, visitors, later = unseen(3, 1), unseen(300, 2), unseen(3000, 3)
    plain = calibrate(gallery(household), cohort(), 1700, 10.0, looks=looks)
    never_named = visitors[[m.person is None for m in Matcher(gallery(household), plain, 0.0).match(visitors)]]
    door = plain.with_door(household, never_named)
    assert 0 < door.raised <= MOST_RAISED
    assert share(door, household, later) < 0.6 * share(plain, household, later)


def test_nobody_at_the_door_makes_anything_looser(looks: Looks) -> None:
    household = people("0-1", 5, 4)
    plain = calibrate(gallery(household), cohort(), 1700, 10.0, looks=looks)
    assert plain.thresholds is not None
    few, far = people("0-1", 20, 5), people("1-0", 200, 6)
    copies = np.repeat(household, 100, axis=0)
    almost = np.asarray(0.5 * copies + people("0-0", 500, 8), np.float32)
    almost /= np.linalg.norm(almost, axis=1, keepdims=True)
    assert plain.with_door(household, few).raised == 0
    for door in (far, -copies, copies, almost):
        changed = plain.with_door(household, door)
        assert changed.thresholds is not None and (changed.thresholds >= plain.thresholds).all()
        assert changed.raised <= MOST_RAISED
    assert plain.with_door(household, copies).raised == 0, "whoever is likely enrolled is left out"
