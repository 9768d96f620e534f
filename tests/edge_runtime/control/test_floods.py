"""Whoever may speak to the daemon cannot lock others out, fill its memory, or make it raise."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.control.client import ControlClient
from edge_runtime.control.protocol import MAX_PAYLOAD
from edge_runtime.control.server import MOST_CONNECTIONS, ControlServer
from edge_runtime.errors import ControlError
from tests.running_service import until


def handle(command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
    return {"command": command, "payload": len(payload)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    with ControlServer(tmp_path / "control.sock", handle) as server:
        yield server


def memory_mb() -> float:
    status = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("Anonymous:"))) / 1024


def header_of(payload: int) -> bytes:
    text = json.dumps({"command": "enroll", "arguments": {}, "payload": payload}).encode()
    return struct.pack(">I", len(text)) + text


def asked(path: Path) -> float:
    """Seconds that ``status`` took, as the slowest of five."""
    slowest = 0.0
    for _ in range(5):
        started = time.monotonic()
        assert ControlClient(path).call("status", {})["command"] == "status"
        slowest = max(slowest, time.monotonic() - started)
    return slowest


@pytest.mark.parametrize("said", [b"", b"\0\0", struct.pack(">I", 1000) + b"{", header_of(5000) + b"x" * 4999])
def test_five_hundred_connections_that_hold_back_lock_nobody_out(server: ControlServer, said: bytes) -> None:
    before_threads = threading.active_count()
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.connect(str(server.path))
            with contextlib.suppress(OSError):
                silent.sendall(said)
        assert asked(server.path) < 3
        assert len(list(Path("/proc/self/fd").iterdir())) < 500 + MOST_CONNECTIONS + 100
        assert threading.active_count() <= before_threads + 8


def test_eight_payloads_of_64_mib_take_the_memory_of_two(tmp_path: Path) -> None:
    """One that is being read, and one copy of it."""
    stop, peak = threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], memory_mb())

    def send(path: Path, piece: memoryview) -> None:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.connect(str(path))
            connection.sendall(header_of(MAX_PAYLOAD))
            for _ in range(MAX_PAYLOAD // len(piece)):
                connection.sendall(piece)
            connection.recv(4096)

    piece = memoryview(bytes(1 << 20))
    with ControlServer(tmp_path / "control.sock", handle) as server:
        before = memory_mb()
        watcher = threading.Thread(target=watch)
        senders = [threading.Thread(target=send, args=(server.path, piece)) for _ in range(8)]
        for thread in (watcher, *senders):
            thread.start()
        slowest = asked(server.path)
        for thread in senders:
            thread.join(120)
        stop.set()
        watcher.join()
        assert peak[0] - before < 170, f"{peak[0] - before:.0f} MB"
        assert slowest < 5
        assert ControlClient(server.path).call("enroll", {}, bytes(MAX_PAYLOAD))["payload"] == MAX_PAYLOAD
        until(lambda: memory_mb() - before < 40, "its memory given back", 20)


def test_who_does_not_take_an_answer_keeps_no_place(tmp_path: Path) -> None:
    def wordy(command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
        return {"command": command, "picture": "x" * (4 << 20 if command == "live" else 0)}

    request = json.dumps({"command": "live"}).encode()
    with ControlServer(tmp_path / "control.sock", wordy) as server, contextlib.ExitStack() as stack:
        for _ in range(40):
            deaf = stack.enter_context(socket.socket(socket.AF_UNIX))
            deaf.connect(str(server.path))
            deaf.sendall(struct.pack(">I", len(request)) + request)
        assert asked(server.path) < 5


def test_a_request_that_waits_for_its_turn_too_long_is_told(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slow(command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
        assert go_on.wait(60)
        return {}

    with ControlServer(tmp_path / "control.sock", slow, request_s=0.5, most_at_once=1) as server:
        first = threading.Thread(target=lambda: ControlClient(server.path).call("slow", {}))
        first.start()
        until(lambda: any(thread.name == "control" for thread in threading.enumerate()), "a thread")
        time.sleep(0.1)
        with pytest.raises(ControlError, match=r"within 0\.5 s, others are before it; try again"):
            ControlClient(server.path).call("status", {})
        go_on.set()
        first.join()


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 100_000, b'"\\ud800"', b"\xff\xfe{}"])
def test_json_made_to_hurt_is_one_line(server: ControlServer, text: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(server.path))
        connection.sendall(struct.pack(">I", len(text)) + text)
        answer = json.loads(connection.recv(1 << 16)[4:])
    assert answer["error"] == "ControlError" and "\n" not in answer["message"]
    assert asked(server.path) < 3 and capfd.readouterr().err == ""
