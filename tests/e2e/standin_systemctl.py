"""A stand-in for systemctl and journalctl where systemd does not run: NOT systemd, but the unit's program is real.

Called as ``systemctl`` it starts the unit's ExecStart with a NOTIFY_SOCKET, waits for READY=1 as Type=notify does, and
says whether the process lives; called as ``journalctl`` it prints what the program wrote since its last start.
A file ``root`` beside it names the folder that stands for the device's root.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).absolute().parent
STATE = HERE / "standin"
READY_S = 60.0


def program(unit: str) -> list[str]:
    """The words of ExecStart in the installed unit."""
    text = (Path((HERE / "root").read_text()) / "etc/systemd/system" / unit).read_text()
    return next(line for line in text.splitlines() if line.startswith("ExecStart=")).partition("=")[2].split()


def alive() -> int:
    """Process id of the running program; 0: it does not run."""
    try:
        pid = int((STATE / "pid").read_text())
        # The program is nobody's child by now; a zombie of a parent that does not wait counts as dead.
        return 0 if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" else pid
    except (OSError, ValueError):
        return 0


def stop() -> None:
    """End the program, and wait until it has."""
    if pid := alive():
        os.kill(pid, signal.SIGTERM)
        while alive() == pid:
            time.sleep(0.02)


def start(unit: str) -> int:
    """Start the program; 0 as soon as it says it is ready, 1 if it ends before."""
    address = STATE / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, (STATE / "journal").open("wb") as journal:
        channel.bind(str(address))
        channel.settimeout(0.1)
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        child = subprocess.Popen(
            program(unit),
            stdout=journal,
            stderr=journal,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        (STATE / "pid").write_text(str(child.pid))
        deadline = time.monotonic() + READY_S
        while child.poll() is None and time.monotonic() < deadline:
            try:
                if b"READY=1" in channel.recv(4096).split(b"\n"):
                    return 0
            except TimeoutError:
                continue
        child.kill()
        return 1


def main() -> int:
    STATE.mkdir(exist_ok=True)
    if Path(sys.argv[0]).name == "journalctl":
        sys.stdout.write((STATE / "journal").read_text())
        return 0
    verb, unit = sys.argv[1], sys.argv[-1]
    enabled = STATE / "enabled"
    if verb in ("stop", "restart"):
        stop()
    if verb == "restart":
        return start(unit)
    if verb == "enable":
        enabled.touch()
    if verb == "disable":
        enabled.unlink(missing_ok=True)
    if verb == "show":
        print(alive())
        return 0
    if verb == "is-active":
        return 0 if alive() else 3
    if verb == "is-enabled":
        return 0 if enabled.exists() else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
