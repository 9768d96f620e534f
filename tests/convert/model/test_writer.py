"""A bundle is there whole or not at all, and nobody's files are overwritten; its self-test can fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.model.golden import face_chips, golden_floor, make_golden
from convert.model.writer import drafted, write_manifest
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.errors import BundleError, UsageError
from edge_runtime.faces.encoder import TfliteEncoder, open_encoder
from edge_runtime.interpreters import open_interpreter
from tests.builders import RELEASED, TINY_MODEL, TINY_PREPROCESSING, make_bundle
from tests.convert.inputs import draw_chips


def fill(folder: Path, model: Path, name: str = "new") -> None:
    """Write a whole bundle by copying one and writing its manifest anew."""
    for path in model.iterdir():
        shutil.copy(path, folder / path.name)
    manifest = Bundle(folder).manifest
    (folder / MANIFEST).unlink()
    write_manifest(folder, replace(manifest, name=name))


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model") / "m").path


def test_it_appears_when_it_is_whole(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "b"
    with drafted(target) as folder:
        fill(folder, model)
        assert not target.exists()
    assert Bundle(target).manifest.name == "new"
    assert [p.name for p in target.parent.iterdir()] == ["b"]
    assert target.stat().st_mode & 0o077 == (model.stat().st_mode & 0o077)


def test_a_failure_leaves_nothing(model: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), drafted(tmp_path / "b") as folder:
        fill(folder, model)
        raise RuntimeError("in the middle")
    assert not any(tmp_path.iterdir())


def test_what_is_no_bundle_does_not_appear(model: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError), drafted(tmp_path / "b") as folder:
        fill(folder, model)
        (folder / "extra").write_text("x")
    assert not any(tmp_path.iterdir())


def test_an_old_bundle_stays_until_the_new_one_is_whole(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "b"
    shutil.copytree(model, target)
    with pytest.raises(UsageError, match="--replace"), drafted(target):
        pass
    with pytest.raises(RuntimeError), drafted(target, replace=True) as folder:
        fill(folder, model)
        raise RuntimeError("in the middle")
    assert Bundle(target).manifest.name == "tiny"
    with drafted(target, replace=True) as folder:
        fill(folder, model)
    assert Bundle(target).manifest.name == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_other_peoples_folders_files_and_links_are_never_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mum.jpg").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(model)
    for name in ("photos", "file", "link"):
        with pytest.raises(UsageError, match=name), drafted(tmp_path / name, replace=True):
            pass
    assert (tmp_path / "photos" / "mum.jpg").exists() and Bundle(model)


def test_an_empty_folder_is_as_good_as_none(model: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with drafted(tmp_path / "b") as folder:
        fill(folder, model)
    assert Bundle(tmp_path / "b")


def test_chips_are_drawn_by_the_seed_and_all_differ() -> None:
    chips = draw_chips(12, (28, 28))
    assert chips.shape == (12, 28, 28, 3) and chips.dtype == np.uint8
    np.testing.assert_array_equal(chips, draw_chips(12, (28, 28)))
    assert len({chip.tobytes() for chip in chips}) == 12
    assert draw_chips(2, (96, 112)).shape == (2, 112, 96, 3)
    assert (np.abs(chips[..., 0].astype(int) - chips[..., 2]).mean((1, 2)) > 8).all()


def test_golden_chips_show_faces_of_nobody_and_all_differ() -> None:
    chips = face_chips(20, (80, 96))
    assert chips.shape == (20, 96, 80, 3) and chips.dtype == np.uint8
    np.testing.assert_array_equal(chips, face_chips(20, (80, 96)))
    assert len({chip.tobytes() for chip in chips}) == 20
    # Their codes are as long as a face's: what a bundle takes for no face would not test it well.
    bundle = Bundle(RELEASED)
    encoder = open_encoder(bundle)
    golden, _ = bundle.golden()
    assert encoder.encode(golden)[1].min() > bundle.manifest.encoder.least_length > 0
    encoder.close()


def test_the_self_test_would_notice_swapped_colours() -> None:
    encoder = TfliteEncoder(open_interpreter("auto", TINY_MODEL), TINY_PREPROCESSING)
    chips, codes = make_golden(encoder, (28, 28), 8)
    floor = golden_floor(encoder, chips, codes)
    again, _ = encoder.encode(chips)
    swapped, _ = encoder.encode(np.ascontiguousarray(chips[..., ::-1]))
    assert (again * codes).sum(1).min() > floor > (swapped * codes).sum(1).min()
    encoder.close()
