"""``bundle install``: verified before it is used, and the one before stays until then."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from tests.builders import draw_face, make_bundle, write_manifest
from tests.edge_runtime.commands.test_people import write
from tests.edge_runtime.conftest import Familiar


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, familiar: Familiar) -> Path:
    """Where a device without a bundle will have one."""
    monkeypatch.delenv("FAMILIAR_BUNDLE_PATH")
    return tmp_path / "state/familiar/bundle"


def packed(folder: Path, file: Path, below: str = "") -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, below + path.name)
    return file


@pytest.mark.parametrize("kind", ["folder", "zip", "zip of a folder"])
def test_a_folder_or_a_zip_becomes_the_bundle_of_this_device(
    familiar: Familiar, home: Path, tiny_bundle: Path, tmp_path: Path, kind: str
) -> None:
    below = {"zip": "", "zip of a folder": "tiny/"}
    source = tiny_bundle if kind == "folder" else packed(tiny_bundle, tmp_path / "b.zip", below[kind])
    code, out, err = familiar("bundle", "install", str(source))
    assert (code, err) == (0, "")
    assert Bundle(home).hash == Bundle(tiny_bundle).hash
    assert f"{home}: tiny" in out
    code, out, _ = familiar("bundle", "show")
    assert code == 0 and str(home) in out


def test_the_released_bundle_comes_with_the_package(familiar: Familiar, home: Path) -> None:
    assert familiar("bundle", "install", "released")[0] == 0
    assert Bundle(home).manifest.name == "default"


def spoil_encoder(folder: Path) -> None:
    data = bytearray((folder / "encoder.tflite").read_bytes())
    data[-100] ^= 1
    (folder / "encoder.tflite").write_bytes(data)


def test_what_is_not_whole_right_or_signed_leaves_the_one_before(
    familiar: Familiar, home: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    assert familiar("bundle", "install", str(tiny_bundle))[0] == 0
    altered = tmp_path / "altered"
    shutil.copytree(tiny_bundle, altered)
    spoil_encoder(altered)
    other = make_bundle(tmp_path / "other", seed=5).path
    cut = packed(tiny_bundle, tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(cut[: len(cut) // 2])
    damaged = bytearray(cut)
    damaged[cut.index(b"manifest.json") + 400] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a/manifest.json", "b/manifest.json"):
            archive.writestr(name, "{}")
    key = ("--set", f"bundle.trusted_keys={'A' * 43}=")
    for words, expected in (
        ((str(altered),), 6),
        ((str(packed(altered, tmp_path / "altered.zip")),), 6),
        ((str(tmp_path / "cut.zip"),), 6),
        ((str(tmp_path / "damaged.zip"),), 6),
        ((str(tmp_path / "two.zip"),), 6),
        ((str(tmp_path / "nowhere"),), 6),
        ((str(other), *key), 6),
        ((), 2),
        (("a", "b"), 2),
    ):
        code, _, err = familiar("bundle", "install", *words)
        assert (code, err.count("\n")) == (expected, 1), (words, err)
    assert Bundle(home).hash == Bundle(tiny_bundle).hash
    assert [path.name for path in home.parent.iterdir()] == ["bundle"]


def test_wrong_outputs_are_found_before_it_is_used(familiar: Familiar, home: Path, tmp_path: Path) -> None:
    wrong = make_bundle(tmp_path / "wrong").path
    with np.load(wrong / "golden.npz") as golden:
        arrays = {"chips": golden["chips"], "codes": -golden["codes"]}
    np.savez(wrong / "golden.npz", **arrays)
    write_manifest(wrong)
    code, _, err = familiar("bundle", "install", str(wrong))
    assert (code, err.count("\n")) == (13, 1)
    assert not home.exists()


def test_nothing_of_a_zip_lands_elsewhere(familiar: Familiar, home: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    file = packed(tiny_bundle, tmp_path / "b.zip", "tiny/")
    with zipfile.ZipFile(file, "a") as archive:
        for name in ("../escaped", "/tmp/familiar-escaped", "tiny/../../escaped", "__MACOSX/._manifest.json"):
            archive.writestr(name, "x")
    assert familiar("bundle", "install", str(file))[0] == 0
    assert sorted(path.name for path in home.iterdir()) == sorted(path.name for path in tiny_bundle.iterdir())
    assert not list(tmp_path.rglob("*escaped*")) and not Path("/tmp/familiar-escaped").exists()


def test_where_the_configuration_names_another_nothing_is_installed_in_vain(
    familiar: Familiar, home: Path, tiny_bundle: Path
) -> None:
    code, _, err = familiar("bundle", "install", str(tiny_bundle), "--set", "bundle.path=/srv/bundle")
    assert (code, err.count("\n")) == (3, 1)
    assert "/srv/bundle" in err and "deploy --bundle" in err
    assert not home.exists()


def test_another_encoder_says_what_becomes_of_the_people(
    familiar: Familiar, home: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    familiar("bundle", "install", str(tiny_bundle))
    write(tmp_path / "ada.png", draw_face(0))
    assert familiar("enroll", "Ada", "ada.png")[0] == 0
    assert "reembed" not in familiar("bundle", "install", str(tiny_bundle))[1]
    assert "familiar people reembed" in familiar("bundle", "install", "released")[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to run as root")
def test_what_root_installs_is_the_services(familiar: Familiar, home: Path, tiny_bundle: Path) -> None:
    home.parent.mkdir(parents=True)
    os.chown(home.parent, 12345, 12345)
    before = os.umask(0o077)
    try:
        assert familiar("bundle", "install", str(tiny_bundle))[0] == 0
    finally:
        os.umask(before)
    assert {path.stat().st_uid for path in (home, *home.iterdir())} == {12345}
