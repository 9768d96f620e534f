"""Events outlive kill -9, power cuts and jumps of the clock; events are listed, explained and forgotten."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore
from tests.builders import ROOT, draw_face, make_bundle
from tests.clips import visit, write_clip
from tests.e2e.test_run import familiar, starting
from tests.event_workload import NOBODY
from tests.power_loss import STRACE, Disk, record
from tests.small_disk import fill, needs_root, small_disk
from tests.waiting import wait_for

EVENTS = int(os.environ.get("POWER_LOSS_OPERATIONS", "40")) * 5
CUTS = int(os.environ.get("POWER_LOSS_CUTS", "40"))
KILLS = int(os.environ.get("POWER_LOSS_KILLS", "5"))
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def workload(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.event_workload", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more


def kept_numbers(path: Path) -> list[int]:
    """The numbers of what is stored, after SQLite's own look at the file, each with its own event."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with EventReader(path) as reader:
        events = [record.event(NOBODY) for record in reader.after(0, 10**6)]
    numbers = [event.event_id or 0 for event in events if event]
    assert [event.captured_s for event in events if event] == [number - 1 for number in numbers]
    return numbers


def acknowledged(said: bytes) -> int:
    """The last number that was; -1: the log was not even open."""
    lines = [line for line in said.split(b"\n")[:-1] if line.isdigit()]
    return int(lines[-1]) if lines else -1


