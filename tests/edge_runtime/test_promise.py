"""Where the promise cannot be kept nobody is named, and every surface says why and what would do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.bundle.looks import GRID, Looks
from edge_runtime.config import load_config
from edge_runtime.decision.calibration import calibrate
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.gallery.templates import Templates
from edge_runtime.pipeline import Pipeline
from tests.builders import make_bundle
from tests.edge_runtime.commands.test_people import album  # noqa: F401
from tests.edge_runtime.conftest import Familiar
from tests.edge_runtime.test_pipeline import CONFIG, chain, matcher_for, play, scene  # noqa: F401

COIN = {"parity": {"label": "int8", "pairs": 1000, "pair_accuracy": {"int8": 0.59}}}
WHY = "the encoder judges 59% of pairs of photos right"


@pytest.fixture
def coin(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle in use, of which its maker found that it tells people apart hardly better than a coin."""
    path = tmp_path / "coin"
    shutil.copytree(tiny_bundle, path)
    document = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(document | {"metrics": COIN}))
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(path))
    return path


def test_nobody_is_named_by_an_encoder_that_hardly_beats_a_coin(
    familiar: Familiar,
    coin: Path,
    album: Path,  # noqa: F811
) -> None:
    for person in ("P0", "P1"):
        assert familiar("enroll", person, f"album/{person}")[0] == 0
    code, out, err = familiar("identify", "album")
    assert code == 0 and [line.split(",")[1] for line in out.splitlines()] == ["unknown"] * 7
    assert err.count("\n") == 1 and WHY in err
    rows = [json.loads(line) for line in familiar("identify", "--json", "album")[1].splitlines()]
    assert {row["candidate"] for row in rows} == {"P0", "P1"}
    code, out, _ = familiar("calibrate")
    assert code == 0 and f"note: nobody is named: {WHY}" in out and "P0: nobody is named" in out
    code, _, err = familiar("run", "--self-test")
    assert code == 13 and err.count("\n") == 1 and WHY in err
    assert familiar("run", "--self-test", "--force", "promise")[0] == 0
    out = familiar("doctor")[1]
    assert next(line for line in out.splitlines() if line.startswith("promise")).split()[1] == "fail"
    code, _, err = familiar("deploy", "nobody@localhost", "--bundle", str(coin), "--wheel", "none.whl")
    assert code == 13 and err.count("\n") == 1 and WHY in err


@pytest.fixture
def knowing(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """The bundle in use knows two looks, one whose people are alike; what it knows."""
    path = tmp_path / "knowing"
    shutil.copytree(tiny_bundle, path)
    shares = [np.exp(-GRID / scale) for scale in (0.05, 0.1)]
    reached = np.array([[shares[0], shares[0]], [shares[0], shares[1]]])
    weights = np.zeros((2, 32), np.float32)
    weights[1, 0] = 40.0
    looks = Looks(weights, np.zeros(2, np.float32), reached, np.full((2, 2), 0.9), 5000, (0.5, 1.0), (0.9, 0.05))
    np.savez(path / "looks.npz", **looks.as_arrays())
    digest, size = file_digest(path / "looks.npz")
    document = json.loads((path / "manifest.json").read_text())
    document["files"]["looks.npz"] = {"sha256": digest, "bytes": size}
    (path / "manifest.json").write_text(json.dumps(document | {"looks": looks.sheet().as_json()}))
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(path))
    return looks


def test_both_rates_and_each_persons_threshold_are_shown(
    familiar: Familiar,
    knowing: Looks,
    album: Path,  # noqa: F811
) -> None:
    for person in ("P0", "P1"):
        familiar("enroll", person, f"album/{person}", "--force")
    code, out, _ = familiar("calibrate", "--json")
    document = json.loads(out)
    assert code == 0 and document["kept_for"] == "alike" and document["note"] is None
    assert document["strangers"]["alike_people"] == 5000 and document["supported"]
    assert document["alike_per_1000"] <= 1 and document["alike_interval"][0] < document["alike_per_1000"]
    persons = {person["name"]: person for person in document["persons"]}
    rows = [json.loads(line) for line in familiar("identify", "--json", "album/P0", "album/P1")[1].splitlines()]
    tracks = json.loads(familiar("calibrate", "--json", "--set", "decide.strangers=mixed")[1])
    assert tracks["kept_for"] == "mixed" and tracks["alike_per_1000"] is None
    for row in rows:
        # The bundle says nothing of tracks, so that a picture needs what a track does.
        assert row["threshold"] == pytest.approx(persons[row["candidate"]]["threshold"])
        assert 0.001 <= row["confidence"] <= 0.999
    assert min(person["threshold"] for person in persons.values()) >= tracks["threshold"]
    text = familiar("calibrate")[1]
    assert "5,000 behind those who look alike" in text and "if they look alike" in text
    assert all(f"{name}: needs {person['threshold']:.2f}, 3 photos" in text for name, person in persons.items())


def test_a_damaged_file_of_looks_is_one_line(familiar: Familiar, knowing: Looks, album: Path, tmp_path: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    document = json.loads((tmp_path / "knowing/manifest.json").read_text())
    document["looks"]["own"] = [0.5]
    (tmp_path / "knowing/manifest.json").write_text(json.dumps(document))
    code, _, err = familiar("identify", "album")
    assert code == 6 and err.count("\n") == 1 and "a value is wrong" in err


def test_a_sound_bundle_names_and_says_so(familiar: Familiar, album: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    out = familiar("doctor")[1]
    row = next(line for line in out.splitlines() if line.startswith("promise"))
    assert row.split()[1] == "ok" and "a name needs a score of" in row


def test_codes_that_are_all_alike_name_nobody(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = 1 + 0.01 * rng.normal(size=(400, 32))
    bundle = make_bundle(
        tmp_path / "b",
        with_files=lambda folder: np.savez(
            folder / "cohort.npz", codes=np.rint(100 * codes).clip(-127, 127).astype(np.int8)
        ),
    )
    strangers = bundle.strangers()
    rows = np.arange(10)
    household = Templates(tuple(map(str, rows)), rows, strangers[:10], np.ones(10, np.float32), rows)
    matcher = make_matcher(household, bundle, load_config().decide, strangers[10:])
    assert sum(match.person is not None for match in matcher.match(strangers[10:265])) <= 1


def test_a_cohort_that_cannot_bound_the_target_names_nobody() -> None:
    codes = np.random.default_rng(1).normal(size=(33, 16)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    one = Templates(("Ada",), np.zeros(1, np.int64), codes[:1], np.ones(1, np.float32), np.arange(1))
    refused = calibrate(one, codes[1:], 32, 1.0).refused
    assert refused and "of 1,000 strangers, where 1 is the target" in refused
    assert calibrate(one, codes[1:], 32, 30.0).refused is None
    nobody = calibrate(one, codes[1:], 0, 30.0).refused
    assert nobody and "no real people" in nobody


def test_events_are_unknown_with_the_reason(chain) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    import dataclasses

    matcher = matcher_for(chain, {"Ada": 0, "Ben": 4})
    matcher.calibration = dataclasses.replace(matcher.calibration, unfit="the encoder is a coin")
    pipeline = Pipeline(chain, matcher, CONFIG, "front")
    events = play(pipeline, *[scene((0, 100, 40, 120))] * 20)
    assert [event.kind for event in events] == ["appeared", "unknown"]
    assert (
        events[1].person is None and events[1].reason and "nobody is named: the encoder is a coin" in events[1].reason
    )
    assert Bundle(chain.bundle.path).looks is None
