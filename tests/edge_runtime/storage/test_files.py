"""Files and folders are there whole or not at all, whatever ends their writer."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_runtime.errors import InputError
from edge_runtime.storage.files import replacing, replacing_folder, write_whole
from tests.builders import ROOT
from tests.small_disk import fill, needs_root, small_disk

_WRITER = """
import signal, sys
from edge_runtime.app.command_line import leave
from edge_runtime.storage.files import {writer}
signal.signal(signal.SIGTERM, leave)
with {writer}(__import__("pathlib").Path(sys.argv[1])) as draft:
    (draft / "part" if draft.is_dir() else draft).write_text("half")
    print("half-way", flush=True)
    signal.pause()
"""


def stopped_half_way(target: Path, kind: signal.Signals, writer: str = "replacing") -> list[str]:
    """What lies in the folder after a writer of ``target`` got a signal in the middle."""
    code = _WRITER.format(writer=writer)
    process = subprocess.Popen([sys.executable, "-c", code, target], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "half-way\n"
    process.send_signal(kind)
    process.wait(30)
    process.stdout.close()
    return names(target.parent)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    with pytest.raises(InputError, match="No such file"):
        write_whole(target, "")  # a folder that was mistyped is not made
    with replacing(target) as draft:
        draft.write_text("0")
    for value in ("", "1", "2"):
        write_whole(target, value)
        assert target.read_text() == value
    assert names(target.parent) == ["a.json"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(target):
        (tmp_path / "elsewhere").read_bytes()  # of no concern to the writer
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_mode_stays_unless_one_is_asked_for(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        target = tmp_path / "a"
        write_whole(target, b"1")
        assert mode(target) == 0o644
        target.chmod(0o640)
        write_whole(target, b"2")
        assert mode(target) == 0o640
        write_whole(target, b"3", 0o600)
        assert mode(target) == 0o600
    finally:
        os.umask(old)


@pytest.mark.parametrize("writer", ["replacing", "replacing_folder"])
def test_a_request_to_stop_leaves_nothing_half_written(tmp_path: Path, writer: str) -> None:
    assert stopped_half_way(tmp_path / "a.txt", signal.SIGTERM, writer) == []


@pytest.mark.parametrize("writer", ["replacing", "replacing_folder"])
def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_one_keeps_its_draft(
    tmp_path: Path, writer: str
) -> None:
    left = stopped_half_way(tmp_path / "a.txt", signal.SIGKILL, writer)
    assert len(left) == 1 and "a.txt" not in left
    with replacing(tmp_path / "a.txt") as draft:
        draft.write_text("first")
        write_whole(tmp_path / "a.txt", "second")
        assert draft.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "first"


def test_a_folder_takes_the_place_of_the_old_one_or_leaves_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "b"
    for number in range(2):
        with replacing_folder(target) as draft:
            assert not any(draft.iterdir())
            (draft / f"{number}").write_text("whole")
        assert names(target) == [f"{number}"]
    with pytest.raises(RuntimeError), replacing_folder(target) as draft:
        (draft / "half").write_text("half")
        raise RuntimeError
    assert names(target) == ["1"] and names(target.parent) == ["b"]


def test_at_no_moment_is_a_folder_not_there(tmp_path: Path) -> None:
    target = tmp_path / "b"
    with replacing_folder(target) as draft:
        (draft / "file").touch()
    missed, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            if not (target / "file").exists():
                missed.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(200):
        with replacing_folder(target) as draft:
            (draft / "file").touch()
    done.set()
    watcher.join()
    assert not missed and names(tmp_path) == ["b"]


@needs_root
@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, folder: bool) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        target = disk / "a"
        if folder:
            target.mkdir()
        else:
            target.write_text("old")
        fill(disk)
        with pytest.raises(InputError, match="make room") as caught:
            if folder:
                with replacing_folder(target) as draft:
                    (draft / "part").write_bytes(bytes(10**6))
            else:
                write_whole(target, bytes(10**6))
        assert "\n" not in str(caught.value)
        assert target.is_dir() if folder else target.read_text() == "old"
        assert [name for name in names(disk) if "partial" in name] == []
