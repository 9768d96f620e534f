"""What the suite needs of its process, what of it runs alone, and what of it runs under every interpreter."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

INTERPRETER = (
    "contracts/test_detector.py",
    "contracts/test_interpreter.py",
    "e2e/test_demo.py::test_enrolled_people_are_named_and_strangers_are_not",
    "e2e/test_run.py::test_a_clip_runs_to_its_end",
    "e2e/test_run.py::test_bench_times_every_stage",
    "e2e/test_run.py::test_enrolling_while_it_runs_counts_for_the_next_decision",
    "e2e/test_run.py::test_the_self_test_passes",
    "edge_runtime/bundle/test_folder.py",
    "edge_runtime/commands/test_embed.py::test_codes_are_of_the_face_alone_whatever_the_bundle_does",
    "edge_runtime/commands/test_embed.py::test_layout_is_exactly_what_is_promised",
    "edge_runtime/decision",
    "edge_runtime/detectors",
    "edge_runtime/doctor/test_doctor.py",
    "edge_runtime/faces",
    "edge_runtime/geometry",
    "edge_runtime/interpreters",
    "edge_runtime/metrics",
    "edge_runtime/test_pipeline.py",
    "test_imports.py",
    "train/detector/test_released.py::test_drawings_without_a_face_give_hardly_a_box",
    "train/detector/test_released.py::test_faces_of_nobody_are_found_where_they_are",
)
"""What runs a model, and what computes with arrays: tflite-runtime brings an older numpy along."""

SERIAL = (
    "contracts/test_sink.py",
    "e2e",
    "edge_runtime/capture",
    "edge_runtime/control",
    "edge_runtime/daemon",
    "edge_runtime/events/test_log.py",
    "edge_runtime/exporter",
    "edge_runtime/interpreters/test_edgetpu.py",
    "edge_runtime/sinks",
    "edge_runtime/sources/test_stream.py",
    "edge_runtime/unknowns/test_daemon.py",
)
"""What waits for processes, signals, sockets or a full disk: two of these at once would take each other's time."""

BESIDE = ("e2e/test_api.py", "e2e/test_deploy.py", "e2e/test_outputs.py", "e2e/test_page.py")
"""Of those, what waits long and measures no time: each file may run beside the others."""

# A shell without job control starts background commands with Ctrl-C ignored, and every child inherits that; the
# tests of interrupted commands want it as a person at a terminal has it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run side by side, and what is computed is small: more threads would wait for each other.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is named above; a file stays in one process, so that its fixtures are made once."""
    for place in (*INTERPRETER, *SERIAL, *BESIDE):
        assert (TESTS / place.partition("::")[0]).exists(), f"tests/conftest.py names {place}, which is not there"
    for item in items:
        if _within(item, INTERPRETER):
            item.add_marker("interpreter")
        if _within(item, SERIAL) and not _within(item, BESIDE):
            item.add_marker("serial")
        if item.get_closest_marker("xdist_group") is None:
            group = "serial" if item.get_closest_marker("serial") else str(item.path.relative_to(TESTS))
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run at once what would take each other's time: pytest 9.2 loses the groups silently."""
    if getattr(config.option, "dist", "no") == "loadgroup" and pytest.version_tuple >= (9, 2):
        raise pytest.UsageError(
            f"expected pytest below 9.2, whose groups pytest-xdist keeps, found {pytest.__version__}"
        )


def _within(item: pytest.Item, places: tuple[str, ...]) -> bool:
    """Whether a test is one of these, or lies in a file or folder of them."""
    path = item.path.relative_to(TESTS)
    name = item.nodeid.partition("::")[2].partition("[")[0]
    return any(
        path.is_relative_to(file) and test in ("", name)
        for file, _, test in (place.partition("::") for place in places)
    )
