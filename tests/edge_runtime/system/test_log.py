"""What the log's lines look like, which ones are left out, and what no line ever holds."""

from __future__ import annotations

import io
import json
import os
import threading

import pytest

from edge_runtime.config import LogConfig
from edge_runtime.errors import CameraError
from edge_runtime.system.log import Log
from edge_runtime.text import masking
from edge_runtime.text.masking import masked


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_text_is_a_message_and_fields(stream: io.StringIO) -> None:
    log = Log(stream=stream)
    log.info("read again")
    log.warning("degraded", part="camera front", reason='says "no"\nand hangs', count=3)
    assert lines_of(stream) == [
        "familiar: read again",
        'familiar: warning: degraded part="camera front" reason="says \\"no\\"\\nand hangs" count=3',
    ]


def test_json_is_one_object_a_line(stream: io.StringIO) -> None:
    Log(LogConfig(format="json"), stream).error("failing", part="tpu", count=3)
    (line,) = lines_of(stream)
    document = json.loads(line)
    assert document.pop("time") > 1e9
    assert document == {"level": "error", "message": "failing", "part": "tpu", "count": 3}


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    log = Log(LogConfig(level="warning"), stream)
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert lines_of(stream) == ["familiar: warning: c"]


def test_the_same_message_waits_and_says_how_many_were_left_out(stream: io.StringIO) -> None:
    clock = Clock()
    log = Log(LogConfig(every_s=10), stream, clock)
    for second in range(13):
        clock.now = second
        log.warning("lost", camera="front", attempt=second)
        if second == 3:
            log.warning("lost", camera="hall", attempt=0)
    assert lines_of(stream) == [
        "familiar: warning: lost camera=front attempt=0",
        "familiar: warning: lost camera=hall attempt=0",
        "familiar: warning: lost camera=front attempt=10 left_out=9",
    ]
    log.flush()
    log.flush()
    assert lines_of(stream)[3:] == ["familiar: warning: lost camera=front attempt=12 left_out=2"]


def test_counting_repetitions_does_not_grow_without_end(stream: io.StringIO) -> None:
    log = Log(stream=stream)
    for number in range(5000):
        log.info(f"message {number}")
        log.info(f"message {number}")
    assert len(lines_of(stream)) == 5000
    log.flush()
    counted = lines_of(stream)[5000:]
    assert 0 < len(counted) <= 500 and all(line.endswith("left_out=1") for line in counted)


def test_names_are_written_only_where_asked_for(stream: io.StringIO) -> None:
    log = Log(LogConfig(every_s=0), stream)
    log.hide(["Ada", "Zoë Al", "Al"])
    log.info("enrolled", person="Ada", reason="ADA resembles Zoë Al, Albert does not, al does")
    assert lines_of(stream) == [
        'familiar: enrolled reason="somebody resembles somebody, Albert does not, somebody does"'
    ]
    log.configure(LogConfig(names=True, every_s=0))
    log.info("enrolled", person="Ada")
    assert lines_of(stream)[1:] == ["familiar: enrolled person=Ada"]


def test_a_name_that_is_a_small_word_does_not_change_lines(stream: io.StringIO) -> None:
    log = Log(LogConfig(every_s=0), stream)
    log.hide(["a", "An", "will", "Of", "Jo"])
    log.warning(
        "a photo is left out", reason="a.jpg: expected a picture of one face, it will not do; 'a' and 'Jo' know"
    )
    log.warning("Jo is in an open file", who="will")
    assert lines_of(stream) == [
        'familiar: warning: a photo is left out reason="a.jpg: expected a picture of one face, it will not do; '
        "'somebody' and 'somebody' know\"",
        "familiar: warning: somebody is in an open file who=somebody",
    ]


def test_the_journal_gets_priorities_instead_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "w") as writer:
        found = os.fstat(write)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        log = Log(stream=writer)
        log.warning("degraded", part="tpu")
        log.error("failing")
        log.info("recovered")
        assert [reader.readline() for _ in range(3)] == ["<4>degraded part=tpu\n", "<3>failing\n", "<6>recovered\n"]


def test_a_reader_that_is_gone_is_no_fault_of_the_daemon() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    Log(stream=stream).info("hello")
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_lines_of_several_threads_stay_whole(stream: io.StringIO) -> None:
    log = Log(LogConfig(every_s=0), stream)
    threads = [threading.Thread(target=lambda: [log.info("x" * 100) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines_of(stream) == ["familiar: " + "x" * 100] * 200


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with no secret known."""
    monkeypatch.setattr(masking, "_known", {})
    monkeypatch.setattr(masking, "_pattern", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v4l2:0", "v4l2:0"),
        ("file:///tmp/a.mp4?loop", "file:///tmp/a.mp4?loop"),
        ("rtsp://host/stream", "rtsp://host/stream"),
        ("rtsp://user:pass@host:554/a", "rtsp://***@host:554/a"),
        ("rtsp://user:p@ss/w@host/a", "rtsp://***@host/a"),
        ("cannot open '//user:pass@host/a', try rtsp://b:c@d", "cannot open '//***@host/a', try rtsp://***@d"),
        ("http://host/a?size=3&token=abc&x=1", "http://host/a?size=3&token=***&x=1"),
    ],
)
def test_passwords_in_addresses_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert str(CameraError(text)) == expected
    stream = io.StringIO()
    Log(stream=stream).info(text, source=text)
    assert "pass" not in stream.getvalue() and "abc" not in stream.getvalue()


def test_another_reason_is_another_message_but_not_another_number(stream: io.StringIO) -> None:
    log = Log(LogConfig(every_s=10), stream)
    for reason in ("mode 0644", "mode 0600", "not a database"):
        log.warning("degraded", part="gallery", reason=reason)
    assert [line.partition("reason=")[2] for line in lines_of(stream)] == ['"mode 0644"', '"not a database"']
