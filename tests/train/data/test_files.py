from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT
from train.data.files import replacing, write_json

_WRITER = """
import signal, sys
from edge_runtime.app.command_line import leave
from train.data.files import replacing
signal.signal(signal.SIGTERM, leave)
with replacing(sys.argv[1]) as draft:
    draft.write_text("half")
    print("half-way", flush=True)
    signal.pause()
"""


def stopped_half_way(target: Path, kind: signal.Signals) -> list[str]:
    """What lies in the folder after a writer of ``target`` got a signal in the middle."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, target], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "half-way\n"
    process.send_signal(kind)
    process.wait(30)
    process.stdout.close()
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "new" / "a.json"
    for value in (1, 2):
        write_json(target, {"value": value})
    assert '"value": 2' in target.read_text()
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_an_error_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_request_to_stop_leaves_nothing_half_written(tmp_path):
    assert stopped_half_way(tmp_path / "a.txt", signal.SIGTERM) == []


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    assert "a.txt" not in stopped_half_way(tmp_path / "a.txt", signal.SIGKILL)
    with replacing(tmp_path / "a.txt") as draft:
        draft.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
