"""A power cut or ``kill -9`` at any moment: every acknowledged change is there, and the file is sound."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.builders import ROOT
from tests.gallery_workload import SIZE, State, expected, found, make_older, open_gallery, operations
from tests.power_loss import STRACE, Disk, record

OPERATIONS = int(os.environ.get("POWER_LOSS_OPERATIONS", "40"))
CUTS = int(os.environ.get("POWER_LOSS_CUTS", "40"))
KILLS = int(os.environ.get("POWER_LOSS_KILLS", "5"))
needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace: apt install strace")


def command(folder: Path, first: int, count: int) -> list[str]:
    return [sys.executable, "-m", "tests.gallery_workload", str(folder), "7", str(first), str(count)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def acknowledged(said: bytes) -> int:
    """How many operations were, -1: not even the opening."""
    lines = said.decode().splitlines()
    return int(lines[-1]) + 1 if lines and lines[-1].isdigit() else (0 if lines else -1)


def check(folder: Path, done: int, start: State) -> None:
    """The gallery is sound, and holds what was acknowledged, with at most the next operation beside."""
    path = folder / "state/gallery.db"
    with open_gallery(folder) as gallery:
        state = found(gallery)
        assert len(gallery.templates().embeddings) == sum(map(len, state.values()))
    items = operations(7, OPERATIONS, start)
    allowed = [expected(items, count, start) for count in (max(done, 0), max(done, 0) + 1) if count <= len(items)]
    assert state in allowed, (done, state)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def begin(folder: Path, old: bool) -> State:
    """An empty folder, or one with an older gallery, which is brought to this form and to a made-up next one."""
    folder.mkdir()
    if not old:
        return {}
    start = {"Old One": ["0.jpg", "1.jpg", "2.jpg"], "Old Two": ["0.jpg", "1.jpg"]}
    with open_gallery(folder) as gallery:
        for name, sources in start.items():
            for number, source in enumerate(sources):
                gallery.add(name, np.eye(SIZE, dtype=np.float32)[number], 1.0, source)
    make_older(folder / "state/gallery.db")
    (folder / "start").write_text("".join("\t".join([name, *s]) + "\n" for name, s in start.items()))
    return start


@needs_strace
@pytest.mark.parametrize("old", [False, True], ids=["new", "migrated"])
def test_power_cut(tmp_path: Path, old: bool) -> None:
    folder = tmp_path / "home"
    start = begin(folder, old)
    disk = Disk(folder)
    trace = record(command(folder, 0, OPERATIONS), tmp_path / "log", environment(), ROOT)
    rng = np.random.default_rng(int(old))
    # A migration is short: half of its run's cuts are within the first operations.
    ends = [len(trace)] * (CUTS // 2) + [len(trace) // 8 if old else len(trace)] * (CUTS - CUTS // 2)
    cuts = sorted(int(rng.integers(1, end)) for end in ends)
    for left in disk.cut(trace, cuts, rng, tmp_path):
        if (left / "state/gallery.db").is_file() or acknowledged(disk.said) >= 0:
            check(left, acknowledged(disk.said), start)
    assert acknowledged(disk.said) > 0


@pytest.mark.parametrize("old", [False, True], ids=["new", "migrated"])
def test_kill(tmp_path: Path, old: bool) -> None:
    folder = tmp_path / "home"
    start = begin(folder, old)
    rng, done = np.random.default_rng(2 + old), 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(folder, done, OPERATIONS - done), cwd=ROOT, env=environment(), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(int(rng.integers(0, 2 + OPERATIONS // (KILLS + 1))))]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        numbers = [int(line) for line in lines if line.strip().isdigit() and line.endswith(b"\n")]
        done = max([done, *(number + 1 for number in numbers)])
        if (folder / "state/gallery.db").is_file() and b"open\n" in lines:
            check(folder, done, start)
            items = operations(7, OPERATIONS, start)
            with open_gallery(folder) as gallery:
                state = found(gallery)
            while done < OPERATIONS and state != expected(items, done, start):
                done += 1  # the operation that was under way
    assert done > 0
