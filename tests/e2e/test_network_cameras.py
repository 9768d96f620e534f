"""``familiar run`` with network cameras that keep to no standard: real servers, and what ``status`` says of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.sources._jpeg_stream import LARGEST_BYTES
from tests.builders import draw_face, make_bundle
from tests.cameras import HttpCamera, answer_with, jpeg
from tests.e2e.test_run import familiar, starting
from tests.running_service import until

MULTIPART = "multipart/x-mixed-replace; boundary=frame"
FPS = 20
Answer = Callable[[BaseHTTPRequestHandler, int], None]
FACES = [jpeg(draw_face(0, 200 + step)) for step in range(8)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    return tmp_path


def part(data: bytes, boundary: str = "--frame") -> bytes:
    return f"{boundary}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + data + b"\r\n"


def stream(pieces: Callable[[], Iterator[bytes]], kind: str = MULTIPART) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        answer_with(handler, kind)
        for piece in pieces():
            handler.wfile.write(piece)
            time.sleep(1 / FPS)

    return answer


def snapshot(handler: BaseHTTPRequestHandler, number: int) -> None:
    answer_with(handler, "image/jpeg", FACES[number % len(FACES)])


def faces() -> Iterator[bytes]:
    return itertools.cycle(FACES)


def camera_of(folder: Path) -> dict[str, Any]:
    """The camera ``door`` as status shows it; empty while no daemon answers."""
    done = familiar(folder, "status", "--json")
    return dict(json.loads(done.stdout)["cameras"].get("door", {})) if done.stdout else {}


def wait_for_camera(folder: Path, true: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def there() -> bool:
        seen.update(camera_of(folder))
        return bool(seen) and true(seen)

    until(there, what, 60)
    return seen


ODD: dict[str, Answer] = {
    "no boundary before the first": stream(lambda: itertools.chain([FACES[0] + b"\r\n"], map(part, faces()))),
    "fields before the first, no boundary": stream(
        lambda: itertools.chain([part(FACES[0]).partition(b"\n")[2]], map(part, faces()))
    ),
    "another boundary": stream(lambda: (part(data, "--other") for data in faces())),
    "no boundary at all": stream(faces),
    "no type": stream(lambda: map(part, faces()), "application/octet-stream"),
    "snapshots": snapshot,
}


@pytest.mark.parametrize("name", ODD)
def test_a_camera_that_keeps_to_no_standard_is_watched(folder: Path, name: str) -> None:
    with HttpCamera(ODD[name]) as server, starting(folder) as start:
        daemon = start("--camera", f"door={server.url}", "--set", "camera.door.snapshot_fps=20")
        assert daemon.next_event("appeared", "camera_lost")["kind"] == "appeared"
        daemon.next_event("unknown")
        camera = wait_for_camera(folder, lambda seen: seen["frames"] > 30, "30 frames")
        assert (camera["state"], camera["losses"], camera["unusable"]) == ("running", 0, 0)


def test_what_is_no_picture_is_counted_even_where_none_comes(folder: Path) -> None:
    """Torn, foreign and endless parts, and then nothing else for a while."""
    go_on = threading.Event()
    bad = [part(FACES[0][:-300]), part(b"\x89PNG"), part(FACES[1][:-300] + bytes(LARGEST_BYTES)), part(b"busy")]

    def pieces() -> Iterator[bytes]:
        yield from map(part, FACES)
        yield from bad
        while not go_on.wait(1.0):
            yield part(b"busy")
        yield from map(part, faces())

    with HttpCamera(stream(pieces)) as server, starting(folder) as start:
        start("--camera", f"door={server.url}", "--set", "camera.door.deadline_s=30")
        camera = wait_for_camera(folder, lambda seen: seen["unusable"] >= len(bad) + 1, "all counted")
        assert camera["frames"] <= len(FACES) and camera["state"] == "running"
        text = familiar(folder, "status").stdout
        assert int(re.search(r"(\d+) unusable", text)[1]) >= len(bad)  # type: ignore[index]
        go_on.set()
        wait_for_camera(folder, lambda seen: seen["frames"] > len(FACES) + 10, "frames again")


def test_a_snapshot_is_asked_for_as_often_as_configured_and_less_often_while_it_fails(folder: Path) -> None:
    broken = threading.Event()
    answered: list[bool] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        answered.append(not broken.is_set())
        if broken.is_set():
            answer_with(handler, "text/plain", b"busy", 503)
        else:
            snapshot(handler, number)

    with HttpCamera(answer) as server, starting(folder) as start:
        daemon = start("--camera", f"door={server.url}", "--set", "camera.door.snapshot_fps=4")
        wait_for_camera(folder, lambda seen: seen["frames"] > 3, "frames")
        before = len(answered)
        time.sleep(3)
        assert 7 <= len(answered) - before <= 13
        broken.set()
        assert "503" in daemon.next_event("camera_lost")["reason"]
        gaps = [b - a for a, b in itertools.pairwise(server.asked_s[answered.index(False) :])]
        assert max(gaps[:6]) > 4 * min(gaps[:6])
        broken.clear()
        daemon.next_event("camera_back")


def test_a_snapshot_that_fails_once_loses_no_camera(folder: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number % 5 == 4:
            answer_with(handler, "text/plain", b"busy", 503)
        else:
            snapshot(handler, number)

    with HttpCamera(answer) as server, starting(folder) as start:
        start("--camera", f"door={server.url}", "--set", "camera.door.snapshot_fps=20")
        camera = wait_for_camera(folder, lambda seen: seen["frames"] > 40, "frames")
        assert camera["losses"] == 0 and camera["unusable"] >= 5


def digest_of(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_a_password_is_sent_as_the_camera_asks_and_a_wrong_one_is_told(folder: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        given = dict(re.findall(r'(\w+)="?([^",]+)', handler.headers.get("Authorization", "")))
        secret = digest_of("bob:camera:s3cr3t/9")
        if given.get("response") == digest_of(f"{secret}:abc:{digest_of('GET:/picture')}"):
            snapshot(handler, number)
            return
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="abc"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with HttpCamera(answer, user="bob:s3cr3t%2F9") as server, starting(folder) as start:
        start("--camera", f"door={server.url}")
        wait_for_camera(folder, lambda seen: seen["frames"] > 3, "frames")
    with HttpCamera(answer, user="bob:another9") as server, starting(folder) as start:
        _, errors = start("--camera", f"door={server.url}").wait()
        assert "401" in errors and "user and password" in errors and "another9" not in errors


def test_a_still_picture_of_another_format_is_told_and_not_decoded(folder: Path) -> None:
    with (
        HttpCamera(lambda handler, _: answer_with(handler, "image/png", b"\x89PNG" * 400)) as server,
        starting(folder) as start,
    ):
        _, errors = start("--camera", f"door={server.url}").wait()
    assert "set the camera to JPEG" in errors
