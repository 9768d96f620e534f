"""Seconds from ``familiar deploy`` to a notification with name and picture, and every command that was typed.

python -m tests.benchmarks.first_notification --out docs/outputs/first-notification.md

The device is a folder behind a real sshd on the loopback address, with a stand-in for systemd; its camera is the
synthetic one, in which people come and go. A web server in this process takes the notification.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.outputs import scene_people
from tests.builders import RELEASED, ROOT
from tests.e2e.loopback import Loopback, missing, stand_in_for_systemd, start_sshd
from tests.http_receiver import HttpReceiver
from tests.waiting import wait_for

CONFIGURATION = """[camera.front]
source = "synthetic:loop,realtime,fps=10"

[events]
keep = "crops"

[[sink]]
type = "webhook"
url = "{url}"
kinds = ["identified"]
picture = "crop"
"""


class Session:
    """A person at a desktop: what they type, and when each command was done."""

    def __init__(self, loopback: Loopback, root: Path) -> None:
        self._loopback, self._root = loopback, root
        self._began_s = time.monotonic()
        self.rows: list[tuple[str, float]] = []
        self.said = ""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def type(self, shown: str, words: list[str]) -> None:
        """Run a command; ``shown`` is what a person types where the device is a real one."""
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{shown}: {done.stdout}{done.stderr}")
        self.said += done.stdout
        self.rows.append((shown, self.elapsed_s))

    def deploy(self, config: Path, watch_s: int) -> None:
        own = ["--bundle", RELEASED, "--root", self._root, "--user", getpass.getuser(), "--watch", watch_s]
        words = ["deploy", self._loopback.host, "--config", config, *self._loopback.options, *own]
        shown = "familiar deploy pi@raspberrypi.local --config familiar.toml"
        self.type(shown, [sys.executable, "-m", "edge_runtime", *map(str, words)])

    def ssh(self, shown: str, command: str, *, port: str = "-p", program: str = "ssh") -> None:
        _, number, _, identity, *options = self._loopback.options
        self.type(shown, [program, port, number, "-i", identity, *options, *shlex.split(command)])


def measure(folder: Path, watch_s: int) -> tuple[Session, float, dict[str, object]]:
    """Deploy, enrol, and wait for the notification: the session, its seconds, and the event that came."""
    (folder / "sshd").mkdir()
    server, loopback = start_sshd(folder / "sshd")
    root = folder / "device"
    (root / "run/systemd/system").mkdir(parents=True)
    stand_in_for_systemd(loopback, root)
    (folder / "photos").mkdir()
    name, photos = next(iter(scene_people(folder / "photos").items()))
    receiver = HttpReceiver()
    config = folder / "familiar.toml"
    config.write_text(CONFIGURATION.format(url=receiver.url))
    session = Session(loopback, root)
    try:
        session.deploy(config, watch_s)
        files = " ".join(map(str, photos))
        target = f"{loopback.host}:{root}"
        session.ssh(f"scp {name}*.jpg pi@raspberrypi.local:", f"-O {files} {target}", port="-P", program="scp")
        there = " ".join(str(root / photo.name) for photo in photos)
        command = f"{loopback.host} {root}/usr/local/bin/familiar enroll {name} {there}"
        session.ssh(f"ssh -t pi@raspberrypi.local sudo familiar enroll {name} {name}*.jpg", command)
        wait_for(lambda: bool(receiver.requests), 600)
        seconds = session.elapsed_s
        event = json.loads(receiver.requests[0].body)
    finally:
        subprocess.run([loopback.commands / "systemctl", "stop", "familiar.service"])
        server.terminate()
        receiver.leave()
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(event["picture"]), np.uint8), cv2.IMREAD_COLOR)
    if event["person"] != name or picture is None:
        sys.exit(f"expected a notification of {name} with a picture, found one of {event['person']}")
    return session, seconds, {**event, "picture": f"{picture.shape[1]}x{picture.shape[0]} px"}


def main() -> None:
    """Measure once, and write a page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--watch", type=int, default=20, help="as of familiar deploy")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if missing():
        sys.exit(missing())
    with tempfile.TemporaryDirectory() as folder:
        session, seconds, event = measure(Path(folder), args.watch)
    rows = [f"| `{shown}` | {done_s:.0f} s |" for shown, done_s in session.rows]
    rows.append(
        f"| the notification is there: {event['person']}, with a picture of {event['picture']} | {seconds:.0f} s |"
    )
    installed = next(line.strip() for line in session.said.splitlines() if "installed familiar" in line)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = ["`python -m tests.benchmarks.first_notification`:", "", "| typed | done after |", "|---|---|", *rows]
    args.out.write_text("\n".join(lines) + f"\n\nOf the deployment: `{installed}`.\n")
    print(args.out.read_text(), session.said)


if __name__ == "__main__":
    main()
