"""What ``make demo`` shows: the released bundle, the shipped portraits, the whole daemon."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.config import load_config
from edge_runtime.demo.demo import run_demo, table
from edge_runtime.sources.synthetic import SceneOptions
from tests.builders import ROOT


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    config = load_config(None, [f"bundle.path={ROOT / 'models/released/default'}"], {})
    lines = []
    result = run_demo(config, SceneOptions(), tmp_path_factory.mktemp("demo"), lines.append)
    return result, lines


def test_enrolled_people_are_named_and_strangers_are_not(demo):
    result, _ = demo
    assert len(result.enrolled) == 2
    for outcome in result.outcomes:
        expected = "identified" if outcome.visit.person in result.enrolled else "unknown"
        assert (outcome.visit.person, outcome.kind) == (outcome.visit.person, expected)
        assert outcome.right


def test_events_are_told_as_they_happen_and_every_visitor_leaves(demo):
    result, lines = demo
    text = "\n".join(lines)
    for person in result.enrolled:
        assert f"enrolled {person.title()} from" in text
        assert f"is {person.title()}" in text
    assert text.count("came into view") == text.count("left (") >= len(result.outcomes)


def test_the_table_counts_what_happened(demo):
    result, _ = demo
    rows = dict(re.match(r" +(.+?) {2,}(.+)", line).groups() for line in table(result))
    known = sum(o.visit.person in result.enrolled for o in result.outcomes)
    assert rows["enrolled people named right"] == f"{known} of {known}"
    assert rows["strangers given a name"] == "0"
    assert {"detect, ms a run", "align, ms a run", "encode, ms a run", "match, ms a run"} <= set(rows)


def test_the_contact_sheet_is_a_picture_of_every_visit(demo):
    result, _ = demo
    with Image.open(result.sheet) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000
        assert sheet.height > 250 * (len(result.outcomes) // 4)


def test_another_seed_is_another_film_with_the_same_answers(tmp_path):
    config = load_config(None, [f"bundle.path={ROOT / 'models/released/default'}"], {})
    result = run_demo(config, SceneOptions(seed=7), tmp_path, lambda line: None)
    assert all(outcome.right for outcome in result.outcomes)


def test_the_command_ends_in_one_line_without_a_bundle(tmp_path):
    command = [
        sys.executable,
        "-m",
        "edge_runtime",
        "demo",
        "--out",
        str(tmp_path / "out"),
        "--set",
        "bundle.path=none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 6
    assert done.stderr.count("\n") == 1
    assert "expected a bundle" in done.stderr


@pytest.fixture
def short_folder():
    """A folder whose path leaves room for a socket's name, wherever the test's own lies."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_an_interrupted_demo_judges_nothing(short_folder):
    tmp_path = short_folder
    command = [sys.executable, "-m", "edge_runtime", "demo", "--out", str(tmp_path / "out")]
    bundle = f"bundle.path={ROOT / 'models/released/default'}"
    with subprocess.Popen(
        [*command, "--set", bundle],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while "came into view" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "familiar: interrupted\n")
    assert "visits seen" not in output
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]
