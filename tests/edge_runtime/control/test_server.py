"""The control socket, over real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.control.client import ControlClient
from edge_runtime.control.protocol import MAX_PAYLOAD
from edge_runtime.control.server import ControlServer, check_peer
from edge_runtime.errors import ControlError, EnrolmentError, FamiliarError, InputError, UsageError


def handle(command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
    if command == "refuse":
        raise EnrolmentError("Ada: expected a usable photo, found none; take another")
    if command == "break":
        raise ZeroDivisionError("a fault of ours")
    return {"command": command, "arguments": arguments, "payload": len(payload), "sum": sum(payload[:1000])}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    with ControlServer(tmp_path / "run" / "control.sock", handle, request_s=0.3) as server:
        yield server


@pytest.fixture
def client(server: ControlServer) -> ControlClient:
    found = ControlClient.connect(server.path)
    assert found is not None
    return found


def raw(path: Path, data: bytes, hang_up: bool = True) -> bytes:
    """Send bytes as they are; everything the server answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(data)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        return answer


def test_no_daemon_is_no_client(tmp_path: Path) -> None:
    assert ControlClient.connect(tmp_path / "none" / "control.sock") is None


def test_arguments_and_bytes_arrive(client: ControlClient) -> None:
    payload = bytes(range(256)) * 4000
    answer = client.call("enroll", {"name": "Zoë", "source": "a.jpg"}, payload)
    assert answer["arguments"] == {"name": "Zoë", "source": "a.jpg"}
    assert (answer["command"], answer["payload"]) == ("enroll", len(payload))


def test_a_request_with_a_picture_has_the_processor_after_everything_else(tmp_path: Path) -> None:
    def niceness(*_: Any) -> dict[str, Any]:
        return {"nice": os.getpriority(os.PRIO_PROCESS, threading.get_native_id())}

    own = niceness()["nice"]
    with ControlServer(tmp_path / "control.sock", niceness) as server:
        client = ControlClient(server.path)
        assert client.call("status", {})["nice"] == own
        assert client.call("enroll", {}, b"picture")["nice"] >= min(own + 5, 19)
        assert client.call("status", {})["nice"] == own
    assert niceness()["nice"] == own


def test_an_error_comes_back_as_itself(client: ControlClient) -> None:
    with pytest.raises(EnrolmentError, match="Ada: expected a usable photo"):
        client.call("refuse", {})


def test_a_fault_of_the_daemon_is_told_and_survived(client: ControlClient, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FamiliarError, match="ZeroDivisionError"):
        client.call("break", {})
    assert client.call("status", {})["command"] == "status"
    assert "a fault of ours" in capsys.readouterr().err


def test_a_payload_beyond_the_limit_is_not_even_sent(client: ControlClient) -> None:
    with pytest.raises(InputError, match="64 MiB"):
        client.call("enroll", {}, bytes(MAX_PAYLOAD + 1))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", b""),
        (b"\0\0", b""),
        (struct.pack(">I", 1 << 30), b"ControlError"),
        (struct.pack(">I", 4) + b"junk", b"ControlError"),
        (struct.pack(">I", 2) + b"[]", b"ControlError"),
        (struct.pack(">I", 2) + b"{}", b"UsageError"),
        (struct.pack(">I", 37) + b'{"command": "x", "payload": 99999999}', b"UsageError"),
    ],
)
def test_nonsense_is_refused_and_survived(client: ControlClient, data: bytes, says: bytes) -> None:
    answer = raw(client.path, data)
    assert says in answer
    assert bool(says) == bool(answer)
    assert client.call("status", {})["command"] == "status"


def test_a_client_that_says_nothing_is_cut_off(client: ControlClient) -> None:
    assert b"expected 4 bytes within 0.3 s" in raw(client.path, b"", hang_up=False)
    assert client.call("status", {})["command"] == "status"


