"""A program for each event: no shell, no environment, no key, no end without a limit."""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.protocols import Sink
from edge_runtime.sinks import open_sink, read_sink
from tests.builders import make_event
from tests.waiting import wait_for

ME = pwd.getpwuid(os.geteuid()).pw_name


def opened(*command: str, **table: Any) -> Sink:
    return open_sink(read_sink({"type": "exec", "command": [*command], "user": ME, **table}, "here"))


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", program, *arguments)


def test_it_gets_the_event_on_standard_input_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = "import json, sys; json.dump([sys.argv[2:], json.load(sys.stdin)], open(sys.argv[1], 'w'))"
    opened(*python(program, str(out), "$HOME; touch x", "`id`")).emit(make_event(3, person="Zoë"))
    arguments, event = json.loads(out.read_text())
    assert arguments == ["$HOME; touch x", "`id`"]
    assert (event["person"], event["captured_s"]) == ("Zoë", 3)


def test_it_has_no_environment_no_files_and_no_terminal_of_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("FAMILIAR_SOMETHING", "x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    kept = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    program = (
        "import json, os, sys\n"
        "fds = sorted(int(n) for n in os.listdir('/proc/self/fd'))\n"
        "mask = os.umask(0)\n"
        "told = [dict(os.environ), fds, os.getcwd(), mask, os.getsid(0) == os.getpid()]\n"
        "json.dump(told, open(sys.argv[1], 'w'))\n"
    )
    opened(*python(program, str(out))).emit(make_event())
    os.close(kept)
    environment, descriptors, folder, mask, leads = json.loads(out.read_text())
    assert set(environment) <= {"PATH", "LANG", "LC_CTYPE"}
    assert max(descriptors) <= 3, "standard streams, and the folder listed"
    assert (folder, mask, leads) == ("/", 0o077, True)


def test_the_device_key_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMILIAR_DEVICE_KEY", "k")
    with pytest.raises(ConfigError, match="FAMILIAR_DEVICE_KEY"):
        opened("/bin/true")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_root_names_whom_it_runs_as_and_that_user_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the daemon is root"):
        opened("/bin/true", user="")
    with pytest.raises(ConfigError, match="expected a user of this device"):
        opened("/bin/true", user="nosuchuser")
    out = tmp_path / "out"
    out.touch()
    out.chmod(0o666)
    descriptor = os.open(out, os.O_WRONLY)
    told = ("/bin/sh", "-c", f"id -u > /proc/{os.getpid()}/fd/{descriptor} || exit 75; id -G")
    sink = opened(*told, user="nobody")
    with pytest.raises(OSError, match="exit code 75"):
        sink.emit(make_event())  # nobody may not look into root's process
    os.close(descriptor)
    program = "/bin/sh", "-c", "test $(id -u) = $(id -u nobody) && test $(id -G | wc -w) = 1 || exit 75"
    opened(*program, user="nobody").emit(make_event())


def test_what_its_exit_code_says() -> None:
    opened("/bin/true").emit(make_event())
    sink = opened("/bin/false")
    sink.emit(make_event())
    assert sink.refused == 1
    with pytest.raises(OSError, match="asks to get the event again"):
        opened("/bin/sh", "-c", "exit 75").emit(make_event())
    killed = opened("/bin/sh", "-c", "kill -9 $$")
    killed.emit(make_event())
    assert killed.refused == 1


def test_a_program_that_never_ends_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = "/bin/sh", "-c", f"sleep 600 & echo $! >> {pids}; sleep 600 & echo $! >> {pids}; sleep 600"
    began_s = time.monotonic()
    with pytest.raises(TimeoutError, match="killed"):
        opened(*command, timeout_s=0.5).emit(make_event())
    assert time.monotonic() - began_s < 5
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: not alive(pid))


def test_what_it_leaves_in_the_background_does_not_stay(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    opened("/bin/sh", "-c", f"sleep 600 & echo $! > {pids}").emit(make_event())
    wait_for(lambda: not alive(int(pids.read_text())))


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_program_that_floods_fills_nobodys_log_and_is_not_slowed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "import os, sys\nfor _ in range(300): os.write(1, bytes(65536)); os.write(2, b'Ada' * 20000)\n"
    sink = opened(*python(program), timeout_s=20)
    sink.emit(make_event())
    assert sink.refused == 0
    assert capfd.readouterr() == ("", "")


def test_a_program_that_does_not_read_is_not_waited_for() -> None:
    began_s = time.monotonic()
    opened("/bin/true").emit(make_event(0, kind="degraded", camera="", reason="x" * 1_000_000))
    with pytest.raises(TimeoutError):
        opened("/bin/sleep", "600", timeout_s=0.5).emit(make_event(0, kind="degraded", reason="x" * 1_000_000))
    assert time.monotonic() - began_s < 10


def test_a_large_event_arrives_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    opened("/bin/sh", "-c", f"cat > {out}").emit(make_event(0, kind="degraded", reason="x" * 1_000_000))
    assert len(json.loads(out.read_text())["reason"]) == 1_000_000


@pytest.mark.parametrize("command", ["/nonexistent/program", "/etc/passwd", "/"])
def test_what_cannot_be_started_is_set_aside(command: str) -> None:
    with pytest.raises(SinkRefusedError, match="cannot be started"):
        opened(command).emit(make_event())


@pytest.mark.parametrize("command", [[], ["bell"], ["./bell"], "/bin/bell -v", ["/bin/bell", 3], ["/bin/be\0ll"]])
def test_a_command_that_is_no_list_with_a_whole_path_is_refused(command: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected a list|expected str|command"):
        read_sink({"type": "exec", "command": command}, "here")
