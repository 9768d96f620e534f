"""What to convert is a run that fits together, or a bare model with everything stated: nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.model.source import Stated, open_source
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError, UsageError
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import Chips
from tests.convert.inputs import PREPROCESSING, write_people, write_run

NOTHING = Stated()
ALL = Stated("28", "grey", "127.5/127.5", "arcface:6")


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("chips") / "chips.npz", {"train": (2, 2), "cohort": (3, 1)})


@pytest.fixture
def run(tmp_path: Path, chips: Path) -> Path:
    (tmp_path / "model").write_bytes(b"weights")
    return write_run(tmp_path / "run", chips, tmp_path / "model")


def test_a_run_says_it_all(run: Path, chips: Path) -> None:
    for path in (run, run / "encoder.keras"):
        source = open_source(path, None, NOTHING, [])
        assert source.encoder == run / "encoder.keras" and source.preprocessing == PREPROCESSING
        assert source.chips.path == chips and source.lineage[0] == "fitted on drawings of nobody"
        assert source.run["seed"] == 5 and source.run["recipe"]["teacher"]["path"] == "teacher.onnx"


def test_a_run_takes_no_second_opinion(run: Path, chips: Path) -> None:
    with pytest.raises(UsageError, match="--colour"):
        open_source(run, None, Stated(colour="rgb"), [])


def test_other_chips_than_the_runs_are_refused(run: Path, tmp_path: Path) -> None:
    other = write_people(tmp_path / "other.npz", {"train": (1, 1)})
    with pytest.raises(InputError, match="expected the chips of the run"):
        open_source(run, other, NOTHING, [])


def test_a_bare_model_needs_everything_stated(tmp_path: Path, chips: Path) -> None:
    model = tmp_path / "m.keras"
    with pytest.raises(InputError, match=r"m\.keras"):
        open_source(model, chips, ALL, [])
    model.write_bytes(b"weights")
    with pytest.raises(UsageError, match="--chips"):
        open_source(model, None, ALL, [])
    for name in vars(ALL):
        with pytest.raises(UsageError, match=f"--{name} too"):
            open_source(model, chips, Stated(**(vars(ALL) | {name: None})), [])
    assert open_source(model, chips, ALL, ["x"]).preprocessing == PREPROCESSING


def test_stated_preprocessing_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"points": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}))
    found = Stated("96x112", "bgr", "1,2,3/4", str(tmp_path / "t.json")).preprocessing()
    points = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.0))
    assert found == Preprocessing("bgr", (1, 2, 3), (4, 4, 4), Template(points, (96, 112)))
    assert Stated("64", "rgb", "0/255", "arcface").preprocessing().template == Template.arcface(64)


@pytest.mark.parametrize(
    "stated",
    [
        Stated("big", "rgb", "0/255", "arcface"),
        Stated("64", "rgb", "127.5", "arcface"),
        Stated("64", "rgb", "a/b", "arcface"),
        Stated("64", "rgb", "1,2/3", "arcface"),
        Stated("64", "rgb", "0/0", "arcface"),
        Stated("4", "rgb", "0/255", "arcface"),
        Stated("64x80", "rgb", "0/255", "arcface"),
        Stated("64", "rgb", "0/255", "arcface:56"),
        Stated("64", "rgb", "0/255", "arcface:x"),
        Stated("64", "rgb", "0/255", "nowhere.json"),
    ],
)
def test_what_cannot_be_read_is_one_line(stated: Stated) -> None:
    with pytest.raises((UsageError, InputError)) as caught:
        stated.preprocessing()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(schema=2),
        lambda d: d.pop("preprocessing"),
        lambda d: d.update(preprocessing=[]),
        lambda d: d["chips"].pop("sha256"),
        lambda d: d["chips"].update(path="gone.npz"),
        lambda d: d.update(lineage=None),
    ],
)
def test_a_run_that_does_not_hold_together_is_refused(run: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((run / "run.json").read_text())
    edit(document)
    (run / "run.json").write_text(json.dumps(document))
    with pytest.raises(InputError):
        open_source(run, None, NOTHING, [])


def test_a_run_without_its_record_or_encoder_is_refused(run: Path) -> None:
    (run / "run.json").unlink()
    with pytest.raises(InputError, match=r"run\.json"):
        open_source(run, None, NOTHING, [])
    (run / "encoder.keras").unlink()
    with pytest.raises(InputError, match=r"encoder\.keras"):
        open_source(run, None, NOTHING, [])


@pytest.mark.parametrize("spoil", [lambda d: d[:3000], lambda d: b"", lambda d: b"text" * 100])
def test_damaged_chips_are_one_line(chips: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    bad = tmp_path / "bad.npz"
    bad.write_bytes(spoil(chips.read_bytes()))
    with pytest.raises(InputError, match=r"bad\.npz") as caught:
        Chips.load(bad)
    assert "\n" not in str(caught.value)


def test_chips_of_another_schema_are_refused(chips: Path, tmp_path: Path) -> None:
    with np.load(chips) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(str(arrays["meta"])) | {"schema": 2}
    np.savez(tmp_path / "new.npz", **(arrays | {"meta": np.array(json.dumps(meta))}))
    with pytest.raises(InputError, match="schema 1, found 2"):
        Chips.load(tmp_path / "new.npz")
