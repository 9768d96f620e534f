"""``familiar strangers`` as a person or a script calls it, on real files."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_runtime.config import load_config
from edge_runtime.faces.chain import open_chain
from edge_runtime.faces.crops import face_crop
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.unknowns.memory import Sighting
from edge_runtime.unknowns.opening import open_unknowns
from tests.builders import draw_face
from tests.edge_runtime.conftest import Familiar


@pytest.fixture
def seen(familiar: Familiar) -> list[str]:
    """Two strangers; the first came three times; their ids."""
    config, ids = load_config(), []
    with open_chain(config) as chain, open_gallery(config, chain), open_unknowns(config, chain) as book:
        for person, visits in ((0, 3), (6, 1)):
            for number in range(visits):
                picture = draw_face(person, 120 + 10 * number, number)
                face = chain.detector.detect(picture)
                code = chain.encode(picture, face.landmarks[:1])[0][0]
                at_s = 1_700_000_000.0 + 1000 * number
                crop = face_crop(picture, face.xyxy[0])
                one = book.remember(Sighting(code, 2.0 + number, at_s, at_s + 10, "door", crop))
            assert one is not None and one.visits == visits
            ids.append(one.stranger_id)
    return ids


def test_nobody_seen_is_said_and_makes_no_file(familiar: Familiar, tmp_path: Path) -> None:
    code, out, err = familiar("strangers")
    assert (code, err) == (0, "") and "[strangers] remember = true" in out
    assert familiar("strangers", "--json")[1] == "[]\n"
    code, _, err = familiar("strangers", "show", "abcdef")
    assert code == 4 and err.count("\n") == 1 and "remember" in err
    assert not (tmp_path / "state").exists()


def test_list_show_name_and_identify(familiar: Familiar, seen: list[str], tmp_path: Path) -> None:
    code, out, err = familiar("strangers", "list")
    assert (code, err) == (0, "")
    assert sorted(line.split()[0] for line in out.splitlines()) == sorted(seen)
    assert f"{seen[0]}  seen 3 times, " in out and f"{seen[1]}  seen once, " in out
    listed = json.loads(familiar("strangers", "--json")[1])
    assert {one["stranger"]: one["visits"] for one in listed} == {seen[0]: 3, seen[1]: 1}

    code, out, _ = familiar("strangers", "show", seen[0], "--out", "page.png")
    assert code == 0 and len(out.splitlines()) == 5 and "door" in out
    assert stat.S_IMODE(Path("page.png").stat().st_mode) == 0o600
    page = np.asarray(Image.open("page.png"))
    # Each visit's own picture is on it, not an empty page.
    assert page.shape[1] == 3 * 220 + 4 * 16
    assert all(page[100:200, 16 + n * 236 : 236 + n * 236].std() > 20 for n in range(3))

    code, out, err = familiar("strangers", "name", seen[0], "Ada")
    assert (code, err) == (0, "") and f"Ada: 3 of 3 views enrolled; {seen[0]} is no longer a stranger" in out
    assert [one["stranger"] for one in json.loads(familiar("strangers", "--json")[1])] == [seen[1]]
    picture = cv2.cvtColor(draw_face(0, 140, 8), cv2.COLOR_RGB2BGR)
    cv2.imwrite("photo.png", picture)
    assert familiar("identify", "photo.png")[1].startswith("photo.png,Ada,")


def test_who_looks_like_somebody_enrolled_is_named_with_force_alone(familiar: Familiar, seen: list[str]) -> None:
    for number in range(3):
        Image.fromarray(draw_face(6, 120 + 10 * number, 4 + number)).save(f"{number}.png")
    assert familiar("enroll", "Ben", "0.png", "1.png", "2.png")[0] == 0
    code, out, err = familiar("strangers", "name", seen[1], "Eve")
    assert code == 10 and "looks like Ben" in out and err.count("\n") == 1
    assert "Eve" not in familiar("people", "list")[1] and seen[1] in familiar("strangers")[1]
    assert familiar("strangers", "name", seen[1], "Eve", "--force")[0] == 0
    assert "forced: looks like Ben" in familiar("people", "show", "Eve")[1]
    assert seen[1] not in familiar("strangers")[1]


def test_ignore_and_forget(familiar: Familiar, seen: list[str]) -> None:
    assert familiar("strangers", "ignore", seen[0])[:2] == (0, f"stranger {seen[0]} is ignored\n")
    assert "(ignored)" in next(line for line in familiar("strangers")[1].splitlines() if line.startswith(seen[0]))
    assert familiar("strangers", "unignore", seen[0])[:2] == (0, f"stranger {seen[0]} is no longer ignored\n")
    assert "(ignored)" not in familiar("strangers")[1]
    assert familiar("strangers", "forget", seen[0])[:2] == (0, f"stranger {seen[0]} is forgotten\n")
    assert familiar("strangers", "forget", seen[0])[0] == 4
    assert familiar("strangers", "forget")[0] == familiar("strangers", "forget", seen[1], "--all")[0] == 2
    assert familiar("strangers", "forget", "--all")[:2] == (0, "1 stranger is forgotten\n")
    assert json.loads(familiar("strangers", "--json")[1]) == []


def test_a_new_device_key_keeps_strangers(familiar: Familiar, seen: list[str], tmp_path: Path) -> None:
    key = tmp_path / "conf/familiar/device.key"
    before = key.read_bytes()
    assert familiar("gallery", "rekey")[0] == 0
    assert key.read_bytes() != before
    assert len(json.loads(familiar("strangers", "--json")[1])) == 2
    assert familiar("strangers", "show", seen[0], "--out", "page.png")[0] == 0
