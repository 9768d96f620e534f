"""A device over the user's own ``ssh``: one connection, one fixed script, every word of a command quoted."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

from edge_runtime.deploy.layout import package_text
from edge_runtime.errors import DeployError, UsageError
from edge_runtime.text.masking import masked
from edge_runtime.text.plain import printable

Line = Callable[[str, str], None]
"""Takes a kind (fact, begin, step, log, fail, or tick when nothing was said for a while) and a text."""

KINDS = ("fact", "begin", "step", "log", "fail")
_ANSWER_BYTES = 1 << 20
_ANSWER_S = 300.0
"""What a device may say of itself, and how long that may take: the sums of a release's files on a slow card."""
_LOST = 255
"""What ssh ends with when it is ssh that failed."""
_HOST = re.compile(r"[A-Za-z0-9_.@:%\[\]+-]+\Z")


class Connection:
    """A multiplexed OpenSSH connection: the user is asked for a password or a passphrase once.

    Configuration, agent and known hosts are the user's own; nothing is added to known_hosts unasked.
    """

    def __init__(
        self, host: str, port: int | None = None, identity: str | None = None, options: Sequence[str] = ()
    ) -> None:
        """Prepare; :meth:`__enter__` connects.

        Args:
            host: ``USER@HOST`` or an alias of ssh's configuration.
            port: other than ssh's own choice.
            identity: private key file.
            options: ``KEY=VALUE`` for ``ssh -o``.

        Raises:
            UsageError: a host that ssh would take for an option, or that is no host at all.
            DeployError: no ssh on this machine.
        """
        if host.startswith("-") or not _HOST.match(host):
            raise UsageError(f"expected USER@HOST, found {host!r}; name the device as ssh knows it")
        if not shutil.which("ssh"):
            raise DeployError("expected OpenSSH's ssh on this machine, found none; install openssh-client")
        self.host = host
        self._options = [word for option in options for word in ("-o", option)]
        if port is not None:
            self._options += ["-p", str(port)]
        if identity is not None:
            self._options += ["-i", identity]
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        """Connect; ssh itself asks what it has to ask.

        Raises:
            DeployError: the device cannot be reached, or does not let us in.
        """
        # A socket's path may be 104 bytes long at most, and macOS's own temporary folder takes half of them.
        self._folder = tempfile.TemporaryDirectory(prefix="familiar-", dir="/tmp")
        said = Path(self._folder.name) / "said"
        master = ["-M", "-N", "-f", "-o", "ControlPersist=300", "-o", "ConnectTimeout=20"]
        with said.open("wb") as stream:
            status = subprocess.run(
                [*self._ssh(), *master, "-o", "ServerAliveInterval=15", "--", self.host],
                stdout=subprocess.DEVNULL,
                stderr=stream,
            ).returncode
        if status:
            words = said.read_text(errors="replace").strip().splitlines()
            self._folder.cleanup()
            raise DeployError(
                f"{self.host}: cannot connect ({words[-1] if words else 'ssh said nothing'}); try: ssh {self.host}"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        subprocess.run([*self._ssh(), "-O", "exit", "--", self.host], capture_output=True)
        if self._folder:
            self._folder.cleanup()

    def _ssh(self) -> list[str]:
        assert self._folder is not None
        # The first value of an option counts, so the user's come before ours.
        return ["ssh", *self._options, "-o", f"ControlPath={self._folder.name}/mux"]

    def _command(self, words: Sequence[str], terminal: bool = False) -> list[str]:
        # With a terminal ssh would say goodbye as well.
        kind = ["-tt", "-o", "LogLevel=ERROR"] if terminal else ["-T"]
        return [*self._ssh(), *kind, "--", self.host, shlex.join(words)]

    def script(self, action: str, arguments: Sequence[str]) -> list[tuple[str, str]]:
        """Run the installing script, sent over standard input, and return the facts it prints.

        Raises:
            DeployError: it failed, or the connection was lost.
        """
        status, out, err = self._bounded(["sh", "-s", "--", action, *arguments], package_text("install.sh").encode())
        said = [line.split(" ", 1) for line in map(_printable, out.split(b"\n")) if " " in line]
        if status:
            reasons = [text for kind, text in said if kind == "fail"]
            reasons += [line for line in map(_printable, err.split(b"\n")) if line][-1:]
            raise DeployError(f"{self.host}: {reasons[0] if reasons else f'{action} ended with {status}'}")
        facts = [text.partition("=") for kind, text in said if kind == "fact"]
        return [(name, value) for name, _, value in facts]

    def _bounded(self, words: Sequence[str], given: bytes) -> tuple[int, bytes, bytes]:
        """Status and output of a command there, of which only so much is believed as one that is sound would say.

        Raises:
            DeployError: it says more, or takes longer.
        """
        with tempfile.TemporaryFile() as script, tempfile.TemporaryFile() as said:
            script.write(given)
            script.seek(0)
            process = subprocess.Popen(self._command(words), stdin=script, stdout=subprocess.PIPE, stderr=said)
            assert process.stdout
            out, until_s = b"", time.monotonic() + _ANSWER_S
            while True:
                ready = select.select([process.stdout], [], [], max(until_s - time.monotonic(), 0.0))[0]
                chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
                out += chunk
                if not ready or len(out) > _ANSWER_BYTES:
                    process.kill()
                    process.wait()
                    raise DeployError(
                        f"{self.host}: expected an answer of at most {_ANSWER_BYTES >> 20} MB within {_ANSWER_S:g} s, "
                        f"it {'says more' if ready else 'says nothing'}; look what that machine is"
                    )
                if not chunk:
                    break
            status = process.wait()
            said.seek(0)
            return status, out, said.read(_ANSWER_BYTES)

    def upload_text(self, name: str, text: str, target: str) -> None:
        """Put one small file into the folder ``target`` of the device.

        Raises:
            DeployError: the device could not take it.
        """
        with tempfile.TemporaryDirectory(prefix="familiar-") as folder:
            (Path(folder) / name).write_text(text)
            self.upload(Path(folder), target, len(text))

    def upload(self, folder: Path, target: str, size: int) -> None:
        """Put what lies in ``folder`` into the folder ``target`` of the device, as one tar stream.

        Args:
            folder: here.
            target: there; it exists.
            size: of it all, bytes, for the progress bar that a terminal gets.

        Raises:
            DeployError: the device could not take it.
        """
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                self._command(["tar", "-x", "-f", "-", "-C", target]), stdin=subprocess.PIPE, stderr=said
            )
            assert process.stdin
            bar = {"total": size, "unit": "B", "unit_scale": True, "leave": False, "disable": None, "delay": 2}
            try:
                with (
                    process.stdin,
                    tqdm.wrapattr(process.stdin, "write", **bar) as stream,
                    tarfile.open(fileobj=stream, mode="w|") as archive,
                ):
                    for path in sorted(folder.iterdir()):
                        archive.add(path, path.name, filter=_plain)
            except BrokenPipeError:
                pass  # It ended early; its output says why.
            status = process.wait()
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()
        if status:
            raise DeployError(f"{self.host}: the upload failed ({words[-1] if words else 'the connection was lost'})")

    def command(self, words: Sequence[str], line: Line, terminal: bool = False) -> bool:
        """Run a command that speaks in lines of ``KIND TEXT``; returns whether it ended well.

        Args:
            words: of the command, each sent as it is.
            line: called with each line, and with ``tick`` while no line comes.
            terminal: give the command the user's terminal, so that sudo can ask for a password.

        Raises:
            DeployError: the connection was lost.
        """
        process = subprocess.Popen(
            self._command(words, terminal),
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout
        relay(process.stdout.fileno(), line, echo=terminal)
        status = process.wait()
        if status == _LOST:
            raise DeployError(f"{self.host}: the connection was lost; the device puts back what it had, deploy again")
        return status == 0


def relay(source: int, line: Line, echo: bool = False, tick_s: float = 0.5) -> None:
    """Read lines from a file descriptor until its end.

    Args:
        source: descriptor to read.
        line: called with kind and text; a line of no known kind is a ``log``.
        echo: a line not ended yet (a question for a password) is written to the terminal at once.
        tick_s: seconds of silence after which ``line`` is called with ``tick``.
    """
    waiting, echoed = b"", False
    while True:
        if not select.select([source], [], [], tick_s)[0]:
            line("tick", "")
            continue
        chunk = os.read(source, 65536)
        *whole, waiting = (waiting + (chunk or b"\n")).split(b"\n")
        for raw in whole:
            text = _printable(raw)
            kind, _, rest = text.partition(" ")
            if echoed:
                sys.stdout.write("\r\n")
                echoed = False
            elif kind in KINDS:
                line(kind, rest)
            elif text:
                line("log", text)
        if not chunk:
            return
        if echo and waiting and not echoed and not _may_be_ours(_printable(waiting)):
            sys.stdout.write(_printable(waiting))
            sys.stdout.flush()
            echoed = True


def _printable(raw: bytes) -> str:
    """A device's words without what a terminal would obey."""
    text = raw.decode(errors="replace").rstrip("\r").replace("\t", " ")
    return masked(printable(text))


def _may_be_ours(beginning: str) -> bool:
    return any(f"{kind} ".startswith(beginning) or beginning.startswith(f"{kind} ") for kind in KINDS)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nobody's files with plain modes: who I am here means nothing there."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
