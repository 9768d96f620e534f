"""Looks are fitted to people of several groups and added to a bundle; the promise then holds where people are alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from convert.__main__ import main
from convert.cohort.alike import Source, make_looks, one_each, stated_look
from edge_runtime.bundle.cohort_correction import CohortCorrection
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


def near(direction: int, count: int, seed: int, how_near: float) -> Floats:
    """Codes of a look that lies in one direction."""
    codes = np.random.default_rng([seed, direction]).normal(size=(count, SIZE)) / np.sqrt(SIZE)
    codes = codes + how_near * np.eye(SIZE)[direction]
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def of_sources() -> Looks:
    """Looks of three sources, of which the third is more alike as such than the others."""
    sources = []
    for number, how_near in enumerate((0.3, 0.3, 1.0)):
        codes = np.concatenate([near(3 * number + look, 200, 1, how_near) for look in range(3)])
        sources.append(Source(codes, np.full(len(codes), "")))
    return make_looks(sources, OWN)


def test_a_household_as_far_off_as_a_source_that_was_left_out_needs_more(of_sources: Looks) -> None:
    known, unseen = (near(direction, 10, 7, how_near) for direction, how_near in ((0, 0.3), (20, 1.0)))
    at_home, away = Household(of_sources, gallery(known)), Household(of_sources, gallery(unseen))
    assert away.excess is not None and at_home.excess is not None and away.excess > at_home.excess + 0.1
    assert away.shift > at_home.shift + 0.1
    bare = dataclasses.replace(of_sources, left_out=None)
    for household, pool in ((known, near(0, 4000, 8, 0.3)), (unseen, near(20, 4000, 8, 1.0))):
        share = {}
        for name, looks in (("left out", of_sources), ("bare", bare)):
            thresholds = Household(looks, gallery(household)).thresholds(0.02)
            share[name] = float((pool @ household.T >= thresholds).any(1).mean())
        assert 0.004 <= share["left out"] <= 0.1
    assert share["bare"] > 5 * share["left out"]


def test_one_person_alone_needs_more_where_they_lie_far_from_every_look(of_sources: Looks) -> None:
    known, unseen = (
        [Household(of_sources, gallery(near(direction, 1, seed, 1.0))).shift for seed in range(40)]
        for direction in (6, 20)
    )
    assert np.mean(unseen) > np.mean(known)


def photos(direction: int, count: int, each: int, seed: int, how_near: float) -> list[Floats]:
    """Photos of people of a look: a person's own part and a photo's, as large as each other."""
    rng = np.random.default_rng([seed, direction])
    found = []
    for _ in range(count):
        own = rng.normal(size=SIZE) / np.sqrt(SIZE)
        codes = own + rng.normal(size=(each, SIZE)) / np.sqrt(SIZE) + how_near * np.eye(SIZE)[direction]
        found.append(np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32))
    return found


def test_several_photos_let_no_more_strangers_in_than_one(tmp_path: Path) -> None:
    pool = np.concatenate(photos(0, 1200, 1, 1, 1.0))
    looks = make_looks([Source(pool, np.full(len(pool), "0-0"))], OWN, photos(0, 60, 6, 2, 1.0))
    strangers, shares = np.concatenate(photos(0, 6000, 1, 3, 1.0)), {}
    for each in (1, 3, 6):
        rates, as_one = [], []
        for seed in range(20):
            people = photos(0, 10, each, 100 + seed, 1.0)
            person = np.repeat(np.arange(10), each)
            codes = np.concatenate(people)
            templates = Templates(
                tuple(map(str, range(10))), person, codes, np.ones(len(codes), np.float32), np.arange(len(codes))
            )
            household = Household(looks, templates)
            scores = strangers @ templates.person_embeddings().T
            rates.append((scores >= household.thresholds(0.02)).any(1).mean())
            household.lengths = np.ones(10)
            as_one.append((scores >= household.thresholds(0.02)).any(1).mean())
        shares[each] = float(np.mean(rates)), float(np.mean(as_one))
    assert shares[1][0] == shares[1][1] and 0.005 < shares[1][0] < 0.04
    for each in (3, 6):
        assert 0.3 * shares[1][0] < shares[each][0] < 1.2 * shares[1][0]
        assert shares[each][1] > 1.5 * shares[1][0]


def test_photos_that_are_all_the_same_are_one_photo(looks: Looks) -> None:
    codes = people("1-0", 5, 4)
    person = np.repeat(np.arange(5), 3)
    thrice = Templates(
        tuple(map(str, range(5))), person, np.repeat(codes, 3, 0), np.ones(15, np.float32), np.arange(15)
    )
    one, three = (Household(looks, templates).thresholds(0.01) for templates in (gallery(codes), thrice))
    np.testing.assert_allclose(one, three, atol=1e-3)


@pytest.mark.parametrize("target", [0.5, 1.0, 3.0, 10.0, 15.0, 30.0, 100.0, 300.0])
def test_an_interval_holds_the_figure_beside_it(looks: Looks, target: float) -> None:
    household = np.concatenate([people("0-0", 4, 7), people("1-0", 4, 7)])
    for known in (looks, None):
        for correction in (CohortCorrection(), CohortCorrection(0.2, 0.1, -0.2, 0.1, 0.8, 80)):
            calibration = calibrate(gallery(household), cohort(), 1700, target, 0.02, correction, known)
            low, high = calibration.interval
            assert low <= calibration.expected_per_1000 <= high
            if known is not None:
                low, high = calibration.alike_interval or (0.0, 0.0)
                assert low <= (calibration.alike_per_1000 or 0.0) <= high


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
        Looks.from_arrays(arrays, dataclasses.replace(looks.sheet(), people=0))


def test_no_persons_code_is_in_what_ships(looks: Looks) -> None:
    fitted = np.concatenate([people(group, 400, 1) for group in CLOSE])
    weights = looks.weights / np.linalg.norm(looks.weights, axis=1, keepdims=True)
    assert float((weights @ fitted.T).max()) < 0.95
    axes = looks.as_arrays()["whitening"].astype(np.float32).T
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    assert float(np.abs(axes @ fitted.T).max()) < 0.95
    rest = {name: array for name, array in looks.as_arrays().items() if name not in ("weights", "whitening")}
    assert all(array.shape[-1] != SIZE for array in rest.values())


def test_file_names_of_known_sources_state_looks() -> None:
    assert stated_look("07/26_1_2_20170116161848983.jpg") == "1-2"
    assert stated_look("07/71_1_2_20170116161848983.jpg") == "1-2"
    assert stated_look("07/71_1_2_20170116161848983.jpg", aged=True) == "1-2-old"
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
    assert made.looks.left_out is not None and made.manifest.looks is not None
    assert len(made.looks.left_out.cases) == made.manifest.looks.cases
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
    mild = dataclasses.replace(looks, left_out=None)
    plain = calibrate(gallery(household), cohort(), 1700, 10.0, looks=mild)
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