@pytest.mark.skipif(STRACE is None, reason="needs strace: apt install strace")
def test_power_cuts_take_nothing_that_was_stored(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    disk = Disk(folder)
    trace = record(workload("store", folder, 1, EVENTS), tmp_path / "log", environment(), ROOT)
    rng = np.random.default_rng(3)
    cuts = sorted(int(cut) for cut in rng.integers(1, len(trace), CUTS))
    for left in disk.cut(trace, cuts, rng, tmp_path):
        stored = acknowledged(disk.said)
        if stored >= 0 or (left / "events.db").is_file():
            EventStore(left / "events.db").close()
            numbers = kept_numbers(left / "events.db")
            assert numbers == list(range(1, len(numbers) + 1))
            assert stored <= len(numbers) <= max(stored, 0) + 8
    assert acknowledged(disk.said) > 0


def test_kills_take_nothing_that_was_stored_or_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    first, stored = 1, 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            workload("log", tmp_path, first, 10**6), cwd=ROOT, env=environment(), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        said = b"".join(process.stdout.readline() for _ in range(int(rng.integers(0, 30))))
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        process.wait()
        process.stdout.close()
        stored = max(stored, acknowledged(said))
        if not (tmp_path / "events.db").is_file():
            continue
        EventStore(tmp_path / "events.db").close()  # as the next start would: a log whose making was cut is made whole
        numbers = kept_numbers(tmp_path / "events.db")
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= stored
        seen = seen_numbers(tmp_path)
        assert set(seen) <= set(numbers)
        first = len(numbers) + 1
    done = subprocess.run(workload("log", tmp_path, first, 10), cwd=ROOT, env=environment(), capture_output=True)
    assert done.returncode == 0, done.stderr
    numbers, seen = kept_numbers(tmp_path / "events.db"), seen_numbers(tmp_path)
    # The sink began with the first event: it has had all, in order, some again after a kill.
    assert sorted(set(seen)) == numbers
    firsts = list(dict.fromkeys(seen))
    assert firsts == sorted(firsts)


def seen_numbers(folder: Path) -> list[int]:
    path = folder / "seen.jsonl"
    return [json.loads(line)["event_id"] for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime: apt install faketime")
def test_a_clock_that_jumps_deletes_nothing_and_keeps_nothing_for_ever(tmp_path: Path) -> None:
    jumps = tmp_path / "clock"
    jumps.write_text("+0\n")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(jumps),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    (tmp_path / "state").mkdir()
    command = workload("clock", tmp_path / "state", jumps)
    done = subprocess.run(command, cwd=ROOT, env=environment(**faked), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    # One future beyond the first takes what was there before that; no jump takes everything.
    assert told["counts"] == [10, 20, 30, 40, 50, 60, 60, 70]
    steps = np.diff(told["walls"])
    assert (steps > 1e9).sum() >= 3 and (steps < -1e9).sum() >= 3  # the clock did jump


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, a photo of person 2, and a clip in which they come again and again."""
    made = tmp_path_factory.mktemp("home")
    make_bundle(made / "bundle")
    pictures = visit(2, after=100) * 20
    write_clip(made / "many.avi", pictures, fps=50)
    for name, person in (("photo", 2), ("other", 0)):
        drawn = np.ascontiguousarray(draw_face(person, background=3)[:, :, ::-1])
        assert cv2.imwrite(str(made / f"{name}.png"), drawn)
    return made


@pytest.fixture
def started(home: Path) -> Iterator[Any]:
    """Starts a daemon on the clip at its own pace, and ends what a failed test left running."""
    clip = f"door=file:{home / 'many.avi'}?realtime"
    with starting(home, "--camera", clip, "--set", "events.keep=crops") as start:
        yield start
    shutil.rmtree(home / "state", ignore_errors=True)


def state_bytes(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.is_file())


def events(home: Path, *arguments: str) -> list[dict[str, Any]]:
    done = familiar(home, "events", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_events_are_listed_explained_and_forgotten_while_the_daemon_runs(started: Any, home: Path) -> None:
    daemon = started()
    assert daemon.next_event("unknown")["person"] is None
    assert familiar(home, "enroll", "Ada Lovelace", str(home / "photo.png")).returncode == 0
    named = daemon.next_event("identified")
    assert named["person"] == "Ada Lovelace"
    number = str(named["event_id"])

    assert events(home, "--kind", "identified")[0] == named
    assert events(home, "--since", "1h", "--camera", "door")[0]["event_id"] == 1
    assert events(home, "--camera", "hall") == []
    assert "Ada Lovelace" in familiar(home, "events").stdout
    told = familiar(home, "explain", number, "--crop", str(home / "crop.jpg"))
    assert told.returncode == 0, told.stderr
    assert "above the threshold" in told.stdout
    assert "photo.png" in told.stdout
    crop = cv2.imread(str(home / "crop.jpg"))
    assert crop is not None and min(crop.shape[:2]) > 20
    stranger = familiar(home, "explain", str(events(home, "--kind", "unknown")[0]["event_id"]), "--json")
    assert json.loads(stranger.stdout)["why"][0].startswith("unknown: nobody was enrolled")

    familiar(home, "people", "rename", "Ada Lovelace", "Grace Hopper")
    assert {event["person"] for event in events(home, "--kind", "identified")} == {"Grace Hopper"}
    assert b"Lovelace" not in state_bytes(home) and b"Hopper" not in state_bytes(home)

    assert familiar(home, "people", "forget", "Grace Hopper", "--yes").returncode == 0
    left = events(home)
    assert not [event for event in left if event["kind"] == "identified" or event["person"]]
    assert "unknown" in {event["kind"] for event in left}
    assert b"Lovelace" not in state_bytes(home) and b"Hopper" not in state_bytes(home)
    gone = familiar(home, "explain", number)
    assert gone.returncode == 14
    assert "familiar events lists them" in gone.stderr
    daemon.end()
    assert daemon.process.returncode == 0


def test_somebody_is_forgotten_without_a_daemon(started: Any, home: Path) -> None:
    assert familiar(home, "enroll", "Ada Lovelace", str(home / "photo.png")).returncode == 0
    daemon = started()
    daemon.next_event("identified")
    daemon.next_event("left")
    daemon.end()
    before = events(home)
    assert "Ada Lovelace" in {event["person"] for event in before}
    assert familiar(home, "people", "forget", "Ada Lovelace", "--yes").returncode == 0
    assert not [event for event in events(home) if event["person"]]
    assert b"Lovelace" not in state_bytes(home)


def test_events_of_somebody_merged_are_the_other_ones_and_go_with_them(started: Any, home: Path) -> None:
    def said(*arguments: str) -> str:
        done = familiar(home, *arguments)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def people(*arguments: str) -> set[str]:
        return {event["person"] for event in events(home, *arguments)} - {None}

    def state(name: str) -> bytes:
        return b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.name.startswith(name))

    said("enroll", "Ada Lovelace", str(home / "photo.png"))
    daemon = started()
    first = daemon.next_event("identified")
    said("enroll", "Grace", str(home / "other.png"))
    told = said("people", "merge", "Ada Lovelace", "Grace")
    assert told.startswith("Ada Lovelace is Grace now, with 2 photos; familiar people unmerge 'Ada Lovelace' takes it")
    later = daemon.next_event("identified")
    while later["person"] != "Grace":
        later = daemon.next_event("identified")
    daemon.end()
    assert people() == {"Grace"} and people("--person", "Grace") == {"Grace"}
    numbers = [event["event_id"] for event in events(home, "--person", "Grace")]
    assert {first["event_id"], later["event_id"]} <= set(numbers)
    crop = home / "crop.jpg"
    said("explain", str(first["event_id"]), "--crop", str(crop))
    assert crop.read_bytes().startswith(b"\xff\xd8"), "its picture still opens"
    assert "nobody of this name" in familiar(home, "events", "--person", "Ada Lovelace").stderr
    (listed,) = json.loads(said("people", "list", "--json"))
    assert listed["last_seen"] and [part["name"] for part in listed["merged"]] == ["Ada Lovelace"]
    ids = listed["person_id"], listed["merged"][0]["person_id"]
    assert all(one.encode() in state("events.db") for one in ids)
    said("people", "unmerge", "Ada Lovelace")
    assert people("--person", "Ada Lovelace") == {"Ada Lovelace"}
    assert people("--person", "Grace") == {"Grace"}, "what came meanwhile stays"
    said("people", "merge", "Ada Lovelace", "Grace")
    said("people", "forget", "Grace", "--yes")
    assert people() == set() and not [one for one in ids if one.encode() in state("events.db")]


def test_following_shows_what_comes(started: Any, home: Path) -> None:
    daemon = started()
    seen = daemon.next_event("appeared")
    command = [sys.executable, "-m", "edge_runtime", "events", "--json", "--follow"]
    from tests.e2e.test_run import environment as home_environment

    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=home_environment(home), text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == seen
        following = [json.loads(process.stdout.readline())["event_id"] for _ in range(4)]
        process.send_signal(signal.SIGINT)
        process.wait()
    assert following == [2, 3, 4, 5]
    daemon.end()


def test_a_file_gets_what_it_missed_after_a_restart_and_a_pipe_does_not(started: Any, home: Path) -> None:
    target = home / "state" / "out.jsonl"

    def lines() -> list[int]:
        return [json.loads(line)["event_id"] for line in target.read_text().splitlines()]

    daemon = started("--set", f"events.path={target}")
    wait_for(lambda: target.is_file() and len(lines()) >= 2)
    daemon.process.kill()
    daemon.process.communicate()
    daemon = started("--set", f"events.path={target}")
    before = len(set(lines()))
    wait_for(lambda: len(set(lines())) > before)
    daemon.end()
    numbers = list(dict.fromkeys(lines()))
    assert numbers == [event["event_id"] for event in events(home)]
    daemon = started()
    assert daemon.next_event("appeared")["event_id"] > numbers[-1]
    daemon.end()


def test_every_sink_of_the_configuration_gets_every_event(started: Any, home: Path) -> None:
    first, second = (home / "state" / f"{name}.jsonl" for name in ("first", "second"))
    path = home / "sinks.toml"
    tables = (f'path = "{first}"', f'name = "other"\npath = "{second}"')
    path.write_text("".join(f'[[sink]]\ntype = "jsonlines"\n{keys}\n' for keys in tables))
    clip = write_clip(home / "one_visit.avi", visit(0))
    out, err = started("--config", str(path), "--camera", f"door=file:{clip}").wait()
    assert not out, err
    assert [json.loads(line)["kind"] for line in first.read_text().splitlines()] == ["appeared", "unknown", "left"]
    assert second.read_text() == first.read_text()
    with EventReader(home / "state" / "familiar" / "events.db") as reader:
        assert len(reader.after(0, 10)) == 3


@needs_root
def test_a_daemon_whose_disk_is_full_goes_on_says_so_and_recovers(started: Any, home: Path) -> None:
    with small_disk(home / "state", 2048) as disk:
        daemon = started()
        daemon.next_event("appeared")
        filler = fill(disk)
        assert "disk full" in daemon.next_line("degraded part=events")
        status = json.loads(familiar(home, "status", "--json").stdout)
        assert status["events"]["trouble"] == "disk full"
        assert status["cameras"]["door"]["state"] == "running"
        wait_for(lambda: json.loads(familiar(home, "status", "--json").stdout)["events"]["waiting"] >= 3)
        filler.unlink()
        daemon.next_line("recovered part=events")
        status = json.loads(familiar(home, "status", "--json").stdout)
        assert (status["events"]["trouble"], status["events"]["lost"]) == (None, 0)
        rest, _ = daemon.end()
        numbers = [event["event_id"] for event in events(home)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert rest[-1]["event_id"] == numbers[-1]