def test_the_socket_is_the_owners_and_the_groups(server: ControlServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660
    assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700


def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert ControlClient.connect(path) is None
    with ControlServer(path, handle):
        assert ControlClient.connect(path) is not None


def test_a_living_daemons_socket_is_not_replaced(server: ControlServer, client: ControlClient) -> None:
    with pytest.raises(ControlError, match="running here already"):
        ControlServer(server.path, handle)
    assert client.call("status", {})["command"] == "status"


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(ControlError, match="found a file"):
        ControlServer(path, handle)
    assert path.read_text() == "mine"


def test_a_path_no_socket_can_have_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="short path"):
        ControlServer(tmp_path / ("long" * 40), handle)
    with pytest.raises(ControlError, match="short path"):
        ControlClient.connect(tmp_path / ("long" * 40))


def test_closing_removes_the_socket_and_may_be_repeated(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / "control.sock", handle)
    client = ControlClient.connect(server.path)
    server.close()
    server.close()
    assert not server.path.exists()
    assert client is not None
    with pytest.raises(ControlError, match="went away"):
        client.call("status", {})


def test_closing_leaves_the_socket_of_a_successor(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    first = ControlServer(path, handle)
    path.unlink()
    with ControlServer(path, handle):
        first.close()
        assert ControlClient.connect(path) is not None


def test_the_kernel_says_who_speaks() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert check_peer(ours, group=-1) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take the place of another user")
def test_another_user_needs_the_group() -> None:
    nobody, outside = 65534, 54321
    os.seteuid(nobody)
    try:
        ours, theirs = socket.socketpair()
    finally:
        os.seteuid(0)
    with ours, theirs:
        with pytest.raises(ControlError, match="expected root, the daemon's user or group"):
            check_peer(ours, group=outside)
        assert check_peer(ours, group=os.getegid()) == nobody


def test_an_unknown_error_of_a_newer_daemon_is_still_one_of_ours(tmp_path: Path) -> None:
    class NewerError(UsageError):
        pass

    def newer(command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
        raise NewerError("something new")

    with ControlServer(tmp_path / "control.sock", newer) as server, pytest.raises(FamiliarError, match="something new"):
        ControlClient(server.path).call("status", {})


def test_a_slow_client_keeps_no_other_waiting(tmp_path: Path) -> None:
    with ControlServer(tmp_path / "control.sock", handle, request_s=60) as server:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for connection in silent:
            connection.connect(str(server.path))
            connection.sendall(b"\0\0")
        started = time.monotonic()
        assert ControlClient(server.path).call("status", {})["command"] == "status"
        assert time.monotonic() - started < 30
        for connection in silent:
            connection.close()


def test_a_slow_answer_keeps_no_other_waiting(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
        if command == "slow":
            entered.set()
            assert go_on.wait(60)
        return {"command": command}

    with ControlServer(tmp_path / "control.sock", slow) as server:
        client, answers = ControlClient(server.path), list[dict[str, Any]]()
        thread = threading.Thread(target=lambda: answers.append(client.call("slow", {})))
        thread.start()
        assert entered.wait(60)
        assert client.call("status", {}) == {"command": "status"}
        go_on.set()
        thread.join()
        assert answers == [{"command": "slow"}]


def test_more_clients_than_places_wait_and_are_told(tmp_path: Path) -> None:
    with ControlServer(tmp_path / "control.sock", handle, request_s=2, most_at_once=1) as server:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(server.path))
            with contextlib.suppress(ControlError):  # told, where the silent one's time was not over first
                assert ControlClient(server.path).call("status", {})["command"] == "status"
        assert ControlClient(server.path).call("status", {})["command"] == "status"
        assert threading.active_count() < 20


def test_garbage_of_every_kind_is_survived(client: ControlClient) -> None:
    rng = random.Random(0)
    for _ in range(60):
        body = rng.randbytes(rng.randrange(200))
        data = rng.choice([body, struct.pack(">I", len(body)) + body, struct.pack(">I", 2**32 - 1) + body])
        answer = raw(client.path, data)
        assert not answer or json.loads(answer[4:])["error"] in ("ControlError", "UsageError")
        assert b"\\n" not in answer
    assert client.call("status", {})["command"] == "status"
