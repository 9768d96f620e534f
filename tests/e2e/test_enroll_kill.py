"""``kill -9`` in the middle of enrolling: what was reported is there, and running it again finishes the work."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.gallery.store import Gallery
from tests.builders import ROOT, draw_face, make_bundle

PHOTOS = 60
KILL_AFTER = (0, 1, 9, 25)
"""Lines read before the kill; 0: at the first, so that making the gallery is hit too."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        photo = draw_face(0, 90 + number % 11, number)
        Image.fromarray(photo).save(tmp_path / f"photos/{number:03}.png", compress_level=1)
    return tmp_path


def start(home: Path) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAMILIAR_", "XDG_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "enroll", "Anna", str(home / "photos")],
        cwd=ROOT,
        env=kept
        | {
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "conf"),
            "FAMILIAR_BUNDLE_PATH": str(home / "bundle"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def photo_of(line: str) -> str | None:
    """The photo that a line reports as being in the gallery."""
    path, _, state = line.rstrip("\n").partition(": ")
    return Path(path).name if line.endswith("\n") and state in ("enrolled", "already enrolled") else None


def kept_photos(home: Path) -> list[str]:
    """Sources of all templates, after the checks of the database itself."""
    path = home / "state/familiar/gallery.db"
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()
    with Gallery.open_existing(path, home / "conf/familiar/device.key") as gallery:
        assert len(gallery.templates().embeddings) == sum(person.templates for person in gallery.people())
        return [record.source for record in gallery.records("Anna")]


def test_every_photo_reported_as_enrolled_is_there_after_kill(home: Path) -> None:
    reported: set[str] = set()
    for lines in KILL_AFTER:
        process = start(home)
        assert process.stdout is not None
        read = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        # What was in the pipe when it died had been reported as well.
        read += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        reported |= {photo for photo in map(photo_of, read) if photo}
        if not lines:
            continue
        kept = kept_photos(home)
        assert reported <= set(kept)
        assert len(kept) == len(set(kept)) <= len(reported) + 1
    before = len(kept_photos(home))
    assert before >= sum(KILL_AFTER) // 2
    process = start(home)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert f"{PHOTOS - before} enrolled, {before} already enrolled; {PHOTOS} photos known" in out
    assert sorted(kept_photos(home)) == [f"{number:03}.png" for number in range(PHOTOS)]
