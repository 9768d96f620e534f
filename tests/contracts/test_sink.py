"""One suite over every sink."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.backends import backend_names
from edge_runtime.errors import ConfigError
from edge_runtime.sinks import open_sink
from edge_runtime.types import Event


def make_event(number: int = 0) -> Event:
    return Event("identified", "door", 1_700_000_000.0 + number, float(number), person="Zoë", margin=math.inf)


def _jsonlines(folder: Path) -> tuple[str, Callable[[], list[dict[str, object]]]]:
    path = folder / "events" / "log.jsonl"
    return f"jsonlines:{path}", lambda: [json.loads(line) for line in path.read_text().splitlines()]


BACKENDS = {"jsonlines": _jsonlines}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], list[dict[str, object]]]]:
    return BACKENDS[request.param](tmp_path)


def test_every_sink_is_in_this_suite() -> None:
    assert set(BACKENDS) == set(backend_names("edge_runtime.sinks"))


def test_events_arrive_whole_and_in_order(backend: tuple[str, Callable[[], list[dict[str, object]]]]) -> None:
    spec, read = backend
    sink = open_sink(spec)
    assert read() == []
    for number in range(3):
        sink.emit(make_event(number))
    assert [event["captured_s"] for event in read()] == [0, 1, 2]
    assert read()[0]["person"] == "Zoë"
    assert read()[0]["margin"] is None
    sink.close()


def test_a_later_sink_writes_behind_the_earlier(backend: tuple[str, Callable[[], list[dict[str, object]]]]) -> None:
    spec, read = backend
    for number in range(2):
        sink = open_sink(spec)
        sink.emit(make_event(number))
        sink.close()
    assert len(read()) == 2


def test_closing_may_be_repeated_and_ends_emitting(
    backend: tuple[str, Callable[[], list[dict[str, object]]]],
) -> None:
    sink = open_sink(backend[0])
    sink.close()
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.emit(make_event())


def test_a_new_event_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_sink(f"jsonlines:{tmp_path / 'log'}").close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_standard_output_gets_lines_and_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    sink = open_sink("jsonlines:-")
    sink.emit(make_event())
    sink.close()
    print("still there", flush=True)
    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["kind"] == "identified"
    assert second == "still there"


@pytest.mark.parametrize("spec", ["jsonlines:/", "jsonlines:/proc/none/log", "jsonlines:", "smoke:signals"])
def test_a_sink_that_cannot_be_is_a_configuration_error(spec: str) -> None:
    with pytest.raises(ConfigError):
        open_sink(spec)
