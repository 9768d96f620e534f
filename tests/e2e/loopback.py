"""A real sshd on a loopback port, with keys of its own, and a folder that stands for a device's root."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

STANDIN = Path(__file__).parent / "standin_systemctl.py"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Loopback:
    """Where sshd listens, and what a client needs to reach it.

    Attributes:
        host: ``USER@127.0.0.1``.
        options: of ``familiar deploy``.
        commands: first folder of the path of every session: holds what stands in for systemd.
        home: folder of the account there.
        folder: everything else of it.
    """

    host: str
    options: tuple[str, ...]
    commands: Path
    home: Path
    folder: Path


def missing() -> str:
    """Why no device can be played here; empty: one can."""
    wanted = {"ssh": shutil.which("ssh"), "sshd": SSHD, "ssh-keygen": shutil.which("ssh-keygen")}
    names = [name for name, path in wanted.items() if path is None]
    return f"needs {' and '.join(names)} (openssh-server, openssh-client)" if names else ""


def start_sshd(folder: Path, environment: str = "") -> tuple[subprocess.Popen[bytes], Loopback]:
    """Start sshd on a free port, with ``NAME=VALUE …`` of its own in every session; the caller ends it."""
    assert SSHD is not None
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    commands, home = folder / "commands", folder / "home"
    commands.mkdir()
    home.mkdir()
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as the system's own start of sshd does
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user_key.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        # Spares the suite the compilation of all of numpy at each installation (pip wants a 0 for that).
        f"SetEnv HOME={home} PATH={commands}:/usr/local/bin:/usr/bin:/bin:{sys.base_prefix}/bin PIP_NO_COMPILE=0 "
        f"{environment}\n"
    )
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    _await_banner(server, port, folder / "sshd.log")
    options = (
        *("--port", str(port), "--identity", str(folder / "user_key")),
        *("-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
    )
    return server, Loopback(f"{getpass.getuser()}@127.0.0.1", options, commands, home, folder)


def stand_in_for_systemd(loopback: Loopback, root: Path) -> None:
    """Let sessions there find ``standin_systemctl.py`` in systemd's place, for the device whose root is ``root``."""
    for name in ("systemctl", "journalctl"):
        (loopback.commands / name).write_text(f"#!{sys.executable}\n{STANDIN.read_text()}")
        (loopback.commands / name).chmod(0o755)
    (loopback.commands / "root").write_text(str(root))


def _await_banner(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError(f"sshd does not answer: {log.read_text()}")
