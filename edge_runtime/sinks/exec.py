"""A program of the owner's for each event, which gets it as JSON on standard input; never through a shell.

A face alone opens no door: there is no check that it is a living one, and a photo passes for it.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.schema.table import key
from edge_runtime.storage.keys import KEY_VARIABLE
from edge_runtime.types import Event

TEMPORARY = 75
"""EX_TEMPFAIL of sysexits(3): the program asks to get this event again."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_POLL_S = 0.01
_WHERE = "sink exec"


@dataclass(frozen=True)
class Settings:
    """Keys of a ``[[sink]]`` table of this type."""

    command: tuple[str, ...] = key(help="the program, by its whole path, and its arguments; no shell reads them")
    timeout_s: float = key(10.0, "seconds it may take; then it is killed, with all that it has started", 0.1, 3600)
    user: str = key("", "user it runs as, where the daemon is root; empty: the daemon's own")

    def __post_init__(self) -> None:
        if not self.command or not Path(self.command[0]).is_absolute() or any("\0" in part for part in self.command):
            raise ConfigError(
                f"{_WHERE}, command: expected a list that begins with the whole path of a program, as "
                f'["/usr/local/bin/bell", "-v"], found {list(self.command)!r}'
            )

    @property
    def target(self) -> str:
        """What distinguishes it from others of its kind."""
        return self.command[0]


def open(settings: Settings) -> ExecSink:
    """A sink that runs this program.

    Raises:
        ConfigError: the device key is in the environment, where every program of this user can read it; the daemon is
            root and no user is named; or there is no such user.
    """
    return ExecSink(settings)


class ExecSink:
    """See ``protocols.Sink``: one program at a time; what it exits with says how the event fared.

    0: it has it. 75: again, later. Anything else: it never takes this one, which is counted.
    """

    lasting = True
    pictures = "none"

    def __init__(self, settings: Settings) -> None:
        """See :func:`open`."""
        self.refused = 0
        self._settings = settings
        self._closed = False
        self._user = self._find_user()
        if KEY_VARIABLE in os.environ:
            raise ConfigError(
                f"{_WHERE}: expected the device key in a file or a credential, found it in {KEY_VARIABLE}, where a "
                "program that an event starts could read it; see [gallery] key_file"
            )

    def emit(self, event: Event) -> None:
        """Run the program.

        Raises:
            ValueError: closed.
            SinkRefusedError: it cannot be started.
            OSError: it took too long, or asks to get the event again.
        """
        if self._closed:
            raise ValueError("sink: closed; open it again")
        line = json.dumps(event.as_json(), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        program = self._start()
        try:
            code = self._finish(program, line)
        finally:
            # The program is not reaped yet, so that its number is still its own.
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        if code is None:
            raise TimeoutError(f"{self._settings.target}: not done in {self._settings.timeout_s:g} s, and killed")
        if code == TEMPORARY:
            raise ConnectionError(f"{self._settings.target}: asks to get the event again (exit code {code})")
        self.refused += code != 0

    def flush(self) -> None:
        """Nothing: what was emitted is done."""

    def close(self) -> None:
        """End; a program under way is not waited for. May be called again."""
        self._closed = True

    def _start(self) -> subprocess.Popen[bytes]:
        account = self._user
        try:
            return subprocess.Popen(
                self._settings.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                # A program that floods would fill the journal, or the disk, and may say names there.
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
                umask=0o077,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )
        except (FileNotFoundError, PermissionError, OSError) as error:
            if isinstance(error, BlockingIOError | InterruptedError) or error.errno == 12:
                raise
            raise SinkRefusedError(f"{self._settings.target}: cannot be started ({error.strerror})") from error

    def _finish(self, program: subprocess.Popen[bytes], line: bytes) -> int | None:
        """What it exits with; None: it takes too long. It is left unreaped."""
        until_s = time.monotonic() + self._settings.timeout_s
        assert program.stdin is not None
        os.set_blocking(program.stdin.fileno(), False)
        done = None
        while done is None and time.monotonic() < until_s and not self._closed:
            if line:
                line = _fed(program, line)
            done = os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if done is None:
                time.sleep(_POLL_S)
        with suppress(OSError):
            program.stdin.close()
        if done is None:
            return None
        return done.si_status if done.si_code == os.CLD_EXITED else 128 + done.si_status

    def _find_user(self) -> pwd.struct_passwd | None:
        name = self._settings.user
        if not name:
            if os.geteuid() == 0:
                raise ConfigError(f'{_WHERE}, user: expected whom the program runs as, as "nobody"; the daemon is root')
            return None
        try:
            account = pwd.getpwnam(name)
        except KeyError as error:
            raise ConfigError(f"{_WHERE}, user: expected a user of this device, found {name!r}") from error
        return None if account.pw_uid == os.geteuid() else account


def _fed(program: subprocess.Popen[bytes], line: bytes) -> bytes:
    """What is left of a line after the program has taken what it can; it need not read at all."""
    assert program.stdin is not None
    try:
        line = line[os.write(program.stdin.fileno(), line) :]
    except BlockingIOError:
        return line
    except OSError:
        line = b""
    if not line:
        with suppress(OSError):
            program.stdin.close()
    return line
