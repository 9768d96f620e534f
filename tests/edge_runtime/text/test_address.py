"""A password in a source is shown nowhere, however it is written and whoever shows it."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import cv2
import pytest

from edge_runtime.capture.process import CaptureProcess
from edge_runtime.config import CameraConfig, LogConfig
from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.sources import check_source, open_source
from edge_runtime.system.log import Log
from edge_runtime.text import masking
from edge_runtime.text.address import Address
from edge_runtime.text.masking import masked, without_known
from tests.builders import ROOT, make_pixels
from tests.cameras import MjpegCamera, free_port, jpeg
from tests.running_service import until

PASSWORDS = (
    "h7nter-one", "1234#x9", "12/34q", "wh?t42", "it's4u", 'a"b4c5', "x<y>z7", "two words3", "p%23ss%2Fw", "k=v&w8",
    "s3;cret", "pä55wörd", "0000", "back\\sl4sh", "at@home5", "c:o:l0n", "[br4cket]", "$HOME1", "a+b+c1", "***7***",
)  # fmt: skip
FORMS = (
    "rtsp://admin:{}@127.0.0.1:9/live",
    "stream:rtsp://admin:{}@127.0.0.1:9/live",
    "rtsps://{}@127.0.0.1:9/live",
    "http://127.0.0.1:9/videostream.cgi?loginuse=admin&loginpas={}",
    "rtsp://127.0.0.1:9/user=admin_password={}_channel=1_stream=0.sdp",
    "rtmp://admin:{}@127.0.0.1/live",
    "rtsp:/admin:{}@127.0.0.1/live",
    "rtsp:admin:{}@127.0.0.1/live",
    "admin:{}@127.0.0.1/live",
    "file:rtsp://admin:{}@127.0.0.1/live",
)


def _quoted(text: str) -> str:
    return quote(text, safe="")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with no secret known."""
    monkeypatch.setattr(masking, "_known", {})
    monkeypatch.setattr(masking, "_pattern", None)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_prints_an_address_shows_its_password(form: str) -> None:
    for password, spell in itertools.product(PASSWORDS, (str, _quoted, quote_plus)):
        spelt = spell(password)
        text = form.format(spelt)
        address = Address(text)
        assert address.reveal() == text
        stream = io.StringIO()
        Log(LogConfig(every_s=0), stream).warning(f"lost {text}", reason=f"no stream at {text}", source=address)
        said = [
            str(address), repr(address), f"{address}", f"{address:>80}", "%s %r" % (address, address),  # noqa: UP031
            json.dumps({"source": address}, default=str), repr(CameraConfig(source=address)),
            str(dataclasses.asdict(CameraConfig(source=address))), stream.getvalue(),
            str(CameraError(f"[tls @ 0x5] cannot open '{text}'")), masked(json.dumps({"reason": text})),
            masked(f"Failed to open {text.partition('://')[2] or text}: 401"),
        ]  # fmt: skip
        with pytest.raises((ConfigError, CameraError)) as refused:
            check_source(address, "door")
            open_source(address, "door")
        said.append(str(refused.value))
        for line in said:
            assert password not in line and spelt not in line, line
        assert pickle.loads(pickle.dumps(address)) == address and Address(address) == address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("v4l2:0", "v4l2:0"),
        ("v4l:0", "v4l:0"),
        ("/dev/video0", "/dev/video0"),
        ("file:/srv/a@b.mp4?loop", "file:/srv/a@b.mp4?loop"),
        ("file:///tmp/a.mp4?loop", "file:///tmp/a.mp4?loop"),
        ("rtsp://cam/live", "rtsp://cam/***"),
        ("rtsp://cam:554", "rtsp://cam:554"),
        ("rtsp://[fe80::1]:554/live", "rtsp://[fe80::1]:554/***"),
        ("rtsp://bob:sec@ret@cam/live", "rtsp://***@cam/***"),
        ("rtsp://bob:a/b@cam/live", "rtsp://***"),
        ("v4l2:0b0b:s3cr3t@cam", "v4l2:***"),
        ("hello, this is no source", "***"),
    ],
)
def test_what_is_shown_tells_cameras_apart_and_no_more(text: str, shown: str) -> None:
    assert str(Address(text)) == shown


def test_other_words_stay_as_they_are() -> None:
    """A short password, or a path of one word, is no reason to take words out of every line."""
    Address("rtsp://a:b@cam/live")
    Address("http://cam/stream?type=main&size=3")
    line = "a camera delivered a live stream of 3 frames, b is the main one"
    assert without_known(line) == line
    assert without_known("rtsp://a:b@cam/live") == "rtsp://***@cam/***"


def test_a_camera_that_wants_another_password_says_nothing_of_this_one(capfd: pytest.CaptureFixture[str]) -> None:
    """With FFmpeg and OpenCV as talkative as they can be: what they write goes through the daemon."""
    program = (
        "import sys; from edge_runtime.capture.process import CaptureProcess\n"
        "try:\n  with CaptureProcess(sys.argv[1], 'door') as c: next(iter(c))\n"
        "except OSError as error: print(error)\n"
        "import time; time.sleep(0.5)"
    )
    talkative = {"OPENCV_FFMPEG_DEBUG": "1", "OPENCV_LOG_LEVEL": "DEBUG", "OPENCV_FFMPEG_LOGLEVEL": "56"}
    with MjpegCamera(lambda: itertools.repeat(jpeg(make_pixels())), user="bob:other") as server:
        for source in (server.url.replace("other", "s3cr3t!%26"), f"rtsp://bob:s3cr3t!%26@127.0.0.1:{free_port()}/x"):
            done = subprocess.run(
                [sys.executable, "-c", program, source],
                env={**os.environ, **talkative, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert "camera door: expected" in done.stdout
            assert "s3cr3t" not in done.stdout + done.stderr
            assert done.stderr or source.startswith("http"), "OpenCV was to be talkative"


def test_the_process_that_captures_has_it_from_a_socket_alone() -> None:
    with (
        MjpegCamera(lambda: itertools.repeat(jpeg(make_pixels())), user="bob:s3cr3t9") as server,
        CaptureProcess(server.url, "door") as capture,
    ):
        assert next(iter(capture)).pixels.size
        for name in ("cmdline", "environ"):
            assert b"s3cr3t9" not in Path(f"/proc/{capture.pid}/{name}").read_bytes()


def test_lines_of_the_capture_process_lose_the_secrets_of_every_camera(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another camera's password, which this capture process never heard of."""
    Address("rtsp://bob:s3cr3t9@127.0.0.1/live")
    (tmp_path / "s3cr3t9.jpg").write_bytes(b"\xff\xd8 torn")
    cv2.imwrite(str(tmp_path / "whole.png"), make_pixels())
    with CaptureProcess(f"dir:{tmp_path}", "door") as capture:
        assert len(list(capture)) > 1
    until(lambda: "a photo is left out" in (said := capfd.readouterr().err) and "s3cr3t9" not in said, "a line", 5)


@pytest.mark.parametrize(
    "text", ["\udcff\udcfe", "rtsp://bob:\ud800x@cam/live", "rtsp://\udcff@cam", "\0", "a\nb://c@d"]
)
def test_texts_that_no_address_can_be_are_taken_and_not_shown(text: str) -> None:
    assert "\udcff" not in str(Address(text)) and "\ud800" not in masked(text) and str(Address(text)).isprintable()
