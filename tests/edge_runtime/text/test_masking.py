"""Passwords in cameras' addresses are nobody's business but the camera's."""

from __future__ import annotations

import pytest

from edge_runtime.errors import CameraError, FamiliarError
from edge_runtime.text import masking
from edge_runtime.text.masking import masked


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with no secret known."""
    monkeypatch.setattr(masking, "_known", {})
    monkeypatch.setattr(masking, "_pattern", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("v4l2:0", "v4l2:0"),
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtsp://[fe80::1]:554/live", "rtsp://[fe80::1]:554/live"),
        ("rtsp://bob:secret@cam:554/live", "rtsp://***@cam:554/live"),
        ("rtsp://bob@cam/live?x=1", "rtsp://***@cam/live?x=1"),
        ("stream:rtsp://bob:sec@ret@cam/live", "stream:rtsp://***@cam/live"),
        ("RTSP://bob:s/e?cret@cam/live", "RTSP://***@cam/live"),
        ("http://cam:8080/v?mail=a@b", "http://cam:8080/v?mail=a@b"),
        ("http://cam/v?user=bob&pwd=secret&size=3", "http://cam/v?user=***&pwd=***&size=3"),
        ("a http://b:c@d/e, 'rtsp://f:g@h/i'; j@k", "a http://***@d/e, 'rtsp://***@h/i'; j@k"),
    ],
)
def test_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize("kind", [FamiliarError, CameraError])
def test_no_error_says_one(kind: type[FamiliarError]) -> None:
    error = kind("expected a stream at rtsp://bob:secret@cam/live, found none")
    assert str(error) == "expected a stream at rtsp://***@cam/live, found none"
    assert f"{error}" == str(error)
