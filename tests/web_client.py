"""A real daemon with API and page, and photos of the people its synthetic camera shows."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.sources.synthetic import Scene, SceneOptions
from tests.builders import RELEASED
from tests.e2e.test_run import Daemon, starting
from tests.waiting import wait_for

httpx = pytest.importorskip("httpx", reason="httpx, of the extra dev, is not installed")

SCENE = "fps=8,size=640x480,seed=3"
CAMERA = f"synthetic:{SCENE},realtime,loop"


class Served:
    """A running daemon that serves.

    Attributes:
        url: of API and page.
        client: asks it, without a token.
        daemon: its process.
        folder: its home.
        people: whom the camera shows, capitalised as names.
    """

    def __init__(self, folder: Path, daemon: Daemon, port: int) -> None:
        self.url, self.folder, self.daemon = f"http://127.0.0.1:{port}", folder, daemon
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self._scene = Scene(SceneOptions.parse(SCENE))
        self.people = [person.title() for person in self._scene.people]

    def photo(self, name: str, variant: int = 0) -> bytes:
        """A JPEG of one of ``people``."""
        stream = io.BytesIO()
        Image.fromarray(self._scene.photo(name.lower(), variant)).save(stream, "JPEG", quality=95)
        return stream.getvalue()

    def enrol(self, name: str, photos: int = 3) -> None:
        """Enrol one of ``people`` through the API."""
        for variant in range(photos):
            answer = self.client.post(
                f"/api/faces/{name}/register", content=self.photo(name, variant), headers={"Content-Type": "image/jpeg"}
            )
            assert answer.status_code == 200 and answer.json()["accepted"], answer.text

    def web_pid(self) -> int:
        """The process that serves."""
        for pid in self.daemon.capture_pids():
            if b"edge_runtime.web" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError("no process serves")


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Served]:
    """A daemon with the released bundle whose API answers."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    port = free_port()
    always = (
        "--set",
        f"bundle.path={RELEASED}",
        "--camera",
        f"front={CAMERA}",
        "--set",
        f"web.listen=127.0.0.1:{port}",
    )
    with starting(folder, *always, *arguments) as start:
        served = Served(folder, start(), port)
        wait_for(lambda: answers(served), 60)
        yield served


def answers(served: Served) -> bool:
    """Whether the daemon behind the API answers."""
    try:
        return bool(served.client.get("/api/health").json()["state"] != "away")
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
