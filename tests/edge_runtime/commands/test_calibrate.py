"""``familiar calibrate`` as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.edge_runtime.commands.test_people import album  # noqa: F401
from tests.edge_runtime.conftest import Familiar


def test_nobody_enrolled_is_one_line(familiar: Familiar, album: Path) -> None:  # noqa: F811
    code, out, err = familiar("calibrate")
    assert (code, out) == (8, "") and "familiar enroll" in err
    familiar("enroll", "P0", "album/P0")
    familiar("people", "forget", "P0", "--yes")
    code, out, err = familiar("calibrate")
    assert (code, out, err.count("\n")) == (4, "", 1) and "nobody is enrolled" in err


def test_table_says_what_is_expected_supported_and_missed(familiar: Familiar, album: Path) -> None:  # noqa: F811
    for person in ("P0", "P1"):
        familiar("enroll", person, f"album/{person}")
    code, out, err = familiar("calibrate", "--strangers-per-week", "500")
    assert (code, err) == (0, "")
    assert "2 people, 6 photos; strangers: 400 people" in out and "of 6" in out
    assert "400 strangers support 7.5 of 1,000, not 1" in out
    assert "false names a week: 0.5 expected, of 500 strangers (given)" in out
    assert "not known" in familiar("calibrate")[1]


def test_json_and_plot_agree_with_the_target(familiar: Familiar, album: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    code, out, _ = familiar(
        "calibrate", "--json", "--plot", "curves.png", "--set", "decide.false_accepts_per_1000_strangers=20"
    )
    document = json.loads(out)
    assert code == 0 and document["supported"] and document["expected_per_1000"] == pytest.approx(20, rel=0.1)
    assert document["interval_per_1000"][0] < 20 < document["interval_per_1000"][1]
    assert document["photos_tried"] == 3 and document["false_names_per_week"] is None
    assert [row["target_per_1000"] for row in document["targets"]] == [0.1, 0.3, 1, 3, 10, 20, 30, 100]
    thresholds = [row["threshold"] for row in document["targets"]]
    assert thresholds == sorted(thresholds, reverse=True)
    pixels = np.asarray(Image.open("curves.png"))
    assert pixels.shape == (580, 940, 3) and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_mistakes_are_one_line(familiar: Familiar, album: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    for arguments, code, says in (
        (("--strangers-per-week", "-1"), 2, "0 or more"),
        (("--plot", "nowhere/curves.png"), 4, "expected a folder to write to"),
    ):
        found, _, err = familiar("calibrate", *arguments)
        assert found == code and err.count("\n") == 1 and says in err
