"""The front door: what ``import edge_runtime`` offers, and README's five lines, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import edge_runtime
from edge_runtime import FamiliarError, Recognizer
from edge_runtime.sources.synthetic import Scene, SceneOptions
from tests.builders import ROOT, draw_face, make_pixels


def test_every_name_is_there_and_they_are_sorted() -> None:
    assert edge_runtime.__all__ == sorted(edge_runtime.__all__)
    for name in edge_runtime.__all__:
        assert getattr(edge_runtime, name).__name__ == name
        assert name in dir(edge_runtime)
    with pytest.raises(AttributeError, match="Recogniser"):
        _ = edge_runtime.Recogniser


def test_the_lines_of_the_readme_name_who_is_on_a_photo(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(from edge_runtime import.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) == 5
    scene = Scene(SceneOptions())
    for number in (1, 2, 3):
        Image.fromarray(scene.photo("ash", number)).save(tmp_path / f"ash-{number}.png")
    party = Image.new("RGB", (800, 400))
    for left, person in enumerate(("ash", "bo")):
        party.paste(Image.fromarray(scene.photo(person, 0)), (400 * left, 0))
    party.save(tmp_path / "party.png")
    own = {name: str(tmp_path / name) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["Ash", "unknown"]
    assert not any(Path(folder).exists() for folder in own.values()), "nothing is left on the disk"


def test_a_gallery_in_a_file_is_kept_and_read_by_the_command(tmp_path: Path, tiny_bundle: Path) -> None:
    gallery, key = tmp_path / "people" / "gallery.db", tmp_path / "key" / "device.key"
    Image.fromarray(draw_face(0)).save(tmp_path / "ada.png")
    Image.fromarray(make_pixels()).save(tmp_path / "hill.png")
    with Recognizer(tiny_bundle, gallery, key) as recognizer:
        taken, refused = recognizer.enroll("Ada", tmp_path / "ada.png", tmp_path / "hill.png")
        assert taken.accepted and not refused.accepted and "no face" in str(refused.reason)
        assert recognizer.recognize(make_pixels()) == []
    with Recognizer(tiny_bundle, gallery, key) as recognizer:
        assert recognizer.enroll("Ada", tmp_path / "ada.png")[0].known
        (face,) = recognizer.recognize(draw_face(0))
        assert face.match is not None and face.match.candidate == "Ada"
    with pytest.raises(FamiliarError, match="outside the gallery's folder"):
        Recognizer(tiny_bundle, gallery, gallery.parent / "device.key")
