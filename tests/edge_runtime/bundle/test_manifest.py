"""One class reads and writes the manifest, so that nothing is lost between the desktop and a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.errors import BundleError
from tests.builders import RELEASED, make_bundle
from tests.edge_runtime.conftest import Familiar


def test_the_released_manifest_is_written_as_it_was_read() -> None:
    document = json.loads((RELEASED / MANIFEST).read_text(encoding="utf-8"))
    manifest = Bundle(RELEASED).manifest
    assert manifest.as_json() == document and not manifest.unknown
    assert Manifest.parse(json.dumps(manifest.as_json())) == manifest


def test_a_manifest_that_says_the_least_is_read_back_to_an_equal_one(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "tiny").manifest
    assert manifest.looks is None and manifest.metrics.pairs_right is None and not manifest.lineage
    assert Manifest.parse(json.dumps(manifest.as_json())) == manifest


def test_keys_of_a_later_version_change_nothing_and_are_written_again() -> None:
    document = json.loads((RELEASED / MANIFEST).read_text(encoding="utf-8"))
    plain = Manifest.parse(json.dumps(document))
    document["mood"] = {"of": "nobody"}
    document["encoder"]["template"]["mood"] = [1, {"a": 2}]
    document["metrics"]["mood"] = None
    document["detector"]["refiner"]["mood"] = 3
    later = Manifest.parse(json.dumps(document))
    assert later.as_json() == document and later != plain
    assert later.encoder == plain.encoder and later.detector_sheet == plain.detector_sheet
    assert later.preprocessing_hash("x") == plain.preprocessing_hash("x")


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("metrics", []), ("metrics", {"parity": 7}), ("metrics", {"parity": {"label": "a", "pair_accuracy": [1]}}),
        ("metrics", {"parity": {"label": "a", "pair_accuracy": {"a": "most"}}}), ("run", 5), ("lineage", 5),
        ("looks", {"people": 5}), ("looks", []), ("versions", [1]), ("golden", {"cosine": {}}),
    ],
)  # fmt: skip
def test_a_wrong_value_in_what_was_measured_is_one_line(section: str, value: Any) -> None:
    document = json.loads((RELEASED / MANIFEST).read_text(encoding="utf-8")) | {section: value}
    with pytest.raises(BundleError, match=r"make (the bundle|it) again") as caught:
        Manifest.parse(json.dumps(document))
    assert "\n" not in str(caught.value)


def test_show_is_ten_lines_and_all_is_everything(familiar: Familiar) -> None:
    code, out, err = familiar("bundle", "show", str(RELEASED))
    assert code == 0 and not err and len(out.splitlines()) == 10
    manifest = Bundle(RELEASED).manifest
    assert f"{manifest.cohort.people:,} people" in out and "of 1,820 pairs" in out and "maps wholly" in out
    code, whole, _ = familiar("bundle", "show", str(RELEASED), "--all")
    assert code == 0 and len(whole.splitlines()) > 300 and "licence" in whole and "run.recipe.fit.epochs" in whole
    document = json.loads(familiar("bundle", "show", str(RELEASED), "--json")[1])
    assert document["manifest"] == json.loads((RELEASED / MANIFEST).read_text(encoding="utf-8"))
