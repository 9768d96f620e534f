"""A real broker of a test's own: mosquitto, with TLS, users and rights where wanted; and somebody who reads along."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_mosquitto = pytest.mark.skipif(
    PROGRAM is None or shutil.which("mosquitto_passwd") is None,
    reason="mosquitto is missing: apt install mosquitto mosquitto-clients",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """On a port of its own, with what it is to remember in a folder, so that it outlives being killed."""

    def __init__(
        self, folder: Path, lines: Sequence[str] = (), users: dict[str, str] | None = None, acl: str = ""
    ) -> None:
        """Write its configuration, and start it.

        Args:
            folder: for all it needs.
            lines: of its configuration, beside the usual.
            users: passwords by name; None: everybody may come in.
            acl: who may read and write what.
        """
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        self.port = free_port()
        self._config, self._process = folder / "mosquitto.conf", None
        text = [
            f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if users else 'true'}",
            "persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1",
            *lines,
        ]  # fmt: skip
        if users:
            for name, password in users.items():
                new = [] if (folder / "users").exists() else ["-c"]
                told = ["mosquitto_passwd", "-b", *new, str(folder / "users"), name, password]
                subprocess.run(told, check=True, capture_output=True)
            (folder / "users").chmod(0o644)
            text.append(f"password_file {folder}/users")
        if acl:
            (folder / "acl").write_text(acl)
            text.append(f"acl_file {folder}/acl")
        self._config.write_text("\n".join([*text, "user root", ""]))
        self._said = folder / "mosquitto.log"
        self.start()

    def start(self) -> None:
        with self._said.open("a") as said:
            self._process = subprocess.Popen([str(PROGRAM), "-c", str(self._config), "-v"], stdout=said, stderr=said)
        wait_for(self._listens)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def freeze(self, still: bool = True) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.said
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Reader:
    """Subscribes to everything, usually with a session that lasts, and keeps what comes."""

    def __init__(
        self,
        port: int,
        topic: str = "#",
        user: str = "",
        password: str = "",
        name: str = "reader",
        lasting: bool = True,
    ) -> None:
        import paho.mqtt.client as paho

        self.messages: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, clean_session=not lasting)
        self._client.reconnect_delay_set(1, 1)
        self._subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, m: self.messages.append((m.topic, bytes(m.payload), m.retain))
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(20)

    def publish(self, topic: str, payload: str | bytes, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(20)

    def payloads(self, topic: str) -> list[Any]:
        """What came on a topic, parsed; an empty payload as None."""
        return [json.loads(payload) if payload else None for name, payload, _ in self.messages if name == topic]

    def last(self, topic: str) -> bytes | None:
        found = [payload for name, payload, _ in self.messages if name == topic]
        return found[-1] if found else None

    def settled(self, quiet_s: float = 0.3) -> None:
        """Wait until nothing more comes."""
        count = -1
        while count != len(self.messages):
            count = len(self.messages)
            time.sleep(quiet_s)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def retained(port: int, topic: str = "#") -> dict[str, bytes]:
    """Everything the broker keeps for those who come later."""
    reader = Reader(port, topic, name=f"late{time.monotonic_ns()}", lasting=False)
    reader.settled()
    reader.close()
    return {name: payload for name, payload, kept in reader.messages if kept}
